package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"redis-cert-agent/agent/cert"
)

// look makes one handshake with redis, without a session cache, and returns
// what it shows. A client certificate is not needed to see that.
func (s *host) look() ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", s.addr, &tls.Config{
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			chain = state.PeerCertificates
			return nil
		},
	})
	if err == nil {
		conn.Close()
	}
	if chain == nil {
		return nil, fmt.Errorf("look at %s: %w", s.addr, err)
	}
	return chain, nil
}

// clientTLS dials as a client does that knows the authority's root and the name.
func (s *host) clientTLS() *tls.Dialer {
	return &tls.Dialer{Config: &tls.Config{ServerName: s.name, RootCAs: cert.Pool([]*x509.Certificate{s.ca.RootCertificate})}}
}

// accepted says whether a client that knows the roots and the name accepts chain
// now.
func (s *host) accepted(chain []*x509.Certificate) error {
	roots := []*x509.Certificate{s.ca.RootCertificate}
	if s.caProxy != nil {
		roots = append(roots, s.caProxy.ca.Root().Cert)
	}
	if s.pebble != nil {
		roots = append(roots, s.pebble.Roots...)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: s.name, Roots: cert.Pool(roots), Intermediates: cert.Pool(chain[1:])})
	return err
}

// cmdAwait waits for a condition:
//
//	await proven         redis shows a certificate that clients accept
//	await rotated        ... and another one than when it was last looked at
//	await expired FILE   the certificate in FILE has expired
//	await file FILE      FILE is there
//	await log REGEXP     a line of the agent's log matches
//	await systemd REGEXP  a message to systemd matches
//	await webhook REGEXP  a message to a web service matches
//	await ca-proxy N     the proxy before the authority was asked N times for a certificate
func (s *host) cmdAwait(ts *testscript.TestScript, args []string) error {
	what, arg := args[0], ""
	if len(args) > 1 {
		arg = args[1]
	}
	switch what {
	case "proven", "rotated":
		return s.awaitShown(what == "rotated")
	case "expired":
		return s.until("expired "+arg, func() bool {
			c, err := readLeaf(ts.MkAbs(arg))
			return err == nil && time.Now().After(c.NotAfter)
		})
	case "file":
		return s.until("file "+arg, func() bool {
			_, err := os.Stat(ts.MkAbs(arg))
			return err == nil
		})
	case "log":
		return s.awaitMatch("agent.log", arg)
	case "systemd":
		return s.awaitMatch("systemd.log", arg)
	case "webhook":
		return s.awaitMatch("webhook.log", arg)
	case "ca-proxy":
		var n int
		if _, err := fmt.Sscan(arg, &n); err != nil {
			return err
		}
		return s.until("ca-proxy "+arg, func() bool { return s.caProxy.asked() >= n })
	}
	return fmt.Errorf("await %s: no such condition", what)
}

func (s *host) awaitShown(another bool) error {
	before := s.last
	if another && before == nil {
		return fmt.Errorf("nothing was looked at before")
	}
	var err error
	var chain []*x509.Certificate
	waited := s.until("a proven certificate", func() bool {
		if chain, err = s.look(); err == nil {
			err = s.accepted(chain)
		}
		if err == nil && another && chain[0].Equal(before) {
			err = fmt.Errorf("still serial %x", before.SerialNumber)
		}
		return err == nil
	})
	if waited != nil {
		return fmt.Errorf("%w; the last look: %v", waited, err)
	}
	s.last = chain[0]
	return nil
}

func (s *host) awaitMatch(file, pattern string) error {
	re, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return err
	}
	return s.until(file+" "+pattern, func() bool {
		text, _ := os.ReadFile(s.path(file))
		return re.Match(text)
	})
}

func readLeaf(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	chain, err := cert.ParseCertificates(text)
	if err != nil {
		return nil, err
	}
	return chain[0], nil
}

// cmdServed compares what redis shows now:
//
//	served FILE   with the certificate in FILE
//	served last   with what it showed when it was last looked at
func (s *host) cmdServed(ts *testscript.TestScript, args []string) error {
	want := s.last
	if args[0] != "last" {
		var err error
		s.do(func() { want, err = readLeaf(ts.MkAbs(args[0])) })
		if err != nil {
			return err
		}
	}
	chain, err := s.look()
	if err != nil {
		return err
	}
	if !chain[0].Equal(want) {
		return fmt.Errorf("redis shows serial %x, not %x", chain[0].SerialNumber, want.SerialNumber)
	}
	s.last = chain[0]
	return nil
}
