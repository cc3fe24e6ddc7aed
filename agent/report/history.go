package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	maxHistory     = 100
	maxHistoryFile = 1 << 20
	historyDelay   = time.Second
)

// A Deed is one event of the history: what happened, to what, and why.
type Deed struct {
	Time   time.Time `json:"time"`
	Event  string    `json:"event"` // the name of an Event
	Level  string    `json:"level"` // error, warning, notice, info
	Text   string    `json:"text"`
	Serial string    `json:"serial,omitempty"`
	Server string    `json:"server,omitempty"`
	Method string    `json:"method,omitempty"`
	Issuer string    `json:"issuer,omitempty"`
	Error  string    `json:"error,omitempty"`

	// A failure that came again and again is one deed: so often, and last at.
	Count int       `json:"count,omitempty"`
	Last  time.Time `json:"last,omitzero"`
}

// History keeps the last hundred events in a file, so that they outlive the
// process. Add may be called from any goroutine; it does not wait for the disk.
type History struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	deeds  []Deed
	dirty  bool // there is something to write, and timer will
	closed bool
	timer  *time.Timer

	saving sync.Mutex // one at a time
	failed bool       // the last one did, and that was logged
}

// OpenHistory continues the history at path. What cannot be read of it is lost:
// it is for people, and nothing depends on it. Close must be called.
func OpenHistory(path string, log *slog.Logger) *History {
	deeds, _ := ReadHistory(path)
	return &History{path: path, log: log, deeds: deeds}
}

// ReadHistory returns the history at path, the oldest event first; none when
// there is no such file.
func ReadHistory(path string) ([]Deed, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	defer f.Close()
	var deeds []Deed
	if err := json.NewDecoder(io.LimitReader(f, maxHistoryFile)).Decode(&deeds); err != nil {
		return nil, fmt.Errorf("history: %s: %w", path, err)
	}
	return deeds[max(0, len(deeds)-maxHistory):], nil
}

// Add appends an event. One that only says that somebody was told, or that the
// agent stopped, is no history.
func (h *History) Add(e Entry) {
	switch e.Event {
	case Stopped, Notified, NotifyFailed:
		return
	}
	d := Deed{
		Time: e.Time.UTC().Truncate(time.Millisecond), Event: e.Event.Name, Level: levelWord(e.Event.Level), Text: oneLine(e.Message),
		Serial: e.Text(KeySerial), Server: e.Text(KeyServer), Method: e.Text(KeyMethod), Issuer: e.Text(KeyIssuer), Error: oneLine(e.Text(KeyError)),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.deeds = remember(h.deeds, d)
	if !h.dirty {
		h.dirty, h.timer = true, time.AfterFunc(historyDelay, h.flush)
	}
}

// remember appends d. A failure that was among the last ones in a row of
// failures is counted there, so that a night of them leaves the day before
// readable.
func remember(deeds []Deed, d Deed) []Deed {
	for i, old := range slices.Backward(deeds) {
		if !old.failed() || !d.failed() {
			break
		}
		if old.Event == d.Event && old.Server == d.Server && old.Text == d.Text {
			d.Time, d.Last, d.Count = old.Time, d.Time, max(old.Count, 1)+1
			deeds = slices.Delete(deeds, i, i+1)
			break
		}
	}
	deeds = append(deeds, d)
	return deeds[max(0, len(deeds)-maxHistory):]
}

func (d Deed) failed() bool { return d.Level == "error" || d.Level == "warning" }

// All returns the events, the oldest first.
func (h *History) All() []Deed {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.deeds)
}

// Close writes what is not on disk yet. What is added after it is lost.
func (h *History) Close() {
	h.mu.Lock()
	h.closed = true
	if h.timer != nil {
		h.timer.Stop()
	}
	h.mu.Unlock()
	h.flush()
}

// flush writes what was added. It comes a while after that: one event rarely
// comes alone, and a rotation that waits for its own files must not wait for
// this one on the same disk.
func (h *History) flush() {
	h.saving.Lock()
	defer h.saving.Unlock()
	h.mu.Lock()
	dirty := h.dirty
	h.dirty = false
	h.mu.Unlock()
	if !dirty {
		return
	}
	err := h.save()
	if err != nil && !h.failed {
		h.log.Warn(fmt.Sprintf("the history is not kept: %v", err), KeyError, err.Error())
	}
	h.failed = err != nil
}

func (h *History) save() error {
	text, err := json.MarshalIndent(h.All(), "", " ")
	if err != nil {
		return err
	}
	return ReplaceFile(h.path, append(text, '\n'))
}

// WriteHistory writes the events for people, the oldest first: when, how often,
// and what.
func WriteHistory(w io.Writer, deeds []Deed, color bool) error {
	p := &page{color: color}
	if len(deeds) == 0 {
		p.line("nothing has happened yet")
	}
	for _, d := range deeds {
		at := d.Time
		if d.Count > 1 {
			at = d.Last
		}
		event := fmt.Sprintf("%-*s", widestEvent(deeds), d.Event)
		if d.failed() {
			event = p.paint(event, false, d.Level == "warning")
		}
		p.line(fmt.Sprintf("%s  %s  %s", Time(at), event, oneLine(d.Text)))
		if d.Count > 1 {
			p.line(fmt.Sprintf("%*s  %*s  %d times since %s", len(Time(at)), "", widestEvent(deeds), "", d.Count, Time(d.Time)))
		}
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

func widestEvent(deeds []Deed) int {
	width := 0
	for _, d := range deeds {
		width = max(width, len(d.Event))
	}
	return width
}
