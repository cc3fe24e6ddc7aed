package step

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

const opBootstrap = "bootstrap"

// trust holds the roots by which the CA is recognised.
type trust struct {
	pool    *x509.CertPool
	offered bool      // the CA sent the pinned root in this very call
	err     *ca.Error // why the pinned root is not in pool
}

// trust collects the roots: the pinned one, which the CA may have to send first,
// and those that were configured or that the CA named before. Where the CA no
// longer offers the pinned root, a certificate that leads to one of the others is
// still accepted, because that is how a rotation of the root looks from here.
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
			answered := t.err.Status != 0 && !t.err.Unavailable()
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

// bootstrap fetches the pinned root. The connection is not verified, because
// nothing secret is sent and only the hash of the answer counts.
func (c *Client) bootstrap(ctx context.Context) (*x509.Certificate, error) {
	s := c.open(trust{}, &tls.Config{InsecureSkipVerify: true})
	defer s.close()
	body, err := s.do(ctx, call{op: opBootstrap, method: http.MethodGet, path: "/root/" + c.pin})
	if err != nil {
		return nil, err
	}
	root, err := parseRoot(body)
	if err != nil {
		return nil, c.at.Garbage(opBootstrap, http.StatusOK, err)
	}
	if sum := cert.FingerprintOf(root).String(); sum != c.pin {
		e := c.at.Garbage(opBootstrap, http.StatusOK, fmt.Errorf("it sent a root with fingerprint %s, not the pinned %s", sum, c.pin))
		e.Hint = "do not trust it: find out what answers at this address"
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
		return nil, s.at.Garbage(op, http.StatusOK, err)
	}
	return roots, nil
}

// FetchRoot returns the root with that SHA-256, in hex, from the step-ca that
// answers at url: https, a host, perhaps a port, no path. A client of step-ca's
// ACME directory needs it too. The connection is not verified, because nothing
// secret is sent and only the hash of the answer counts. The error is a
// *ca.Error.
func FetchRoot(ctx context.Context, url, fingerprint string) (*x509.Certificate, error) {
	c := New(Options{URL: url, Fingerprint: fingerprint})
	if c.bad != nil {
		return nil, ca.Fault(opBootstrap, c.bad)
	}
	return c.bootstrap(ctx)
}
