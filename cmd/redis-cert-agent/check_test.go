package main

import (
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

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
	if err := ts.Exec("redis-cert-agent", append([]string{"check"}, args[1:]...)...); errors.As(err, &exit) {
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
