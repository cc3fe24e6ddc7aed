package journal

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	systemd "github.com/coreos/go-systemd/v22/journal"
)

// identifier is what `journalctl -t` takes.
const identifier = "redis-cert-agent"

// journalHandler writes native journal entries
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
type journalHandler struct {
	common
	send func(message string, p systemd.Priority, fields map[string]string) error
	w    io.Writer // the stream to the journal, for when the socket fails
}

func newJournalHandler(send func(string, systemd.Priority, map[string]string) error, w io.Writer, level slog.Leveler) journalHandler {
	return journalHandler{common: common{level: level}, send: send, w: w}
}

func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.common = h.withAttrs(attrs)
	return h
}

func (h journalHandler) WithGroup(name string) slog.Handler {
	h.common = h.withGroup(name)
	return h
}

// Handle sends one entry. While journald is away the entry goes through the
// stream, as text with the priority in front (sd-daemon(3)).
func (h journalHandler) Handle(_ context.Context, r slog.Record) error {
	p := priority(r.Level)
	if h.send(r.Message, p, fields(h.all(r))) == nil {
		return nil
	}
	_, err := fmt.Fprintf(h.w, "<%d>%s\n", p, strings.ReplaceAll(r.Message, "\n", " "))
	return err
}

// fields turns attributes into journal fields.
func fields(attrs []attr) map[string]string {
	m := map[string]string{"SYSLOG_IDENTIFIER": identifier}
	for _, a := range attrs {
		if a.key == KeyMessageID {
			m["MESSAGE_ID"] = a.value.String()
			continue
		}
		name, value := fieldName(a.key), text(a.value)
		if a.value.Kind() == slog.KindDuration {
			name, value = name+"_MS", strconv.FormatInt(a.value.Duration().Milliseconds(), 10)
		}
		m[name] = value
	}
	return m
}

// fieldName makes a key a journal field. journald takes upper-case letters,
// digits and underscores, 64 at most.
func fieldName(key string) string {
	name := "RCA_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
	return name[:min(len(name), 61)] // leaves room for _MS
}
