package step

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

// These are the names of the ways to ask in errors.
const (
	opSign       = "sign"
	opRekey      = "rekey"
	opRenew      = "renew"
	opRenewToken = "renew by token"
)

// Issue gets a certificate in the first of these ways that the CA grants:
//
//   - Where somebody brought a one-time token, it asks for a new certificate with that.
//   - While Current has not expired, it rekeys over mutual TLS, or renews when
//     ReuseKey is set.
//   - Unless NewKey is set: when Current has expired, by r.Now or in the eyes of the CA, it renews by
//     a token, which provisioners with allowRenewalAfterExpiry grant.
//   - Otherwise, and always when Current is nil or Fresh is set, it asks for a
//     new certificate with a one-time token.
//
// A refusal (4xx) leads to the next way. No answer, 408, 429 and 5xx end the
// call, because a CA that cannot answer now would not answer the next request
// either. The error is a *ca.Error about the last way, with the earlier ones in
// short.
func (c *Client) Issue(ctx context.Context, r ca.Request) (ca.Issued, error) {
	if c.bad != nil {
		return ca.Issued{}, ca.Fault("issue", c.bad)
	}
	if len(r.Names) == 0 {
		return ca.Issued{}, ca.Fault("issue", errors.New("no names are configured"))
	}
	t, err := c.trust(ctx, r.Roots)
	if err != nil {
		return ca.Issued{}, err
	}
	return c.inTurn(ctx, t, r)
}

func (c *Client) inTurn(ctx context.Context, t trust, r ca.Request) (ca.Issued, error) {
	var tried []string
	got, given := c.byGivenToken(ctx, t, r)
	if given == nil && got.Chain != nil || given != nil && ends(given) {
		return got, withEarlier(given, nil)
	}
	if given != nil {
		tried = append(tried, brief(given))
	}
	if r.Current != nil && !r.Fresh && (expired(r) || c.keepsLifetime(r.Current)) {
		late := expired(r)
		if !late {
			got, err := c.overTLS(ctx, t, r)
			if err == nil || ends(err) {
				return got, withEarlier(err, tried)
			}
			tried = append(tried, brief(err))
			late = errors.Is(err, errHungUp)
		}
		if late && !r.NewKey { // it keeps the key
			got, err := c.byToken(ctx, t, r)
			if err == nil || ends(err) {
				return got, withEarlier(err, tried)
			}
			tried = append(tried, brief(err))
		}
	}
	if given != nil && !c.opts.HasPassword() && !c.opts.X5C.Set() {
		return ca.Issued{}, withEarlier(given, tried[1:]) // there is no other way to a fresh one
	}
	got, failed := c.byProvisioner(ctx, t, r)
	return got, withEarlier(failed, tried)
}

// keepsLifetime reports whether the lifetime of p is the configured one, since a
// renewal keeps it. CAs backdate a certificate by a minute or so.
func (c *Client) keepsLifetime(p *cert.Pair) bool {
	const tolerance = 5 * time.Minute
	have := p.Leaf().NotAfter.Sub(p.Leaf().NotBefore)
	return c.opts.Lifetime == 0 || (have-c.opts.Lifetime).Abs() <= tolerance
}

// withEarlier adds to err what the earlier ways to ask met. It turns a nil *ca.Error
// into a nil error.
func withEarlier(err *ca.Error, tried []string) error {
	if err == nil {
		return nil
	}
	err.Earlier = strings.Join(tried, ", ")
	return err
}

func expired(r ca.Request) bool {
	now := r.Now
	if now.IsZero() {
		now = time.Now()
	}
	return now.After(r.Current.Leaf().NotAfter)
}

// overTLS renews with Current as client certificate.
func (c *Client) overTLS(ctx context.Context, t trust, r ca.Request) (ca.Issued, *ca.Error) {
	q, method, key := call{op: opRenew, method: http.MethodPost, path: "/1.0/renew"}, MethodRenew, r.Current.Key
	if !r.ReuseKey || r.NewKey {
		fresh, csr, err := newKey(r)
		if err != nil {
			return ca.Issued{}, ca.Fault(opRekey, err)
		}
		q, method, key = call{op: opRekey, method: http.MethodPost, path: "/1.0/rekey", body: map[string]string{"csr": csr}}, MethodRekey, fresh
	}
	// With Certificates, unlike with GetClientCertificate, crypto/tls sends the
	// certificate only to a CA that lists its issuer. A CA that has dropped the
	// old root then answers "missing client certificate" in clear words.
	s := c.open(t, &tls.Config{RootCAs: t.pool, Certificates: []tls.Certificate{r.Current.TLS()}})
	defer s.close()
	return s.issue(ctx, r, q, method, key)
}

// byToken renews with a token that Current's key signed, and keeps that key.
func (c *Client) byToken(ctx context.Context, t trust, r ca.Request) (ca.Issued, *ca.Error) {
	s := c.open(t, &tls.Config{RootCAs: t.pool})
	defer s.close()
	token, err := s.renewToken(r.Current, time.Now())
	if err != nil {
		return ca.Issued{}, ca.Fault(opRenewToken, err)
	}
	q := call{op: opRenewToken, method: http.MethodPost, path: "/1.0/renew", bearer: token}
	return s.issue(ctx, r, q, MethodRenewToken, r.Current.Key)
}

// byProvisioner asks for a new certificate in the provisioner's name.
func (c *Client) byProvisioner(ctx context.Context, t trust, r ca.Request) (ca.Issued, *ca.Error) {
	s := c.open(t, &tls.Config{RootCAs: t.pool})
	defer s.close()
	token, err := s.grant(ctx, grant{subject: r.Names[0], names: r.Names, path: "/1.0/sign"})
	if err != nil {
		return ca.Issued{}, asError(err)
	}
	return c.sign(ctx, s, r, token)
}

// A grant is what a one-time token allows.
type grant struct {
	subject string   // the first name, or the serial number of what is revoked
	names   []string // of the certificate that is asked for; nil: none is
	path    string   // where the token is taken
}

// said returns what only a token for a certificate says.
func (g grant) said(s *session) map[string]any {
	if g.names == nil {
		return map[string]any{}
	}
	return map[string]any{"sans": g.names, "sha": s.root}
}

// grant makes a one-time token: with the certificate that the host has, or with the
// provisioner's password. It is for at once: the CA allows it a minute.
func (s *session) grant(ctx context.Context, g grant) (string, error) {
	if s.c.opts.X5C.Set() {
		token, err := s.x5cToken(g, time.Now())
		if err != nil {
			return "", ca.Fault(opProvisioner, fmt.Errorf("the certificate of the host: %w", err))
		}
		return token, nil
	}
	k, err := s.signer(ctx)
	if err != nil {
		return "", err
	}
	// The time is read here and is not that of the request, because other requests may lie
	// between.
	token, err := s.oneTimeToken(k, g, time.Now())
	if err != nil {
		return "", ca.Fault(opSign, err)
	}
	return token, nil
}

// sign asks for a new certificate with a one-time token.
func (c *Client) sign(ctx context.Context, s *session, r ca.Request, token string) (ca.Issued, *ca.Error) {
	key, csr, err := newKey(r)
	if err != nil {
		return ca.Issued{}, ca.Fault(opSign, err)
	}
	body := map[string]string{"csr": csr, "ott": token}
	if c.opts.Lifetime > 0 {
		// A duration counts from the CA's clock, a time would count from this host's.
		body["notAfter"] = c.opts.Lifetime.String()
	}
	q := call{op: opSign, method: http.MethodPost, path: "/1.0/sign", body: body}
	return s.issue(ctx, r, q, MethodSign, key)
}

// issue asks for the certificate, and, unless the CA named its roots lately, first for
// those, because a certificate without its roots would have been issued in vain. A
// certificate that leads to none of the roots that were named tells that the CA has moved.
func (s *session) issue(ctx context.Context, r ca.Request, q call, method string, key crypto.Signer) (ca.Issued, *ca.Error) {
	roots := r.Named
	if roots == nil {
		var err error
		if roots, err = s.roots(ctx); err != nil {
			return ca.Issued{}, asError(err)
		}
	}
	body, err := s.do(ctx, q)
	if err != nil {
		return ca.Issued{}, asError(err)
	}
	chain, err := parseChain(body)
	if err != nil {
		return ca.Issued{}, s.at.Garbage(q.op, http.StatusCreated, err)
	}
	named := r.Named != nil
	if named && cert.Way(chain, roots) == nil {
		if roots, err = s.roots(ctx); err != nil {
			return ca.Issued{}, asError(err)
		}
		named = false
	}
	return ca.Issued{Chain: withoutRoots(chain, roots), Key: key, Roots: roots, Named: named, Method: method, Issuer: s.c.name(), Ahead: s.ahead}, nil
}

// withoutRoots returns the chain without the roots that the CA put into it,
// because a client has a root already or does not trust it (RFC 8446, section
// 4.4.2).
func withoutRoots(chain, roots []*x509.Certificate) []*x509.Certificate {
	out := chain[:1:1]
	for _, c := range chain[1:] {
		if !slices.ContainsFunc(roots, c.Equal) {
			out = append(out, c)
		}
	}
	return out
}

// newKey returns the key for r, and a certificate request in PEM.
func newKey(r ca.Request) (crypto.Signer, string, error) {
	key, der, err := r.MakeKey()
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), err
}
