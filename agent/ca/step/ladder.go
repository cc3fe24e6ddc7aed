package step

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

// The rungs' names in errors.
const (
	opSign       = "sign"
	opRekey      = "rekey"
	opRenew      = "renew"
	opRenewToken = "renew by token"
)

// Issue gets a certificate in the first way that the CA grants:
//
//   - Current has not expired: rekey over mutual TLS, or renew when ReuseKey;
//   - Current has expired, by r.Now or in the CA's eyes: renew by token, which
//     provisioners with allowRenewalAfterExpiry grant;
//   - else, and always when Current is nil or Fresh is set: sign, with a
//     one-time token.
//
// A refusal (4xx) leads to the next rung. No answer, 408, 429 and 5xx end the
// call: the CA is in trouble, and more requests are no help. The error is an
// *Error that tells the last rung's reason and, shortly, the earlier ones'.
func (c *Client) Issue(ctx context.Context, r ca.Request) (ca.Issued, error) {
	if c.bad != nil {
		return ca.Issued{}, c.fault("issue", c.bad)
	}
	if len(r.Names) == 0 {
		return ca.Issued{}, c.fault("issue", errors.New("no names are configured"))
	}
	t, err := c.trust(ctx, r.Roots)
	if err != nil {
		return ca.Issued{}, err
	}
	return c.climb(ctx, t, r)
}

func (c *Client) climb(ctx context.Context, t trust, r ca.Request) (ca.Issued, error) {
	var tried []string
	if r.Current != nil && !r.Fresh && (expired(r) || c.keepsLifetime(r.Current)) {
		late := expired(r)
		if !late {
			got, err := c.overTLS(ctx, t, r)
			if err == nil || err.ends() {
				return got, told(err, tried)
			}
			tried = append(tried, err.brief())
			late = err.hungUp
		}
		if late {
			got, err := c.byToken(ctx, t, r)
			if err == nil || err.ends() {
				return got, told(err, tried)
			}
			tried = append(tried, err.brief())
		}
	}
	got, err := c.byProvisioner(ctx, t, r)
	return got, told(err, tried)
}

// keepsLifetime reports whether a renewal of p, which gets the same lifetime
// again, gets what is configured. CAs backdate by a minute or so.
func (c *Client) keepsLifetime(p *cert.Pair) bool {
	const tolerance = 5 * time.Minute
	have := p.Leaf().NotAfter.Sub(p.Leaf().NotBefore)
	return c.opts.Lifetime == 0 || (have-c.opts.Lifetime).Abs() <= tolerance
}

// told adds to err what the earlier rungs said. It turns a nil *Error into a
// nil error.
func told(err *Error, tried []string) error {
	if err == nil {
		return nil
	}
	err.earlier = strings.Join(tried, ", ")
	return err
}

func expired(r ca.Request) bool {
	now := r.Now
	if now.IsZero() {
		now = time.Now()
	}
	return now.After(r.Current.Leaf().NotAfter)
}

// trouble is an answer that says that the CA, not the request, is at fault.
func (e *Error) trouble() bool {
	return e.Status >= 500 || e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests
}

// ends reports whether the climb ends here: after all but a refusal of this one
// way to ask.
func (e *Error) ends() bool {
	refused := e.Status/100 == 4 && !e.trouble()
	return !refused && !e.hungUp && !e.local
}

// overTLS renews with Current as client certificate.
func (c *Client) overTLS(ctx context.Context, t trust, r ca.Request) (ca.Issued, *Error) {
	q, method, key := call{op: opRenew, method: http.MethodPost, path: "/1.0/renew"}, MethodRenew, r.Current.Key
	if !r.ReuseKey {
		fresh, csr, err := newKey(r)
		if err != nil {
			return ca.Issued{}, c.fault(opRekey, err)
		}
		q, method, key = call{op: opRekey, method: http.MethodPost, path: "/1.0/rekey", body: map[string]string{"csr": csr}}, MethodRekey, fresh
	}
	// With Certificates, unlike with GetClientCertificate, crypto/tls sends
	// the certificate only to a CA that lists its issuer: one that has dropped
	// the old root answers "missing client certificate" in clear.
	s := c.open(t, &tls.Config{RootCAs: t.pool, Certificates: []tls.Certificate{r.Current.TLS()}})
	defer s.close()
	return s.issue(ctx, q, method, key)
}

// byToken renews with a token of Current's key, the same key.
func (c *Client) byToken(ctx context.Context, t trust, r ca.Request) (ca.Issued, *Error) {
	s := c.open(t, &tls.Config{RootCAs: t.pool})
	defer s.close()
	token, err := s.renewToken(r.Current, time.Now())
	if err != nil {
		return ca.Issued{}, c.fault(opRenewToken, err)
	}
	q := call{op: opRenewToken, method: http.MethodPost, path: "/1.0/renew", bearer: token}
	return s.issue(ctx, q, MethodRenewToken, r.Current.Key)
}

// byProvisioner asks for a new certificate in the provisioner's name.
func (c *Client) byProvisioner(ctx context.Context, t trust, r ca.Request) (ca.Issued, *Error) {
	s := c.open(t, &tls.Config{RootCAs: t.pool})
	defer s.close()
	k, err := s.signer(ctx)
	if err != nil {
		return ca.Issued{}, asError(err)
	}
	key, csr, err := newKey(r)
	if err != nil {
		return ca.Issued{}, c.fault(opSign, err)
	}
	// The clock of this very moment, not r.Now: requests and a large RSA key
	// may lie between, and the CA leaves a token a minute.
	token, err := s.oneTimeToken(k, r.Names, time.Now())
	if err != nil {
		return ca.Issued{}, c.fault(opSign, err)
	}
	body := map[string]string{"csr": csr, "ott": token}
	if c.opts.Lifetime > 0 {
		// As a duration, so that it counts from the CA's clock.
		body["notAfter"] = c.opts.Lifetime.String()
	}
	q := call{op: opSign, method: http.MethodPost, path: "/1.0/sign", body: body}
	return s.issue(ctx, q, MethodSign, key)
}

// issue fetches the roots and then the certificate. In this order, because a
// certificate without its roots is of no use, and would be issued in vain.
func (s *session) issue(ctx context.Context, q call, method string, key crypto.Signer) (ca.Issued, *Error) {
	roots, err := s.roots(ctx)
	if err != nil {
		return ca.Issued{}, asError(err)
	}
	body, err := s.do(ctx, q)
	if err != nil {
		return ca.Issued{}, asError(err)
	}
	chain, err := parseChain(body)
	if err != nil {
		return ca.Issued{}, s.c.garbage(q.op, http.StatusCreated, err)
	}
	return ca.Issued{Chain: withoutRoots(chain, roots), Key: key, Roots: roots, Method: method, Issuer: s.c.name()}, nil
}

// withoutRoots leaves a root out that the CA put into the chain: a client has
// it or does not trust it (RFC 8446, 4.4.2).
func withoutRoots(chain, roots []*x509.Certificate) []*x509.Certificate {
	out := chain[:1:1]
	for _, c := range chain[1:] {
		if !slices.ContainsFunc(roots, c.Equal) {
			out = append(out, c)
		}
	}
	return out
}

// newKey makes the key that r wants, or takes Current's when it is to be kept
// and of the wanted type, and a request for it in PEM.
func newKey(r ca.Request) (crypto.Signer, string, error) {
	var key crypto.Signer
	if r.ReuseKey && r.Current != nil && cert.KeyTypeOf(r.Current.Key.Public()) == r.KeyType {
		key = r.Current.Key
	} else {
		made, err := cert.GenerateKey(r.KeyType)
		if err != nil {
			return nil, "", err
		}
		key = made
	}
	der, err := cert.Request(key, r.Names)
	if err != nil {
		return nil, "", err
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}
