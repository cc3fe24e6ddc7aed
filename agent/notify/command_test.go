package notify

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script writes a shell script and returns its path.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tell")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Arguments arrive as they stand, the message on standard input, and nothing
// else.
func TestCommand(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	dir := t.TempDir()
	odd := []string{"$HOME", "`id`", "$(id)", "a b", "", "*", "; touch " + dir + "/pwned", "'\"\\", "--", "\n", "|cat>" + dir + "/pwned"}
	path := script(t, `cat >`+dir+`/stdin; env >`+dir+`/env; pwd >`+dir+`/pwd; for a; do printf '%s\0' "$a"; done >`+dir+`/args`)
	c := Command{Args: append([]string{path}, odd...)}
	if err := c.Send(t.Context(), sample()); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got, want := read("args"), strings.Join(odd, "\x00")+"\x00"; got != want {
		t.Errorf("arguments %q, want %q", got, want)
	}
	golden(t, "webhook_firing.json", read("stdin"))
	if !strings.HasSuffix(read("stdin"), "}\n") || !json.Valid([]byte(read("stdin"))) {
		t.Errorf("standard input %q", read("stdin"))
	}
	for line := range strings.Lines(read("env")) {
		name, _, _ := strings.Cut(line, "=")
		switch name {
		case "PATH", "PWD", "_", "SHLVL", "OLDPWD": // but for the first, the shell's own
		default:
			t.Errorf("the environment has %s", line)
		}
	}
	if got := read("pwd"); got != "/\n" {
		t.Errorf("runs in %s", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "pwned")); err == nil {
		t.Error("a shell read the arguments")
	}
}

// An error shows the first line of what it says, and no argument.
func TestCommandFails(t *testing.T) {
	for text, want := range map[string]string{
		"echo no route >&2; echo more; exit 3": "tell: exit status 3: no route",
		"exit 1":                               "tell: exit status 1, and it says nothing",
		"kill -9 $$":                           "tell: signal: killed, and it says nothing",
		"yes | head -c 9999999; exit 1":        "tell: exit status 1: y",
		"printf '\\033[31mno\\n'; exit 1":      "tell: exit status 1: [31mno",
	} {
		err := Command{Args: []string{script(t, "cat >/dev/null; "+text), "arg-secret"}}.Send(t.Context(), sample())
		if err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "arg-secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
	// One that does not read what it is told has told nobody less.
	if err := (Command{Args: []string{script(t, "exit 0")}}).Send(t.Context(), sample()); err != nil {
		t.Error(err)
	}
	if err := (Command{Args: []string{"/nowhere/tell"}}).Send(t.Context(), sample()); err == nil || !strings.Contains(err.Error(), "/nowhere/tell: no such file") {
		t.Error(err)
	}
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.WriteFile(closed, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := (Command{Args: []string{closed}}).Send(t.Context(), sample()); err == nil || !strings.Contains(err.Error(), "under systemd name it in ExecPaths=") {
		t.Error(err)
	}
}

// A command that hangs is killed with all that it started.
func TestCommandHangs(t *testing.T) {
	alive := filepath.Join(t.TempDir(), "alive")
	c := Command{Args: []string{script(t, "mkfifo "+alive+"\n(exec 3<>"+alive+"; echo started; cat <&3)\n")}}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err := inTime(ctx, c.Send(ctx, sample()))
	if err == nil || err.Error() != "no answer within 10s" {
		t.Errorf("got %v", err)
	}
	// Were the inner shell alive, it would hold the FIFO open for reading and
	// this open would succeed.
	if f, err := os.OpenFile(alive, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
		f.Close()
		t.Error("what it started still runs")
	}
}

func TestHead(t *testing.T) {
	var h head
	for range 3000 {
		if n, err := h.Write([]byte("12345")); n != 5 || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(h) != maxBody {
		t.Errorf("%d bytes", len(h))
	}
}
