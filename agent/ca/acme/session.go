package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

// These are the names of the steps in errors.
const (
	opDirectory = "directory"
	opAccount   = "account"
	opOrder     = "order"
	opProve     = "prove"
	opFinalize  = "finalize"
	opDownload  = "download"
	opSuggest   = "renewal information"
)

// session is one call to the CA, over one connection. The call that opened it
// closes it.
type session struct {
	c     *Client
	at    ca.Endpoint // the CA, as errors describe it
	wire  *wire
	acme  *acme.Client
	dir   acme.Directory
	roots []*x509.Certificate
	kind  string // of the challenge that proves the names of the order

	held   bool // by a limit, and not by the CA
	exempt bool // the order replaces a certificate: it counts against no limit
}

// open reads the CA's directory. Named are the roots that the CA named before. The
// caller closes the session, also after an error.
func (c *Client) open(ctx context.Context, named []*x509.Certificate) (*session, error) {
	s, err := c.prepare(ctx, named)
	if err != nil {
		return s, err
	}
	if s.dir, err = s.acme.GetDirectory(ctx); err != nil {
		return s, s.failed(ctx, opDirectory, err)
	}
	return s, nil
}

// prepare returns a session that has sent nothing yet, but for the request for a root.
func (c *Client) prepare(ctx context.Context, named []*x509.Certificate) (*session, error) {
	s := &session{c: c, at: ca.Endpoint{URL: c.base.Scheme + "://" + c.base.Host, Kind: "the directory of an ACME CA", Timeout: c.request}}
	roots, err := c.roots(ctx, named)
	if err != nil {
		e := ca.Fault("root", err)
		e.After = ca.RetryAfter(err)
		return s, e
	}
	pool := c.system
	if len(roots) > 0 {
		pool = cert.Pool(roots)
	}
	s.roots, s.wire = roots, newWire(pool)
	s.at.Untrusted = s.untrusted()
	s.acme = &acme.Client{
		Directory:  c.dir,
		HTTPClient: s.wire.client(c.request),
		UserAgent:  ca.UserAgent,
	}
	return s, nil
}

func (s *session) close() {
	if s.wire != nil {
		s.wire.http.CloseIdleConnections()
	}
}

// meta returns what the directory says about the CA.
func (s *session) meta() acme.DirectoryMeta {
	if s.dir.Meta == nil {
		return acme.DirectoryMeta{}
	}
	return *s.dir.Meta
}

// Issue makes one order for r.Names, proves them, and downloads the certificate.
// It names Current to a CA that offers renewal information, so that the CA need
// not count the renewal against its limits (RFC 9773, section 5).
//
// There is one order at a time: a second call waits for the first. The error is a
// *ca.Error. Issue closes listeners and removes DNS records before it returns, so
// that it may return a few seconds after the end of ctx.
func (c *Client) Issue(ctx context.Context, r ca.Request) (ca.Issued, error) {
	if c.bad != nil {
		return ca.Issued{}, ca.Fault("issue", c.bad)
	}
	r.Names = lower(r.Names)
	if len(r.Names) == 0 {
		return ca.Issued{}, ca.Fault("issue", errors.New("no names are configured"))
	}
	if err := c.opts.Provable(r.Names); err != nil {
		return ca.Issued{}, ca.Fault("issue", err)
	}
	if err := c.lock(ctx); err != nil {
		return ca.Issued{}, ca.Fault("issue", err)
	}
	defer c.unlock()
	key, csr, err := r.MakeKey()
	if err != nil {
		return ca.Issued{}, ca.Fault("issue", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	s, err := c.open(ctx, r.Roots)
	defer s.close()
	if err != nil {
		return ca.Issued{}, err
	}
	if err := s.agreed(); err != nil {
		return ca.Issued{}, err
	}
	chain, err := s.obtain(ctx, r, csr)
	if err != nil {
		if !s.held {
			c.met = err.Error()
		}
		return ca.Issued{}, err
	}
	c.met = ""
	roots, err := s.rootsOf(chain)
	if err != nil {
		return ca.Issued{}, err
	}
	return ca.Issued{Chain: chain, Key: key, Roots: roots, Method: Method, Issuer: c.name(), Ahead: s.wire.answer().ahead}, nil
}

// withAccount calls do with the account, in a session of its own, while no order runs.
func (c *Client) withAccount(ctx context.Context, do func(*session, acme.Account) error) error {
	if c.bad != nil {
		return ca.Fault(opAccount, c.bad)
	}
	if err := c.lock(ctx); err != nil {
		return ca.Fault(opAccount, err)
	}
	defer c.unlock()
	s, err := c.open(ctx, nil)
	defer s.close()
	if err == nil {
		err = s.agreed()
	}
	if err != nil {
		return err
	}
	account, err := s.account(ctx)
	if err != nil {
		return err
	}
	return do(s, account)
}

// agreed checks that the operator accepts the terms of the CA, and that the CA
// offers the configured profile.
func (s *session) agreed() error {
	meta := s.meta()
	if terms := meta.TermsOfService; terms != "" && !s.c.opts.TermsAccepted {
		return ca.Fault(opAccount, fmt.Errorf("%s wants its terms of service accepted: read %s, then set issuer.acme.terms_accepted: true",
			s.c.base.Host, ca.Clean(terms, 200)))
	}
	if p := s.c.opts.Profile; p != "" {
		if _, ok := meta.Profiles[p]; !ok {
			return ca.Fault(opOrder, fmt.Errorf("%s offers no profile %q: %s", s.c.base.Host, p, whatThereIs(meta.Profiles)))
		}
	}
	return nil
}

// whatThereIs says which profiles could be configured.
func whatThereIs(profiles map[string]string) string {
	if len(profiles) == 0 {
		return "it has no profiles; leave issuer.acme.profile out"
	}
	var names []string
	for n := range profiles {
		names = append(names, fmt.Sprintf("%q", ca.Clean(n, 40)))
	}
	slices.Sort(names)
	const most = 8
	if len(names) > most {
		names = append(names[:most], "…")
	}
	return "set issuer.acme.profile to one of " + strings.Join(names, ", ")
}
