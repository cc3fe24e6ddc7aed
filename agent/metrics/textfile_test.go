package metrics

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// keep runs Keep in a bubble and returns what it logs.
func keep(t *testing.T, path string) (m *Metrics, look func(), log *bytes.Buffer) {
	t.Helper()
	m, b, _ := begin()
	log = new(bytes.Buffer)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Keep(ctx, path, slog.New(slog.NewTextHandler(log, nil)))
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return m, func() {
		b.Set(everything())
		time.Sleep(2 * pause)
		synctest.Wait()
	}, log
}

func TestKeep(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	dir := t.TempDir()
	path := filepath.Join(dir, "agent.prom")
	if err := os.WriteFile(path, []byte("of the agent before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	temporary := filepath.Join(dir, ".agent.prom.tmp")
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.Symlink(victim, temporary); err != nil { // somebody else may write to the directory
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		m, look, log := keep(t, path)
		time.Sleep(time.Hour)
		if text, err := os.ReadFile(path); err != nil || string(text) != "of the agent before\n" {
			t.Errorf("it was written before there was a look: %v\n%s", err, text)
		}
		look()
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte("\n"+prefix+"server_up{")) || string(text) != written(t, m) {
			t.Errorf("%v\n%s", err, text)
		}
		if log.Len() > 0 {
			t.Errorf("it logged %s", log)
		}
	})
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, mode %v", err, info.Mode())
	}
	for _, gone := range []string{temporary, victim} {
		if _, err := os.Lstat(gone); err == nil {
			t.Errorf("%s is there", gone)
		}
	}
}

// Many changes at once are written once.
func TestKeepGathers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.prom")
	synctest.Test(t, func(t *testing.T) {
		m, b, _ := begin()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			m.Keep(ctx, path, slog.New(slog.DiscardHandler))
		}()
		b.Set(everything())
		synctest.Wait()
		time.Sleep(pause / 2)
		if _, err := os.Stat(path); err == nil {
			t.Error("it does not wait for further changes")
		}
		b.Set(everything())
		time.Sleep(pause)
		synctest.Wait()
		if _, err := os.Stat(path); err != nil {
			t.Error("further changes put it off")
		}
		stop()
		<-done
		if _, err := os.Stat(path); err != nil {
			t.Error("it does not stay")
		}
	})
}

// One warning for each time that it begins to fail.
func TestKeepFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "collector")
	synctest.Test(t, func(t *testing.T) {
		_, look, log := keep(t, filepath.Join(dir, "agent.prom"))
		look()
		look()
		want := func(n int) {
			t.Helper()
			if got := strings.Count(log.String(), "level=WARN"); got != n {
				t.Errorf("%d warnings, want %d:\n%s", got, n, log)
			}
		}
		want(1)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		look()
		want(1)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		look()
		want(2)
	})
}
