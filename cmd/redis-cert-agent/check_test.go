package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"redis-cert-agent/reload/redistest"
)

// cmdIssue makes a pair of an authority that is this script's alone, in DIR as
// redis.crt, redis.key and ca.crt. Times count from now.
//
//	issue [-from -1h] [-to 90d] [-names N,N] [-for server|client] DIR
//	issue -middle 5h ... DIR   by an intermediate that ends then
//	issue -by other ... DIR    by another authority
//	issue -by self ... DIR     by itself
//	issue -bare ... DIR        without the intermediate in redis.crt
func (s *stage) cmdIssue(ts *testscript.TestScript, args []string) error {
	var by, names, use, from, to, middle string
	var bare bool
	args, err := flags(args, func(f *flag.FlagSet) {
		f.StringVar(&by, "by", "root", "who signs")
		f.StringVar(&names, "names", s.name+",localhost,127.0.0.1", "names")
		f.StringVar(&use, "for", "", "what it is for")
		f.StringVar(&from, "from", "-1h", "when it begins")
		f.StringVar(&to, "to", "2160h", "when it ends")
		f.StringVar(&middle, "middle", "", "when the intermediate ends")
		f.BoolVar(&bare, "bare", false, "leave the intermediate out")
	})
	if err != nil {
		return err
	}
	l := redistest.Leaf{Names: strings.Split(names, ",")}
	if l.NotBefore, err = fromNow(from); err != nil {
		return err
	}
	if l.NotAfter, err = fromNow(to); err != nil {
		return err
	}
	switch use {
	case "server":
		l.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	case "client":
		l.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	dir := ts.MkAbs(args[0])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if by == "self" {
		redistest.SelfSigned(s.t, l).Write(s.t, dir)
		return nil
	}
	if s.roots == nil {
		s.roots = map[string]*redistest.CA{}
	}
	if s.roots[by] == nil {
		s.roots[by] = redistest.NewRoot(s.t)
	}
	ca := s.roots[by]
	if middle != "" {
		end, err := fromNow(middle)
		if err != nil {
			return err
		}
		ca = ca.Intermediate(s.t, time.Time{}, end)
	}
	p := ca.Issue(s.t, l)
	if bare {
		p.Chain = p.Chain[:1]
	}
	p.Write(s.t, dir)
	return nil
}

// cmdVerdict runs a check, whose exit code must be CODE. The script looks at
// what it prints.
//
//	verdict CODE ARGS...
func (s *stage) cmdVerdict(ts *testscript.TestScript, args []string) error {
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

func fromNow(text string) (time.Time, error) {
	d, err := time.ParseDuration(text)
	return time.Now().Add(d), err
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
