package journal

import (
	"context"
	"log/slog"
	"time"
)

// An Entry is an event as it was logged.
type Entry struct {
	Time    time.Time
	Event   Event
	Message string
	Attrs   map[string]slog.Value // by key, without KeyMessageID; those of With too
}

// Text returns an attribute as it stands in the log; empty when there is none.
func (e Entry) Text(key string) string {
	v, ok := e.Attrs[key]
	if !ok {
		return ""
	}
	return text(v)
}

// Tee returns a handler that logs to h and passes each event, whatever its
// level, to sink as well. Sink must not block and must not log.
func Tee(h slog.Handler, sink func(Entry)) slog.Handler { return tee{h, common{}, sink} }

type tee struct {
	next slog.Handler
	with common
	sink func(Entry)
}

func (t tee) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || t.next.Enabled(ctx, level)
}

func (t tee) Handle(ctx context.Context, r slog.Record) error {
	entry := Entry{Time: r.Time, Message: r.Message, Attrs: map[string]slog.Value{}}
	for _, a := range t.with.all(r) {
		if a.key != KeyMessageID {
			entry.Attrs[a.key] = a.value
			continue
		}
		for _, e := range Events() {
			if e.ID == a.value.String() {
				entry.Event = e
			}
		}
	}
	if entry.Event.ID != "" {
		t.sink(entry)
	}
	if !t.next.Enabled(ctx, r.Level) {
		return nil
	}
	return t.next.Handle(ctx, r)
}

func (t tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	t.next, t.with = t.next.WithAttrs(attrs), t.with.withAttrs(attrs)
	return t
}

func (t tee) WithGroup(name string) slog.Handler {
	t.next, t.with = t.next.WithGroup(name), t.with.withGroup(name)
	return t
}
