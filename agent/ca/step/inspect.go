package step

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

// Inspect asks the CA for the pinned root, opens a connection that it or one of the other
// roots vouches for, and decrypts the provisioner's key with the configured password. It
// takes nothing from earlier calls, which may have had another root or password.
func (c *Client) Inspect(ctx context.Context, named []*x509.Certificate) (ahead time.Duration, err error) {
	_, ahead, err = c.inspect(ctx, named, false)
	return ahead, err
}

// Rehearse is Inspect, and asks the CA whether it is well: that says whether its database
// answers, without which it signs nothing.
func (c *Client) Rehearse(ctx context.Context, _ []string, named []*x509.Certificate) (found string, ahead time.Duration, err error) {
	return c.inspect(ctx, named, true)
}

func (c *Client) inspect(ctx context.Context, named []*x509.Certificate, health bool) (found string, ahead time.Duration, err error) {
	if c.bad != nil {
		return "", 0, ca.Fault("inspect", c.bad)
	}
	anew := New(c.opts)
	root, err := anew.bootstrap(ctx)
	if err != nil {
		ahead, _ = ca.AheadOf(err)
		return "", ahead, asError(err)
	}
	t := trust{pool: cert.Pool(cert.Merge([]*x509.Certificate{root}, c.opts.Roots, named)), offered: true}
	s := anew.open(t, &tls.Config{RootCAs: t.pool})
	defer s.close()
	if health {
		if _, err := s.do(ctx, call{op: "health", method: http.MethodGet, path: "/health"}); err != nil {
			return "", s.ahead, asError(err)
		}
	}
	found = fmt.Sprintf("healthy, its root is %s as pinned, ", c.pin)
	switch {
	case c.opts.X5C.Set():
		if _, _, err := c.opts.X5C.read(time.Now()); err != nil {
			return "", s.ahead, ca.Fault(opProvisioner, fmt.Errorf("the certificate of the host: %w", err))
		}
		return found + "the certificate of the host for it is valid", s.ahead, nil
	case !c.opts.HasPassword():
		return found + "and renews over mTLS; there is no password for a fresh certificate", s.ahead, nil
	}
	if _, err := s.signer(ctx); err != nil {
		return "", s.ahead, asError(err)
	}
	return found + fmt.Sprintf("the key of provisioner %q decrypts", c.opts.Provisioner), s.ahead, nil
}
