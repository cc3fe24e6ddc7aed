package acme

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

// The deeds' names in errors.
const (
	opDirectory = "directory"
	opAccount   = "account"
	opOrder     = "order"
	opProve     = "prove"
	opFinalize  = "finalize"
	opDownload  = "download"
	opSuggest   = "renewal information"
)

const userAgent = "redis-cert-agent"

// session is one call to the CA, over one connection. It is closed at the end of
// the call that opened it: the next one is hours away.
type session struct {
	c     *Client
	wire  *wire
	acme  *acme.Client
	dir   acme.Directory
	roots []*x509.Certificate
}

// open reads the CA's directory. Named are roots that the CA named before. The
// session is to be closed whatever the error.
func (c *Client) open(ctx context.Context, named []*x509.Certificate) (*session, error) {
	s := &session{c: c}
	roots, err := c.roots(ctx, named)
	if err != nil {
		e := c.fault("root", err)
		e.After = patience(err)
		return s, e
	}
	pool := c.system
	if len(roots) > 0 {
		pool = cert.Pool(roots)
	}
	s.roots, s.wire = roots, newWire(pool)
	s.acme = &acme.Client{
		Directory:  c.dir,
		HTTPClient: s.wire.client(c.request),
		UserAgent:  userAgent,
	}
	if s.dir, err = s.acme.GetDirectory(ctx); err != nil {
		return s, s.failed(ctx, opDirectory, err)
	}
	return s, nil
}

func (s *session) close() {
	if s.wire != nil {
		s.wire.http.CloseIdleConnections()
	}
}

// meta is what the directory says of the CA.
func (s *session) meta() acme.DirectoryMeta {
	if s.dir.Meta == nil {
		return acme.DirectoryMeta{}
	}
	return *s.dir.Meta
}

// Issue makes one order for r.Names, proves them, and downloads the certificate.
// A renewal of Current is told to a CA that offers renewal information, so that
// it need not count against its limits (RFC 9773, section 5).
//
// There is one order at a time: a second call waits for the first. The error is
// an *Error. Whatever the end, listeners are closed and DNS records removed
// before Issue returns; when ctx ends, that may take a few seconds more.
func (c *Client) Issue(ctx context.Context, r ca.Request) (ca.Issued, error) {
	if c.bad != nil {
		return ca.Issued{}, c.fault("issue", c.bad)
	}
	names := lower(r.Names)
	if err := provable(c.opts.Challenge, names); err != nil {
		return ca.Issued{}, c.fault("issue", err)
	}
	if err := c.take(ctx); err != nil {
		return ca.Issued{}, c.fault("issue", err)
	}
	defer c.give()
	key, csr, err := newKey(r, names)
	if err != nil {
		return ca.Issued{}, c.fault("issue", err)
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
	chain, err := s.obtain(ctx, r, names, csr)
	if err != nil {
		return ca.Issued{}, err
	}
	roots, err := s.rootsOf(chain)
	if err != nil {
		return ca.Issued{}, err
	}
	return ca.Issued{Chain: chain, Key: key, Roots: roots, Method: Method, Issuer: c.name()}, nil
}

// provable says which names the challenge cannot prove, whatever the CA.
func provable(how Challenge, names []string) error {
	if len(names) == 0 {
		return errors.New("no names are configured")
	}
	_, ips := cert.SplitNames(names)
	for _, n := range names {
		if strings.HasPrefix(n, "*.") && how.kind() != acme.ChallengeTypeDNS01 {
			return fmt.Errorf("%s cannot be proved by %s: wildcard names need dns-01; configure it, or name each host", n, how.kind())
		}
	}
	// RFC 8738, section 7: 'The existing "dns-01" challenge MUST NOT be used to
	// validate IP identifiers.'
	if len(ips) > 0 && how.kind() == acme.ChallengeTypeDNS01 {
		return fmt.Errorf("%s cannot be proved by dns-01: addresses need http-01 or tls-alpn-01; configure one of them, or leave addresses out of names", ips[0])
	}
	return nil
}

// agreed checks what the CA wants of everyone, and what it offers, against the
// configuration.
func (s *session) agreed() error {
	meta := s.meta()
	if terms := meta.TermsOfService; terms != "" && !s.c.opts.TermsAccepted {
		return s.c.fault(opAccount, fmt.Errorf("%s wants its terms of service accepted: read %s, then set issuer.acme.terms_accepted: true",
			s.c.base.Host, ca.Cut(clean(terms), 200)))
	}
	if p := s.c.opts.Profile; p != "" {
		if _, ok := meta.Profiles[p]; !ok {
			return s.c.fault(opOrder, fmt.Errorf("%s offers no profile %q: %s", s.c.base.Host, p, whatThereIs(meta.Profiles)))
		}
	}
	return nil
}

func whatThereIs(profiles map[string]string) string {
	if len(profiles) == 0 {
		return "it has no profiles; leave issuer.acme.profile out"
	}
	var names []string
	for n := range profiles {
		names = append(names, fmt.Sprintf("%q", ca.Cut(clean(n), 40)))
	}
	slices.Sort(names)
	const most = 8
	if len(names) > most {
		names = append(names[:most], "…")
	}
	return "set issuer.acme.profile to one of " + strings.Join(names, ", ")
}

// newKey makes the key that r wants, or takes Current's when it is to be kept
// and of the wanted type, and a request for it in DER.
func newKey(r ca.Request, names []string) (crypto.Signer, []byte, error) {
	if r.ReuseKey && r.Current != nil && cert.KeyTypeOf(r.Current.Key.Public()) == r.KeyType {
		csr, err := cert.Request(r.Current.Key, names)
		return r.Current.Key, csr, err
	}
	key, err := cert.GenerateKey(r.KeyType)
	if err != nil {
		return nil, nil, err
	}
	csr, err := cert.Request(key, names)
	return key, csr, err
}
