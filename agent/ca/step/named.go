package step

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"

	"redis-cert-agent/agent/ca"
)

// Named asks the CA, over a connection that the pinned root or a known one vouches for,
// for its roots and for those of its federation.
func (c *Client) Named(ctx context.Context, known []*x509.Certificate) (ca.Named, error) {
	if c.bad != nil {
		return ca.Named{}, ca.Fault("roots", c.bad)
	}
	t, err := c.trust(ctx, known)
	if err != nil {
		return ca.Named{}, err
	}
	s := c.open(t, &tls.Config{RootCAs: t.pool})
	defer s.close()
	roots, err := s.roots(ctx)
	if err != nil {
		return ca.Named{}, asError(err)
	}
	federated, err := s.federation(ctx)
	if err != nil {
		return ca.Named{}, asError(err)
	}
	federated = slices.DeleteFunc(federated, func(f *x509.Certificate) bool { return slices.ContainsFunc(roots, f.Equal) })
	return ca.Named{Roots: roots, Federated: federated}, nil
}

// federation asks for the roots of all authorities that the CA is federated with, its own
// among them. One that has no such list is federated with nobody.
func (s *session) federation(ctx context.Context) ([]*x509.Certificate, error) {
	const op = "federation"
	body, err := s.do(ctx, call{op: op, method: http.MethodGet, path: "/federation"})
	var refused *ca.Error
	if errors.As(err, &refused) && (refused.Status == http.StatusNotFound || refused.Status == http.StatusMethodNotAllowed) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	roots, err := parseRoots(body)
	if err != nil {
		return nil, s.at.Garbage(op, http.StatusOK, err)
	}
	return roots, nil
}

// NamedRoots is Named for a step-ca of which only address and fingerprint are known, as
// one that is asked by ACME.
func NamedRoots(ctx context.Context, url, fingerprint string, known []*x509.Certificate) (ca.Named, error) {
	return New(Options{URL: url, Fingerprint: fingerprint}).Named(ctx, known)
}
