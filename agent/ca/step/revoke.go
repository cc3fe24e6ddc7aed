package step

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

const opRevoke = "revoke"

// Revoke implements ca.Revoker. The certificate revokes itself over mutual TLS, as far as
// its key is there and it has not expired; where the CA does not take that, a token of the
// provisioner does it. It is a passive revocation: the CA does not renew the certificate
// any more, and clients see nothing of it unless the CA publishes a revocation list.
func (c *Client) Revoke(ctx context.Context, r ca.Revocation) error {
	if c.bad != nil {
		return ca.Fault(opRevoke, c.bad)
	}
	t, err := c.trust(ctx, r.Roots)
	if err != nil {
		return err
	}
	if err := c.issued(ctx, t, r); err != nil {
		return err
	}
	var tried []string
	if r.Pair.Key != nil && time.Now().Before(r.Pair.Leaf().NotAfter) {
		err := c.revokeOverTLS(ctx, t, r)
		if err == nil || ends(err) || !c.opts.HasPassword() && !c.opts.X5C.Set() {
			return withEarlier(err, nil)
		}
		tried = append(tried, brief(err))
	}
	return withEarlier(c.revokeByToken(ctx, t, r), tried)
}

// issued returns an error unless the CA's roots lead to the certificate: with a token,
// step-ca records the revocation of any number.
func (c *Client) issued(ctx context.Context, t trust, r ca.Revocation) error {
	s := c.open(t, &tls.Config{RootCAs: t.pool})
	defer s.close()
	roots, err := s.roots(ctx)
	if err != nil {
		return err
	}
	leaf := r.Pair.Leaf()
	halfway := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	if _, err := cert.Paths(leaf, r.Pair.Chain[1:], cert.Pool(roots), halfway, x509.ExtKeyUsageAny); err != nil {
		return ca.Fault(opRevoke, fmt.Errorf("%s: %w (%w)", c.base, ca.ErrOtherIssuer, err))
	}
	return nil
}

func (c *Client) revokeOverTLS(ctx context.Context, t trust, r ca.Revocation) *ca.Error {
	s := c.open(t, &tls.Config{RootCAs: t.pool, Certificates: []tls.Certificate{r.Pair.TLS()}})
	defer s.close()
	return s.revoke(ctx, r, "")
}

func (c *Client) revokeByToken(ctx context.Context, t trust, r ca.Revocation) *ca.Error {
	s := c.open(t, &tls.Config{RootCAs: t.pool})
	defer s.close()
	token, err := s.grant(ctx, grant{subject: r.Pair.Leaf().SerialNumber.String(), path: "/1.0/revoke"})
	if err != nil {
		return asError(err)
	}
	return s.revoke(ctx, r, token)
}

// revoke asks for the revocation, with a token or with the certificate of the session.
func (s *session) revoke(ctx context.Context, r ca.Revocation, token string) *ca.Error {
	body := map[string]any{"serial": r.Pair.Leaf().SerialNumber.String(), "reasonCode": r.Reason, "passive": true}
	if token != "" {
		body["ott"] = token
	}
	_, err := s.do(ctx, call{op: opRevoke, method: http.MethodPost, path: "/1.0/revoke", body: body})
	if err == nil {
		return nil
	}
	e := asError(err)
	switch {
	case e.Status == http.StatusBadRequest && strings.Contains(e.Message, "already revoked"):
		return nil
	case e.Status == http.StatusNotImplemented:
		e.Hint = "this step-ca keeps no database, so that it cannot remember what is revoked: give it one (db in ca.json)"
	}
	return e
}
