package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/plain"
)

const (
	maxHistory     = 100
	maxHistoryFile = 1 << 20
	historyDelay   = time.Second
)

// A Record is one event of the history: what happened, to what, and why.
type Record struct {
	Time   time.Time `json:"time"`
	Event  string    `json:"event"` // the name of an Event
	Level  string    `json:"level"` // error, warning, notice, info
	Text   string    `json:"text"`
	Serial string    `json:"serial,omitempty"`
	Server string    `json:"server,omitempty"`
	Method string    `json:"method,omitempty"`
	Issuer string    `json:"issuer,omitempty"`
	Error  string    `json:"error,omitempty"`

	// A failure that came again and again is one record: it came Count times, the last time at Last.
	Count int       `json:"count,omitempty"`
	Last  time.Time `json:"last,omitzero"`
}

// History keeps the last hundred events in a file, so that they outlive the
// process. Add may be called from any goroutine; it does not wait for the disk.
type History struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	records []Record
	dirty   bool // something is not on disk yet; timer will write it
	closed  bool
	timer   *time.Timer

	saving sync.Mutex // held while the file is written
	failed bool       // the last write failed, and that was logged
}

// OpenHistory continues the history at path. What cannot be read of it is lost:
// it is for people, and nothing depends on it. Close must be called.
func OpenHistory(path string, log *slog.Logger) *History {
	records, _ := ReadHistory(path)
	return &History{path: path, log: log, records: records}
}

// ReadHistory returns the history at path, the oldest event first; none when
// there is no such file.
func ReadHistory(path string) ([]Record, error) {
	text, err := disk.Read(path, maxHistoryFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	var records []Record
	if err := json.Unmarshal(text, &records); err != nil {
		return nil, fmt.Errorf("history: %s: %w", path, err)
	}
	return records[max(0, len(records)-maxHistory):], nil
}

// Add appends an event. Events that only say that somebody was told, or that the
// agent stopped, are left out.
func (h *History) Add(e Entry) {
	switch e.Event {
	case Stopped, Notified, NotifyFailed:
		return
	}
	d := Record{
		Time: e.Time.UTC().Truncate(time.Millisecond), Event: e.Event.Name, Level: levelWord(e.Event.Level), Text: plain.OneLine(e.Message),
		Serial: e.Text(KeySerial), Server: e.Text(KeyServer), Method: e.Text(KeyMethod), Issuer: e.Text(KeyIssuer), Error: plain.OneLine(e.Text(KeyError)),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.records = remember(h.records, d)
	if !h.dirty {
		h.dirty, h.timer = true, time.AfterFunc(historyDelay, h.flush)
	}
}

// remember appends d. A failure that was among the last ones in a row of
// failures is counted there, so that a night of them leaves the day before
// readable.
func remember(records []Record, d Record) []Record {
	for i, old := range slices.Backward(records) {
		if !old.failed() || !d.failed() {
			break
		}
		if old.Event == d.Event && old.Server == d.Server && old.Text == d.Text {
			d.Time, d.Last, d.Count = old.Time, d.Time, max(old.Count, 1)+1
			records = slices.Delete(records, i, i+1)
			break
		}
	}
	records = append(records, d)
	return records[max(0, len(records)-maxHistory):]
}

func (d Record) failed() bool { return d.Level == "error" || d.Level == "warning" }

// All returns the events, the oldest first.
func (h *History) All() []Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.records)
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

// flush writes what was added. It runs a second after the first of the events, because
// others follow, and because a rotation that waits for the disk must not wait for this
// file too.
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
	return disk.Replace(h.path, append(text, '\n'))
}

// WriteHistory writes the events for people, the oldest first: when, how often,
// and what.
func WriteHistory(w io.Writer, records []Record, color bool) error {
	p := &plain.Page{Color: color}
	if len(records) == 0 {
		p.Line("nothing has happened yet")
	}
	for _, d := range records {
		at := d.Time
		if d.Count > 1 {
			at = d.Last
		}
		event := fmt.Sprintf("%-*s", widestEvent(records), d.Event)
		if d.failed() {
			paint := plain.Red
			if d.Level == "warning" {
				paint = plain.Yellow
			}
			event = p.Paint(event, paint)
		}
		p.Line(fmt.Sprintf("%s  %s  %s", plain.Time(at), event, plain.OneLine(d.Text)))
		if d.Count > 1 {
			p.Line(fmt.Sprintf("%*s  %*s  %d times since %s", len(plain.Time(at)), "", widestEvent(records), "", d.Count, plain.Time(d.Time)))
		}
	}
	_, err := p.WriteTo(w)
	return err
}

func widestEvent(records []Record) int {
	width := 0
	for _, d := range records {
		width = max(width, len(d.Event))
	}
	return width
}
