package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fifo makes a pipe that nobody writes to: open(2) waits for ever.
func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// program returns the program as a process, and what it writes.
func program(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	self, err := exec.LookPath("redis-cert-agent") // testscript puts it there
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

// hanging starts the program, which reads a pipe to which nobody writes.
func hanging(t *testing.T) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	pipe := fifo(t)
	cmd, out := program(t, "check", "--targets", pipe)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	silent, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits until it reads
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	return cmd, out
}

// TestSignalEndsWhatHangs: a step that never ends, and does not hear of the signal, keeps
// no process alive; a second signal ends it at once.
func TestSignalEndsWhatHangs(t *testing.T) {
	t.Parallel()
	for name, signals := range map[string]int{"one signal": 1, "two signals": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, out := hanging(t)
			ended := make(chan error, 1)
			begin := time.Now()
			go func() { ended <- cmd.Wait() }()
			again := time.NewTicker(100 * time.Millisecond)
			defer again.Stop()
			for waiting := true; waiting; {
				if err := cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Fatal(err)
				}
				if signals == 1 {
					again.Stop()
				}
				select {
				case <-again.C: // the first signal is heard by now, or soon
				case <-ended:
					waiting = false
				}
			}
			took, status := time.Since(begin), cmd.ProcessState.Sys().(syscall.WaitStatus)
			switch {
			case signals == 1 && (took < grace || status.ExitStatus() != exitFailed || !strings.Contains(out.String(), "not stopped 10s after the signal")):
				t.Errorf("after %s: %v, %s", took, cmd.ProcessState, out)
			case signals == 2 && status.Signal() != unix.SIGTERM:
				t.Errorf("after %s: %v, %s", took, cmd.ProcessState, out)
			}
		})
	}
}

// TestFirstThreadOnlyWaits: the thread to which Linux gives a signal belongs to main, which
// does nothing. What reads files there may be kept by one that does not answer, and then no
// signal is seen; the script hung shows it on a busy machine.
func TestFirstThreadOnlyWaits(t *testing.T) {
	t.Parallel()
	cmd, out := hanging(t)
	if err := cmd.Process.Signal(unix.SIGQUIT); err != nil { // the Go runtime tells what each goroutine does
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if !regexp.MustCompile(`(?m)^goroutine 1 .*\[select \(no cases\).*, locked to thread\]:$`).MatchString(out.String()) {
		t.Errorf("%s", out)
	}
}

// TestPipesAreNotWaitedFor: whatever file is a pipe, a directory or a device, there is a
// clear line at once.
func TestPipesAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	pipe, dir := fifo(t), t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const step = "issuer: {step: {url: https://127.0.0.1:1, fingerprint: 0000000000000000000000000000000000000000000000000000000000000000, provisioner: x, password_file: %P}}\n"
	base := "directory: " + dir + "/pair\ncontrol: " + dir + "/s\nnames: [a.internal]\nservers: [{address: 127.0.0.1:1}]\n"
	good := strings.ReplaceAll(step, "%P", secret)
	for _, bad := range []string{pipe, "/dev/zero", dir} {
		for name, args := range map[string][]string{
			"file":        {"check", "--file", bad},
			"key":         {"check", "--file", secret, "--key", bad},
			"ca":          {"check", "--ca", bad, "127.0.0.1:1"},
			"client cert": {"check", "--client-cert", bad, "127.0.0.1:1"},
			"config":      {"run", "--config", bad},
			"status":      {"status", "--config", bad},
			"provisioner": {"run", "--config", conf("1.yaml", base+strings.ReplaceAll(step, "%P", bad))},
			"password":    {"run", "--config", conf("2.yaml", strings.Replace(base, "127.0.0.1:1", "127.0.0.1:1, password_file: "+bad, 1)+good)},
			"roots":       {"run", "--config", conf("3.yaml", base+good+"roots: {file: "+bad+"}\n")},
			"client":      {"run", "--config", conf("4.yaml", strings.Replace(base, "127.0.0.1:1", "127.0.0.1:1, client_cert: "+bad+", client_key: "+bad, 1)+good)},
			"url":         {"run", "--config", conf("5.yaml", base+good+"notify: [{webhook: {url_file: "+bad+"}}]\n")},
		} {
			cmd, out := program(t, args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			hung := time.AfterFunc(waitLimit, func() { _ = cmd.Process.Kill() })
			_ = cmd.Wait()
			if !hung.Stop() {
				t.Errorf("%s: %v hangs", name, args)
			}
			if code := cmd.ProcessState.ExitCode(); code == 0 || !strings.Contains(out.String(), "not a regular file") && bad != dir {
				t.Errorf("%s of %s: exit %d, %s", name, bad, code, out)
			}
		}
	}
}
