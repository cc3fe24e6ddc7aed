package journal

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"testing"
	"time"
)

// One entry is one line, whatever is in it, and its keys are those of the journal.
func TestJSON(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newJSONHandler(&out, slog.LevelInfo)).With(KeyInstance, "default").WithGroup("a")
	log.Debug("not this")
	Issued.Log(t.Context(), slog.New(newJSONHandler(&out, slog.LevelInfo)), "issued\nit", slog.String(KeySerial, "7e<22>"), slog.Duration(KeyDuration, time.Second))
	log.Warn("b", "c", 1)
	var got []map[string]string
	for line := range bytes.Lines(out.Bytes()) {
		var entry map[string]string
		if err := json.Unmarshal(line, &entry); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if _, err := time.Parse(time.RFC3339Nano, entry["time"]); err != nil {
			t.Error(err)
		}
		delete(entry, "time")
		got = append(got, entry)
	}
	want := []map[string]string{
		{"level": levelWord(LevelNotice), "message": "issued\nit", "serial": "7e<22>", "duration": "1s", "message_id": Issued.ID},
		{"level": "warning", "message": "b", "instance": "default", "a.c": "1"},
	}
	if len(got) != 2 || !maps.Equal(got[0], want[0]) || !maps.Equal(got[1], want[1]) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if _, err := NewLoggerIn("xml", os.Stderr, slog.LevelInfo); err == nil {
		t.Error("xml is a format")
	}
}
