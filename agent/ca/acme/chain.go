package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

// maxChain bounds the certificates in one chain.
const maxChain = 16

// download fetches the chains of a finished order and returns one of them.
func (s *session) download(ctx context.Context, account acme.Account, order acme.Order) ([]*x509.Certificate, error) {
	if s.dir.RenewalInfo != "" {
		s.wire.skip(s.dir.RenewalInfo)
		defer s.wire.skip("")
	}
	answers, err := s.acme.GetCertificateChain(ctx, account, order.Certificate)
	if err != nil {
		return nil, s.failed(ctx, opDownload, err)
	}
	var chains [][]*x509.Certificate
	for i, a := range answers {
		chain, err := parseChain(a.ChainPEM)
		if err != nil && i == 0 {
			return nil, s.garbage(opDownload, err)
		}
		if err == nil { // an alternate chain that does not parse is left out
			chains = append(chains, chain)
		}
	}
	if len(chains) == 0 {
		return nil, s.garbage(opDownload, errors.New("the order is finished, and there is no chain"))
	}
	chain, found := prefer(chains, s.c.opts.PreferredChain)
	if !found {
		s.c.opts.Warn(fmt.Sprintf("%s offers no chain to %q, its own choice is taken: set issuer.acme.preferred_chain to %s",
			s.c.base.Host, s.c.opts.PreferredChain, tops(chains)))
	}
	return chain, nil
}

// parseChain reads a chain in PEM, leaf first. It leaves out a root that the CA
// put at its end, because a client has it already or does not trust it (RFC 8446,
// section 4.4.2).
func parseChain(text []byte) ([]*x509.Certificate, error) {
	chain, err := cert.ParseCertificates(text)
	if err != nil {
		return nil, err
	}
	if len(chain) > maxChain {
		return nil, fmt.Errorf("the chain has %d certificates", len(chain))
	}
	for n := len(chain); n > 1 && selfSigned(chain[n-1]); n = len(chain) {
		chain = chain[:n-1]
	}
	return chain, nil
}

func selfSigned(c *x509.Certificate) bool {
	return string(c.RawIssuer) == string(c.RawSubject)
}

// prefer returns the first chain that leads to name, and the first of all when
// none does.
func prefer(chains [][]*x509.Certificate, name string) (chain []*x509.Certificate, found bool) {
	if name == "" {
		return chains[0], true
	}
	for _, c := range chains {
		if strings.EqualFold(top(c).Issuer.CommonName, name) || strings.EqualFold(top(c).Subject.CommonName, name) {
			return c, true
		}
	}
	return chains[0], false
}

// top returns the last certificate of a chain, which a root has signed.
func top(chain []*x509.Certificate) *x509.Certificate { return chain[len(chain)-1] }

// tops returns the names of the roots that the chains lead to.
func tops(chains [][]*x509.Certificate) string {
	var names []string
	for _, c := range chains {
		if n := fmt.Sprintf("%q", ca.Clean(top(c).Issuer.CommonName, 60)); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return strings.Join(names, " or ")
}

// rootsOf returns the roots that clients of the chain are to trust: those that are
// configured, or the one of the system's that the chain leads to. ACME has no
// way to ask the CA for them.
func (s *session) rootsOf(chain []*x509.Certificate) ([]*x509.Certificate, error) {
	if len(s.roots) > 0 {
		return s.roots, nil
	}
	found, err := cert.Paths(chain[0], chain[1:], s.c.system, time.Now(), x509.ExtKeyUsageAny)
	if err != nil {
		e := s.garbage(opDownload, fmt.Errorf("the chain leads to no root that this host trusts: %w", err))
		e.Hint = "set issuer.acme.roots_file to a file with the CA's root"
		return nil, e
	}
	var roots []*x509.Certificate
	for _, path := range found {
		// The chain of a cross-signed CA verifies in more than one way. The root
		// that the chain itself names is taken then.
		if r := top(path); len(roots) == 0 || string(r.RawSubject) == string(top(chain).RawIssuer) {
			roots = []*x509.Certificate{r}
		}
	}
	return roots, nil
}
