package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdScrape gets the metrics into metrics.txt, until all regular expressions
// match, and has promtool check them:
//
//	scrape control [REGEXP]...  from the control socket
//	scrape tcp [REGEXP]...      from $METRICS
//	scrape FILE [REGEXP]...     as node_exporter does
//	scrape nothing              nobody listens at $METRICS
func (s *host) cmdScrape(ts *testscript.TestScript, args []string) error {
	if args[0] == "nothing" {
		if conn, err := net.Dial("tcp", ts.Getenv("METRICS")); err == nil {
			conn.Close()
			return errors.New("somebody listens at $METRICS")
		}
		return nil
	}
	get := func() ([]byte, error) { return os.ReadFile(ts.MkAbs(args[0])) }
	switch args[0] {
	case "control":
		get = func() ([]byte, error) { return scrape("unix", s.path("control.sock")) }
	case "tcp":
		get = func() ([]byte, error) { return scrape("tcp", ts.Getenv("METRICS")) }
	}
	var want []*regexp.Regexp
	for _, a := range args[1:] {
		re, err := regexp.Compile("(?m)" + a)
		if err != nil {
			return err
		}
		want = append(want, re)
	}
	var text []byte
	var err error
	waited := s.until("metrics", func() bool {
		if text, err = get(); err != nil {
			return false
		}
		for _, re := range want {
			if !re.Match(text) {
				err = fmt.Errorf("%s does not match\n%s", re, text)
				return false
			}
		}
		return true
	})
	if waited != nil {
		return fmt.Errorf("%w: %w", waited, err)
	}
	if err := os.WriteFile(ts.MkAbs("metrics.txt"), text, 0o600); err != nil {
		return err
	}
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(string(text))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		return fmt.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	return nil
}

// scrape asks for the metrics once, and for nothing to be kept.
func scrape(network, address string) ([]byte, error) {
	client := &http.Client{Timeout: waitLimit, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	resp, err := client.Get("http://agent/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if kind := resp.Header.Get("Content-Type"); err == nil && !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		err = fmt.Errorf("content type %q", kind)
	}
	return text, err
}
