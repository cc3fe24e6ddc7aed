// Package journal tells what happened, once, with an identifier.
//
// A change in the world is one log entry: an [Event] with a MESSAGE_ID that never
// changes, fields with the keys of this package, and a text that can be read alone.
// [NewLogger] writes it to the journal in its native protocol when systemd started
// the process, and as text or JSON otherwise. [Tee] passes each event on as well, to the
// [History] and to the metrics, so that neither can say something else.
package journal

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"

	systemd "github.com/coreos/go-systemd/v22/journal"
	"golang.org/x/term"

	"redis-cert-agent/agent/plain"
)

// The formats of entries that do not go to the journal.
const (
	Text = "text"
	JSON = "json"
)

// NewLogger returns a logger that writes to the journal when w is the stream
// that systemd connected to it, and as text to w otherwise.
func NewLogger(w *os.File, level slog.Leveler) *slog.Logger {
	l, _ := NewLoggerIn(Text, w, level) // which is a format
	return l
}

// NewLoggerIn is [NewLogger] with Text or JSON in place of text.
func NewLoggerIn(format string, w *os.File, level slog.Leveler) (*slog.Logger, error) {
	if format != Text && format != JSON {
		return nil, fmt.Errorf("log format %q: write %s or %s", format, Text, JSON)
	}
	if isJournal(w, os.Getenv("JOURNAL_STREAM")) && systemd.Enabled() {
		return slog.New(newJournalHandler(systemd.Send, w, level)), nil
	}
	if format == JSON {
		return slog.New(newJSONHandler(w, level)), nil
	}
	return slog.New(newTextHandler(w, level, term.IsTerminal(int(w.Fd())))), nil
}

// isJournal tells whether stream, the value of $JOURNAL_STREAM, names this
// file. It is "the device and inode numbers, separated by a colon", and the
// variable is inherited by children whose stderr is another one, so that only
// the comparison is proof (systemd.exec(5)).
func isJournal(w *os.File, stream string) bool {
	info, err := w.Stat()
	if err != nil || stream == "" {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// common is what both handlers keep: the attributes and groups of With and
// WithGroup.
type common struct {
	level slog.Leveler
	group string // "a.b." in front of the keys that follow
	attrs []attr
}

// attr is an attribute with the full key and the resolved value.
type attr struct {
	key   string // "a.b.key"
	value slog.Value
}

// Enabled reports whether the level is logged.
func (c common) Enabled(_ context.Context, level slog.Level) bool {
	return level >= c.level.Level()
}

func (c common) withAttrs(attrs []slog.Attr) common {
	c.attrs = slices.Clip(c.attrs)
	for _, a := range attrs {
		c.attrs = flatten(c.attrs, c.group, a)
	}
	return c
}

func (c common) withGroup(name string) common {
	if name != "" {
		c.group += name + "."
	}
	return c
}

// all returns the attributes of the handler and of the record. One that
// comes later replaces an earlier one of the same key.
func (c common) all(r slog.Record) []attr {
	list := slices.Clone(c.attrs)
	r.Attrs(func(a slog.Attr) bool {
		list = flatten(list, c.group, a)
		return true
	})
	var out []attr
	for i, a := range list {
		later := func(b attr) bool { return b.key == a.key }
		if !slices.ContainsFunc(list[i+1:], later) {
			out = append(out, a)
		}
	}
	return out
}

// flatten appends an attribute, and a group as the attributes in it. Empty
// attributes and groups vanish, as slog.Handler asks.
func flatten(list []attr, prefix string, a slog.Attr) []attr {
	v := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return list
	}
	if v.Kind() != slog.KindGroup {
		return append(list, attr{prefix + a.Key, v})
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	for _, g := range v.Group() {
		list = flatten(list, prefix, g)
	}
	return list
}

// text writes a value for people and fields.
func text(v slog.Value) string {
	switch v.Kind() {
	case slog.KindTime:
		return plain.Time(v.Time())
	case slog.KindAny:
		switch x := v.Any().(type) {
		case []string:
			return strings.Join(x, ",")
		case error:
			return x.Error()
		}
	}
	return v.String()
}

// priority returns the syslog priority of a level, 3 to 7.
func priority(l slog.Level) systemd.Priority {
	switch {
	case l >= slog.LevelError:
		return systemd.PriErr
	case l >= slog.LevelWarn:
		return systemd.PriWarning
	case l >= LevelNotice:
		return systemd.PriNotice
	case l >= slog.LevelInfo:
		return systemd.PriInfo
	}
	return systemd.PriDebug
}
