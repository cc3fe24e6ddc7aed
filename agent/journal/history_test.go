package journal

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var noon = time.Date(2026, 11, 22, 11, 10, 34, 0, time.UTC)

// entryAt is an event as the agent logs it, at a minute after noon.
func entryAt(minute int, e Event, msg, server string) Entry {
	attrs := map[string]slog.Value{KeySerial: slog.StringValue("7e22"), KeyError: slog.StringValue("why\x1b")}
	if server != "" {
		attrs[KeyServer] = slog.StringValue(server)
	}
	return Entry{Time: noon.Add(time.Duration(minute) * time.Minute), Event: e, Message: msg, Attrs: attrs}
}

func history(t *testing.T, path string) *History {
	t.Helper()
	h := OpenHistory(path, slog.New(slog.DiscardHandler))
	t.Cleanup(h.Close)
	return h
}

func TestHistorySurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.json")
	h := history(t, path)
	h.Add(entryAt(0, Issued, "issued 7e22", ""))
	h.Add(entryAt(1, Loaded, "127.0.0.1:6379 serves 7e22", "127.0.0.1:6379"))
	h.Add(entryAt(2, Notified, "told", ""))
	h.Add(entryAt(3, Stopped, "stopped", ""))
	h.Close()
	h.Add(entryAt(4, Issued, "too late", ""))
	want := []Record{
		{Time: noon, Event: "issued", Level: "notice", Text: "issued 7e22", Serial: "7e22", Error: "why"},
		{Time: noon.Add(time.Minute), Event: "loaded", Level: "notice", Text: "127.0.0.1:6379 serves 7e22", Serial: "7e22", Server: "127.0.0.1:6379", Error: "why"},
	}
	if got := history(t, path).All(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".tmp*")); err != nil || left != nil {
		t.Errorf("left %q, %v", left, err)
	}
}

func TestHistoryKeepsTheLastHundred(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.json")
	h := history(t, path)
	for i := range 250 {
		h.Add(entryAt(i, Issued, fmt.Sprint("issued ", i), ""))
	}
	h.Close()
	got, err := ReadHistory(path)
	if err != nil || len(got) != 100 || got[0].Text != "issued 150" || got[99].Text != "issued 249" {
		t.Errorf("%d events, %v", len(got), err)
	}
}

// What is added is on disk soon, without an end of the process.
func TestHistoryIsWrittenSoon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.json")
	synctest.Test(t, func(t *testing.T) {
		h := history(t, path)
		for i := range 3 {
			h.Add(entryAt(i, Issued, fmt.Sprint("issued ", i), ""))
			time.Sleep(historyDelay / 4)
		}
		if got, err := ReadHistory(path); err != nil || len(got) != 0 {
			t.Errorf("%d events are on disk at once, %v", len(got), err)
		}
		time.Sleep(historyDelay)
		synctest.Wait()
		if got, err := ReadHistory(path); err != nil || len(got) != 3 {
			t.Errorf("%d events are on disk, %v", len(got), err)
		}
	})
}

// A night of failures is one line for each of them.
func TestHistoryCountsFailures(t *testing.T) {
	h := history(t, filepath.Join(t.TempDir(), "history.json"))
	h.Add(entryAt(0, IssueFailed, "503", ""))
	h.Add(entryAt(1, Issued, "issued", ""))
	for i := range 50 {
		h.Add(entryAt(2+2*i, ReloadFailed, "a refuses", "a"))
		h.Add(entryAt(3+2*i, ServerDown, "b is down", "b"))
	}
	h.Add(entryAt(200, ReloadFailed, "a refuses for another reason", "a"))
	h.Add(entryAt(201, Loaded, "a serves", "a"))
	h.Add(entryAt(202, ReloadFailed, "a refuses", "a"))
	var got []string
	for _, d := range h.All() {
		got = append(got, fmt.Sprintf("%s %d %s", d.Text, d.Count, d.Time.Sub(noon)))
	}
	want := []string{
		"503 0 0s", "issued 0 1m0s", "a refuses 50 2m0s", "b is down 50 3m0s",
		"a refuses for another reason 0 3h20m0s", "a serves 0 3h21m0s", "a refuses 0 3h22m0s",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A history that cannot be read or written is no reason to fail. It is told
// once.
func TestHistoryOfADamagedDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "history.json")
	if err := os.WriteFile(path, []byte(`[{"time":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadHistory(path); err == nil {
		t.Error("a broken file is read")
	}
	h := history(t, path)
	h.Add(entryAt(0, Issued, "issued", ""))
	h.Close()
	if got, err := ReadHistory(path); err != nil || len(got) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ReadHistory(filepath.Join(dir, "none")); err != nil || got != nil {
		t.Errorf("%+v, %v", got, err)
	}

	var b bytes.Buffer
	h = OpenHistory(filepath.Join(dir, "none", "history.json"), slog.New(newTextHandler(&b, slog.LevelInfo, false)))
	for i := range 3 {
		h.Add(entryAt(i, Issued, "issued", ""))
		h.flush()
	}
	h.Close()
	if said := b.String(); strings.Count(said, "the history is not kept") != 1 || !strings.Contains(said, "no such file") {
		t.Errorf("said %q", said)
	}
}

func TestWriteHistory(t *testing.T) {
	records := []Record{
		{Time: noon, Event: "issued", Level: "notice", Text: "issued 7e22b781, valid until …"},
		{Time: noon, Last: noon.Add(time.Hour), Count: 7, Event: "reload-failed", Level: "error", Text: "redis says \x1b[31mNOAUTH"},
	}
	var b bytes.Buffer
	if err := WriteHistory(&b, records, false); err != nil {
		t.Fatal(err)
	}
	const want = `2026-11-22T11:10:34Z  issued         issued 7e22b781, valid until …
2026-11-22T12:10:34Z  reload-failed  redis says [31mNOAUTH
                                     7 times since 2026-11-22T11:10:34Z
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	if err := WriteHistory(&b, nil, false); err != nil || b.String() != "nothing has happened yet\n" {
		t.Errorf("got %q, %v", b.String(), err)
	}
}
