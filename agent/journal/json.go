package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"time"
)

// jsonHandler writes each entry as one JSON object in a line: time, level and message, and
// the attributes as strings under the keys of this package, as collectors of containers'
// logs take them.
type jsonHandler struct {
	common
	mu *sync.Mutex
	w  io.Writer
}

func newJSONHandler(w io.Writer, level slog.Leveler) jsonHandler {
	return jsonHandler{common: common{level: level}, mu: new(sync.Mutex), w: w}
}

func (h jsonHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.common = h.withAttrs(attrs)
	return h
}

func (h jsonHandler) WithGroup(name string) slog.Handler {
	h.common = h.withGroup(name)
	return h
}

// Handle writes one line.
func (h jsonHandler) Handle(_ context.Context, r slog.Record) error {
	entry := map[string]string{}
	for _, a := range h.all(r) {
		entry[a.key] = text(a.value)
	}
	if !r.Time.IsZero() {
		entry["time"] = r.Time.UTC().Format(time.RFC3339Nano)
	}
	entry["level"], entry["message"] = levelWord(r.Level), r.Message
	var line bytes.Buffer
	e := json.NewEncoder(&line) // which ends it
	e.SetEscapeHTML(false)
	if err := e.Encode(entry); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.w.Write(line.Bytes())
	return err
}
