package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	official "github.com/smallstep/certificates/ca"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdConfig replaces the $VARIABLES in a configuration file, which is the usual
// one when the script has none of that name; with -issuer none the usual one of an
// agent that leaves the renewal of the files in tls to another program:
//
//	config [-issuer none] FILE
func (s *host) cmdConfig(ts *testscript.TestScript, args []string) error {
	issuer := ""
	args, err := flags(args, func(f *flag.FlagSet) { f.StringVar(&issuer, "issuer", "", "none") })
	if err != nil {
		return err
	}
	usual := usualConfig
	if issuer == "none" {
		usual = usualForeignConfig
	}
	path := ts.MkAbs(args[0])
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		text, err = []byte(usual), nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(os.Expand(string(text), ts.Getenv)), 0o600)
}

// cmdEdit replaces OLD, which must be there once, by NEW:
//
//	edit FILE OLD NEW
func (s *host) cmdEdit(ts *testscript.TestScript, args []string) error {
	lines := strings.NewReplacer(`\n`, "\n")
	path, old, by := ts.MkAbs(args[0]), lines.Replace(args[1]), lines.Replace(args[2])
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), old); n != 1 {
		return fmt.Errorf("%q is %d times in\n%s", old, n, text)
	}
	return os.WriteFile(path, bytes.Replace(text, []byte(old), []byte(by), 1), 0o600)
}

// cmdAgent runs the program in the background:
//
//	agent start ARGS...  starts it; agent.log gets what it prints
//	agent hup            sends SIGHUP
//	agent stop           sends SIGTERM and waits for exit code 0
//	agent kill           sends SIGKILL
//	agent ended CODE     waits until it has ended by itself with that exit code
func (s *host) cmdAgent(ts *testscript.TestScript, args []string) error {
	if args[0] == "start" {
		return s.startAgent(environment(ts), args[1:]...)
	}
	if s.agent == nil {
		return errors.New("no agent runs")
	}
	var want int
	switch args[0] {
	case "hup":
		return s.agent.signal(syscall.SIGHUP)
	case "stop":
		if err := s.agent.signal(syscall.SIGTERM); err != nil {
			return err
		}
	case "kill":
		want = -1
		if err := s.agent.signal(syscall.SIGKILL); err != nil {
			return err
		}
	case "ended":
		var err error
		if want, err = strconv.Atoi(args[1]); err != nil {
			return err
		}
	default:
		return fmt.Errorf("agent %s: no such subcommand", args[0])
	}
	code, err := s.wait()
	if err == nil && code != want {
		err = fmt.Errorf("agent %s: exit code %d, want %d", args[0], code, want)
	}
	return err
}

// environment returns what a script set for the program.
func environment(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY", "HOME", "TMPDIR"} {
		if value := ts.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// cmdFails runs the program, which must fail as people expect: with that exit
// code, nothing on stdout, and on stderr one line that matches, or with -lines
// more, and no secret. With -warned the log's warnings come before it.
//
//	fails [-lines N] [-warned] CODE REGEXP ARGS...
func (s *host) cmdFails(ts *testscript.TestScript, args []string) error {
	lines, warned := 1, false
	args, err := flags(args, func(f *flag.FlagSet) {
		f.IntVar(&lines, "lines", 1, "lines of stderr")
		f.BoolVar(&warned, "warned", false, "warnings come before them")
	})
	if err != nil {
		return err
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "redis-cert-agent", args[2:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, &stdout, &stderr
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE")}, environment(ts)...)
	s.do(func() { err = cmd.Run() })
	ts.Logf("%s", stderr.String())
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != want {
		return fmt.Errorf("%v, want exit code %d; it printed\n%s", err, want, &stdout)
	}
	if stdout.Len() > 0 {
		return fmt.Errorf("a failure printed to stdout:\n%s", &stdout)
	}
	complaint := stderr.String()
	if warned {
		complaint = regexp.MustCompile(`(?m)^20\S+ warning .*\n`).ReplaceAllString(complaint, "")
		if complaint == stderr.String() {
			return errors.New("there was no warning")
		}
	}
	return s.checkComplaint(complaint, args[1], lines)
}

func (s *host) checkComplaint(text, pattern string, lines int) error {
	re, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return err
	}
	if !re.MatchString(text) {
		return fmt.Errorf("stderr does not match %s", pattern)
	}
	if strings.Count(text, "\n") != lines || !strings.HasSuffix(text, "\n") {
		return fmt.Errorf("not %d lines on stderr", lines)
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "redis-cert-agent: ") {
			return fmt.Errorf("a line of stderr does not say who talks: %s", line)
		}
	}
	for _, hidden := range []string{secret, string(s.ca.Password), "eyJ", "-----BEGIN"} {
		if strings.Contains(text, hidden) {
			return errors.New("a secret shows on stderr")
		}
	}
	return nil
}

// cmdCA is about the authority, and a proxy that ends TLS before it:
//
//	ca down           nothing listens at $CA_URL
//	ca up             it does again
//	ca issued N       so many certificates were issued to this script
//	ca proxy MODE     sets what the proxy at $CA_PROXY_URL, with $CA_PROXY_PIN, does when
//	                  it is asked for a certificate:
//	  pass            passes it on
//	  busy            answers 503, Retry-After: an hour
//	  hiccup          answers 503, Retry-After: a second
//	  garbage         answers 201 and no JSON
//	  html            answers 502 and a page
//	  names           gives a certificate for other names
//	  leaf            gives a good certificate without its chain
//	  expired         gives one that has expired
//	  future          gives one that is not valid yet
//	  client          gives one that is no server's
//	  key             gives one for another key
func (s *host) cmdCA(ts *testscript.TestScript, args []string) error {
	switch args[0] {
	case "down":
		s.caRelay.cut()
		return nil
	case "up":
		return s.caRelay.join()
	case "issued":
		want, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return s.checkIssued(want)
	case "proxy":
		s.setCAProxy(ts, args[1])
		return nil
	case "renews":
		return s.renews(ts, args[1], args[2], args[3])
	case "token":
		return s.writeToken(ts.MkAbs(args[1]), args[2:])
	}
	return fmt.Errorf("ca %s: no such subcommand", args[0])
}

// checkIssued checks how many certificates the authority gave to this script.
func (s *host) checkIssued(want int) error {
	// The authority counts after it has answered.
	limit := time.After(waitLimit)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.ca.count(s.name) < want {
		select {
		case <-tick.C:
		case <-limit:
			return fmt.Errorf("%d certificates were issued, want %d", s.ca.count(s.name), want)
		}
	}
	if n := s.ca.count(s.name); n != want {
		return fmt.Errorf("%d certificates were issued, want %d", n, want)
	}
	return nil
}

// writeToken makes a one-time token as the step command does, with the official client, for
// names, of which the first is the subject.
func (s *host) writeToken(path string, names []string) error {
	p, err := official.NewProvisioner("redis", "", s.ca.URL, s.ca.Password, official.WithRootSHA256(s.ca.Fingerprint))
	if err != nil {
		return err
	}
	token, err := p.Token(names[0], names...)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(token+"\n"), 0o600)
}
