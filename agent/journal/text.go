package journal

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// textHandler writes one line for each entry: time, level, message, and the
// attributes as key=value. On a terminal the time is that of the day; a file
// or a container's log gets the date too.
type textHandler struct {
	common
	terminal bool
	mu       *sync.Mutex
	w        io.Writer
}

func newTextHandler(w io.Writer, level slog.Leveler, terminal bool) textHandler {
	return textHandler{common: common{level: level}, terminal: terminal, mu: new(sync.Mutex), w: w}
}

func (h textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.common = h.withAttrs(attrs)
	return h
}

func (h textHandler) WithGroup(name string) slog.Handler {
	h.common = h.withGroup(name)
	return h
}

// Handle writes one line, and further lines of the message indented below it.
func (h textHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if !r.Time.IsZero() {
		layout := time.RFC3339
		if h.terminal {
			layout = time.TimeOnly
		}
		b.WriteString(r.Time.Format(layout) + " ")
	}
	level := levelWord(r.Level)
	b.WriteString(level + strings.Repeat(" ", len("warning ")-len(level)))
	message := strings.TrimRight(r.Message, "\n")
	if strings.Contains(message, "\n") {
		message = strings.ReplaceAll(message, "\n", "\n\t")
	}
	b.WriteString(message)
	for _, a := range h.all(r) {
		if a.key == KeyMessageID || a.key == KeyError && strings.Contains(r.Message, text(a.value)) {
			continue // the identifier of a journal entry, and what was just said
		}
		b.WriteString(" " + a.key + "=" + quoted(text(a.value)))
	}
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

func levelWord(l slog.Level) string {
	return [...]string{"error", "warning", "notice", "info", "debug"}[priority(l)-3]
}

// quoted quotes a value that would not read as one word.
func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, " \"=\n\t") || !strconv.CanBackquote(s) {
		return strconv.Quote(s)
	}
	return s
}
