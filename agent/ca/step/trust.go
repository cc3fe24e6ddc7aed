package step

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"

	"redis-cert-agent/agent/cert"
)

const opBootstrap = "bootstrap"

// trust is whom to believe that it is the CA.
type trust struct {
	pool    *x509.CertPool
	offered bool   // the CA sent the pinned root in this very call
	err     *Error // why the pinned root is not in pool
}

// trust collects the roots: the pinned one, known or from the CA, and those that
// were configured or named before. A CA that no longer offers the pinned root is still
// believed when its certificate chains to one of the others: that is what a
// root rotation looks like from here.
func (c *Client) trust(ctx context.Context, named []*x509.Certificate) (trust, error) {
	known := cert.Merge(c.opts.Roots, named)
	var t trust
	c.mu.Lock()
	pinned := c.pinned
	c.mu.Unlock()
	for _, r := range known {
		if cert.FingerprintOf(r).String() == c.pin {
			pinned = r
		}
	}
	if pinned == nil {
		root, err := c.bootstrap(ctx)
		if err != nil {
			t.err = asError(err)
			answered := t.err.Status != 0 && !t.err.trouble()
			if len(known) == 0 || !answered {
				return trust{}, t.err
			}
		} else {
			pinned, t.offered = root, true
			c.mu.Lock()
			c.pinned = root
			c.mu.Unlock()
		}
	}
	t.pool = x509.NewCertPool()
	for _, r := range known {
		t.pool.AddCert(r)
	}
	if pinned != nil {
		t.pool.AddCert(pinned)
	}
	return t, nil
}

// bootstrap fetches the pinned root. The connection is not verified: nothing
// secret is sent, and the answer is believed for its hash alone.
func (c *Client) bootstrap(ctx context.Context) (*x509.Certificate, error) {
	s := c.open(trust{}, &tls.Config{InsecureSkipVerify: true})
	defer s.close()
	body, err := s.do(ctx, call{op: opBootstrap, method: http.MethodGet, path: "/root/" + c.pin})
	if err != nil {
		return nil, err
	}
	root, err := parseRoot(body)
	if err != nil {
		return nil, c.garbage(opBootstrap, http.StatusOK, err)
	}
	if sum := cert.FingerprintOf(root).String(); sum != c.pin {
		e := c.garbage(opBootstrap, http.StatusOK, fmt.Errorf("it sent a root with fingerprint %s, not the pinned %s", sum, c.pin))
		e.hint = "do not trust it: find out what answers at this address"
		return nil, e
	}
	return root, nil
}

// roots asks for all roots of the CA.
func (s *session) roots(ctx context.Context) ([]*x509.Certificate, error) {
	const op = "roots"
	body, err := s.do(ctx, call{op: op, method: http.MethodGet, path: "/roots"})
	if err != nil {
		return nil, err
	}
	roots, err := parseRoots(body)
	if err != nil {
		return nil, s.c.garbage(op, http.StatusOK, err)
	}
	return roots, nil
}

// FetchRoot returns the root with that SHA-256, in hex, from the step-ca that
// answers at url: https, a host, perhaps a port, no path. It is for those who
// speak another of step-ca's protocols. The connection is not verified: nothing
// secret is sent, and the answer is believed for its hash alone. The error is
// an *Error.
func FetchRoot(ctx context.Context, url, fingerprint string) (*x509.Certificate, error) {
	c := New(Options{URL: url, Fingerprint: fingerprint})
	if c.bad != nil {
		return nil, c.fault(opBootstrap, c.bad)
	}
	return c.bootstrap(ctx)
}
