package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// cmdCheck runs redis-cert-agent check, whose exit code must be CODE. The script
// looks at what it prints.
//
//	check CODE ARGS...
func (s *host) cmdCheck(ts *testscript.TestScript, args []string) error {
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var code int
	var exit *exec.ExitError
	s.do(func() { err = ts.Exec("redis-cert-agent", append([]string{"check"}, args[1:]...)...) })
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		return err
	}
	if code != want {
		return fmt.Errorf("exit code %d, want %d", code, want)
	}
	return nil
}

func TestSplitTarget(t *testing.T) {
	for text, want := range map[string]string{
		"redis1": "redis1 6379", "redis1:1": "redis1 1", "10.0.0.5": "10.0.0.5 6379",
		"[::1]:7": "::1 7", "::1": "::1 6379", "[::1]": "::1 6379",
	} {
		host, port, err := splitTarget(text)
		if got := host + " " + port; got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":1", "a:", "a:b", "a:0", "a:70000", "a b", "a b:1", "[::1", "[::1]x:1", "rediss://u:hunter2@h:1", "/etc/nowhere.crt"} {
		if _, _, err := splitTarget(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

// On a terminal there is colour, and after a second a line that says how far it
// is, which does not stay.
func TestCheckOnTerminal(t *testing.T) {
	check := func(color string) string {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		t.Setenv("NO_COLOR", color)
		ctrl, tty := terminal(t)
		told := make(chan struct{})
		text := make(chan string)
		go func() { text <- readTerminal(ctrl, "0 of 1 checked", told) }()
		go func() {
			<-told
			c, err := silent.Accept()
			if err == nil {
				c.Close()
			}
		}()
		code := run(context.Background(), []string{"check", "--timeout", "1h", silent.Addr().String()}, tty, tty)
		tty.Close()
		if code != 2 {
			t.Errorf("exit code %d", code)
		}
		return <-text
	}
	const red = "\x1b[31mCRITICAL\x1b[0m  1 target: 1 critical"
	out := check("")
	if !strings.Contains(out, "\r0 of 1 checked") || !strings.Contains(out, "\r\x1b[K    LEFT") && !strings.Contains(out, "\r\x1b[KLEFT") {
		t.Errorf("no line that comes and goes: %q", out)
	}
	if !strings.Contains(out, red) {
		t.Errorf("no colour: %q", out)
	}
	if out := check("1"); strings.Contains(out, "\x1b[3") || !strings.Contains(out, "CRITICAL  1 target: 1 critical") {
		t.Errorf("NO_COLOR: %q", out)
	}
}

// terminal returns both ends of a pseudo-terminal (pty(7)).
func terminal(t *testing.T) (ctrl, tty *os.File) {
	t.Helper()
	ctrl, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ctrl.Close() })
	if err := unix.IoctlSetPointerInt(int(ctrl.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ctrl.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return ctrl, tty
}

// readTerminal reads until the other end is closed, which is an error of EIO,
// and closes told when the text has come.
func readTerminal(r io.Reader, text string, told chan struct{}) string {
	var all bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		all.Write(buf[:n])
		if told != nil && strings.Contains(all.String(), text) {
			close(told)
			told = nil
		}
		if err != nil {
			return all.String()
		}
	}
}
