package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/slogtest"
	"time"

	systemd "github.com/coreos/go-systemd/v22/journal"
)

func TestEventsAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	id := regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`) // a random one, sd-id128(3)
	for _, e := range Events() {
		if !id.MatchString(e.ID) || e.Name == "" || seen[e.ID] || seen[e.Name] {
			t.Errorf("%+v is malformed or not alone", e)
		}
		seen[e.ID], seen[e.Name] = true, true
	}
}

func TestPriorities(t *testing.T) {
	for level, want := range map[slog.Level]systemd.Priority{
		slog.LevelError: 3, slog.LevelError + 4: 3, slog.LevelWarn: 4, LevelNotice: 5, slog.LevelInfo: 6, slog.LevelDebug: 7, -8: 7,
	} {
		if got := priority(level); got != want {
			t.Errorf("%v: %d, want %d", level, got, want)
		}
	}
}

// entry is what a fake journal got.
type entry struct {
	message  string
	priority systemd.Priority
	fields   map[string]string
}

func capture(entries *[]entry) func(string, systemd.Priority, map[string]string) error {
	return func(m string, p systemd.Priority, f map[string]string) error {
		*entries = append(*entries, entry{m, p, f})
		return nil
	}
}

func TestJournalFields(t *testing.T) {
	var got []entry
	l := slog.New(newJournalHandler(capture(&got), io.Discard, slog.LevelInfo))
	notAfter := time.Date(2026, 11, 23, 4, 10, 34, 5e8, time.FixedZone("", 3600))
	Issued.Log(context.Background(), l.With(KeyInstance, "default", KeyServer, "old").WithGroup("g").With("a", 1),
		"issued 7e22b781, valid until 2026-11-23T03:10:34Z",
		slog.Time(KeyNotAfter, notAfter), slog.Duration("took.here", 1234567*time.Microsecond),
		slog.Any("err", errors.New("two\nlines")), slog.Any("names", []string{"a", "b"}),
		slog.Group("sub", slog.Bool("yes", true)), slog.String("", "x"), slog.Attr{},
		slog.String(strings.Repeat("long", 30), "l"))
	want := map[string]string{
		"SYSLOG_IDENTIFIER": "redis-cert-agent", "RCA_INSTANCE": "default", "RCA_SERVER": "old",
		"RCA_G_A": "1", "RCA_G_NOT_AFTER": "2026-11-23T03:10:34Z", "RCA_G_TOOK_HERE_MS": "1234",
		"RCA_G_ERR": "two\nlines", "RCA_G_NAMES": "a,b", "RCA_G_SUB_YES": "true", "RCA_G_": "x",
		("RCA_G_" + strings.Repeat("LONG", 30))[:61]: "l",
		"RCA_G_MESSAGE_ID":                           Issued.ID,
	}
	if len(got) != 1 || got[0].priority != 5 || got[0].message != "issued 7e22b781, valid until 2026-11-23T03:10:34Z" {
		t.Fatalf("got %+v", got)
	}
	if fmt.Sprint(got[0].fields) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got[0].fields, want)
	}

	got = nil
	Loaded.Log(context.Background(), l.With(KeyServer, "old"), "m", slog.String(KeyServer, "new"), slog.Duration(KeyDuration, time.Second))
	if f := got[0].fields; f["MESSAGE_ID"] != Loaded.ID || f["RCA_SERVER"] != "new" || f["RCA_DURATION_MS"] != "1000" || f["RCA_MESSAGE_ID"] != "" {
		t.Errorf("got %v", f)
	}
}

func TestJournalFallsBackToTheStream(t *testing.T) {
	var b bytes.Buffer
	fail := func(string, systemd.Priority, map[string]string) error { return errors.New("no journald") }
	slog.New(newJournalHandler(fail, &b, slog.LevelInfo)).Error("a\nb")
	if b.String() != "<3>a b\n" {
		t.Errorf("got %q", b.String())
	}
}

// Log must not write into the array of the caller's attributes.
func TestEventLogKeepsAttributes(t *testing.T) {
	attrs := make([]slog.Attr, 1, 2)
	attrs[0] = slog.String("a", "b")
	Issued.Log(context.Background(), slog.New(slog.DiscardHandler), "m", attrs...)
	if !attrs[:2][1].Equal(slog.Attr{}) {
		t.Error("Log wrote behind the attributes")
	}
}

func TestTextLines(t *testing.T) {
	at := time.Date(2026, 11, 22, 3, 10, 34, 0, time.UTC)
	for _, c := range []struct {
		terminal bool
		level    slog.Level
		msg      string
		attrs    []slog.Attr
		want     string
	}{
		{true, LevelNotice, "issued 7e22", []slog.Attr{slog.String("names", "a b"), slog.Int("n", 1), slog.String(KeyMessageID, Issued.ID)},
			"03:10:34 notice  issued 7e22 instance=default names=\"a b\" n=1\n"},
		{false, slog.LevelError, "reload: refused", []slog.Attr{slog.String(KeyError, "refused"), slog.Duration(KeyDuration, time.Second)},
			"2026-11-22T03:10:34Z error   reload: refused instance=default duration=1s\n"},
		{false, slog.LevelWarn, "first\nsecond\n", []slog.Attr{slog.String(KeyError, "x\x1b[31m"), slog.String("e", "")},
			"2026-11-22T03:10:34Z warning first\n\tsecond instance=default error=\"x\\x1b[31m\" e=\"\"\n"},
		{true, slog.LevelInfo, "started", nil, "03:10:34 info    started instance=default\n"},
		{true, slog.LevelDebug, "hidden", nil, ""},
	} {
		var b bytes.Buffer
		h := newTextHandler(&b, slog.LevelInfo, c.terminal).WithAttrs([]slog.Attr{slog.String(KeyInstance, "default")})
		r := slog.NewRecord(at, c.level, c.msg, 0)
		r.AddAttrs(c.attrs...)
		if h.Enabled(context.Background(), c.level) {
			if err := h.Handle(context.Background(), r); err != nil {
				t.Fatal(err)
			}
		}
		if b.String() != c.want {
			t.Errorf("got  %q\nwant %q", b.String(), c.want)
		}
	}
}

// The text handler keeps the rules of package slog, and with it the part that
// the journal handler shares.
func TestTextHandlerKeepsSlogRules(t *testing.T) {
	var b bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		b.Reset()
		return newTextHandler(&b, slog.LevelInfo, false)
	}, func(t *testing.T) map[string]any {
		return parseText(t, b.String())
	})
}

// parseText reads a line of the text handler back. The messages of slogtest
// are words without an equals sign.
func parseText(t *testing.T, line string) map[string]any {
	m := map[string]any{}
	words := strings.Fields(line)
	if _, err := time.Parse(time.RFC3339, words[0]); err == nil {
		m[slog.TimeKey] = words[0]
		words = words[1:]
	}
	m[slog.LevelKey] = words[0]
	var message []string
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			message = append(message, w)
			continue
		}
		at := m
		path := strings.Split(key, ".")
		for _, g := range path[:len(path)-1] {
			if at[g] == nil {
				at[g] = map[string]any{}
			}
			at = at[g].(map[string]any)
		}
		at[path[len(path)-1]] = value
	}
	m[slog.MessageKey] = strings.Join(message, " ")
	return m
}

func TestNewLoggerComparesTheStream(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	own := deviceInode(t, f)
	for stream, want := range map[string]bool{"": false, own: true, own + "1": false, "x": false, "1:2:3": false} {
		if got := isJournal(f, stream); got != want {
			t.Errorf("%q: %v", stream, got)
		}
	}
}

func deviceInode(t *testing.T, f *os.File) string {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

// A whole process, with stderr as systemd gives it, writes native entries to
// the journal's socket, and nothing to stderr.
func TestJournalNatively(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "socket")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	binary := filepath.Join(dir, "tellall")
	build := exec.Command("go", "build", "-o", binary, "-ldflags",
		"-X github.com/coreos/go-systemd/v22/journal.journalSocket="+path, "./testdata/tellall")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	stderr, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	run := func(stream string) string {
		cmd := exec.Command(binary)
		cmd.Stderr = stderr
		cmd.Env = append(os.Environ(), "JOURNAL_STREAM="+stream)
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		said, err := os.ReadFile(stderr.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(said)
	}
	if said := run(deviceInode(t, stderr)); said != "" {
		t.Errorf("beside the journal, stderr got %.200q", said)
	}
	checkNative(t, socket)
	if said := run("1:1"); !strings.Contains(said, " notice  issued 7e22b781 instance=default duration=1.5s\n") {
		t.Errorf("with the stderr of another process, stderr got %.200q", said)
	}
}

func checkNative(t *testing.T, socket *net.UnixConn) {
	t.Helper()
	first := readEntry(t, socket)
	for k, want := range map[string]string{
		"MESSAGE": "issued 7e22b781", "PRIORITY": "5", "MESSAGE_ID": Issued.ID, "SYSLOG_IDENTIFIER": "redis-cert-agent",
		"RCA_INSTANCE": "default", "RCA_DURATION_MS": "1500",
	} {
		if first[k] != want {
			t.Errorf("%s is %q, want %q", k, first[k], want)
		}
	}
	second := readEntry(t, socket)
	if len(second["MESSAGE"]) != 1<<20+4 || !strings.HasSuffix(second["MESSAGE"], "\nend") || second["RCA_BIG"] != "true" || second["PRIORITY"] != "3" {
		t.Errorf("the large entry has %d bytes, %q", len(second["MESSAGE"]), second["RCA_BIG"])
	}
}

// readEntry reads one datagram, or the file that it passes, as journald does.
func readEntry(t *testing.T, socket *net.UnixConn) map[string]string {
	t.Helper()
	if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	data, oob := make([]byte, 1<<16), make([]byte, 256)
	n, on, _, _, err := socket.ReadMsgUnix(data, oob)
	if err != nil {
		t.Fatal(err)
	}
	data = data[:n]
	if on > 0 {
		messages, err := syscall.ParseSocketControlMessage(oob[:on])
		if err != nil {
			t.Fatal(err)
		}
		fds, err := syscall.ParseUnixRights(&messages[0])
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fds[0]), "entry")
		defer f.Close()
		if data, err = io.ReadAll(io.NewSectionReader(f, 0, 1<<24)); err != nil {
			t.Fatal(err)
		}
	}
	return parseEntry(t, data)
}

func parseEntry(t *testing.T, data []byte) map[string]string {
	t.Helper()
	m := map[string]string{}
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		line := string(data[:end])
		data = data[end+1:]
		if name, value, ok := strings.Cut(line, "="); ok {
			m[name] = value
			continue
		}
		size := binary.LittleEndian.Uint64(data)
		m[line] = string(data[8 : 8+size])
		data = data[8+size+1:]
	}
	if _, err := strconv.Atoi(m["PRIORITY"]); err != nil {
		t.Errorf("no priority in %v", m)
	}
	return m
}
