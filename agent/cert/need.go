package cert

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Need is what a server asks of a certificate before it may reach disk.
type Need struct {
	Names   []string       // DNS names and IP addresses, all of which the leaf must carry
	KeyType KeyType        // the key's type; empty means any
	Client  bool           // the pair is presented as a client certificate as well
	Roots   *x509.CertPool // what clients trust; nil means that the chain is not checked
}

// Check returns nil when p satisfies n at the time now. The error names every
// fault, so that one look is enough.
func (n Need) Check(p *Pair, now time.Time) error {
	var faults []error
	for _, name := range n.Names {
		if !Carries(p.Leaf(), name) {
			faults = append(faults, fmt.Errorf("it is not for %s, only for %s", name, strings.Join(NamesOf(p.Leaf()), ", ")))
		}
	}
	if n.KeyType != "" && KeyTypeOf(p.Leaf().PublicKey) != n.KeyType {
		faults = append(faults, fmt.Errorf("its key is %s, not %s", KeyTypeOf(p.Leaf().PublicKey), n.KeyType))
	}
	if !hasUsage(p.Leaf(), x509.ExtKeyUsageServerAuth) {
		faults = append(faults, errors.New("its extended key usage lacks serverAuth: clients will refuse it"))
	}
	if n.Client && !hasUsage(p.Leaf(), x509.ExtKeyUsageClientAuth) {
		faults = append(faults, errors.New("its extended key usage lacks clientAuth, and redis presents it as a client (replication, cluster bus or tls-auth-clients): let the CA add clientAuth, or give redis a tls-client-cert-file"))
	}
	if err := ValidAt(p.Chain, now); err != nil {
		faults = append(faults, err)
	} else if err := n.chains(p, now); err != nil {
		faults = append(faults, err)
	}
	return oneLine(faults)
}

// oneLine joins errors as one line: logs and status lines have one.
func oneLine(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}

// chains verifies the chain as a client does that has only the roots.
func (n Need) chains(p *Pair, now time.Time) error {
	if n.Roots == nil {
		return nil
	}
	_, err := p.Leaf().Verify(x509.VerifyOptions{
		Roots:         n.Roots,
		Intermediates: Pool(p.Chain[1:]),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("it does not chain to the trusted roots: %w (%d certificates given)", err, len(p.Chain))
	}
	return nil
}

// ValidAt returns an error that names the first certificate of the chain that
// is not valid at the time now.
func ValidAt(chain []*x509.Certificate, now time.Time) error {
	for i, c := range chain {
		what := "it"
		if i > 0 {
			what = fmt.Sprintf("its issuer %q", c.Subject.CommonName)
		}
		if now.After(c.NotAfter) {
			return fmt.Errorf("%s expired at %s", what, c.NotAfter.UTC().Format(time.RFC3339))
		}
		if now.Before(c.NotBefore) {
			return fmt.Errorf("%s is not valid before %s; is this host's clock right?", what, c.NotBefore.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// NamesOf returns the subject alternative names of c: DNS names, then IP
// addresses.
func NamesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// Carries reports whether a client that asks for name accepts c. A wildcard in
// c stands for a name; a wildcard asked for must be there itself, which x509's
// VerifyHostname cannot tell.
func Carries(c *x509.Certificate, name string) bool {
	if slices.ContainsFunc(c.DNSNames, func(have string) bool { return strings.EqualFold(have, name) }) {
		return true
	}
	return !strings.HasPrefix(name, "*") && c.VerifyHostname(name) == nil
}

// hasUsage follows RFC 5280, section 4.2.1.12: a certificate without the
// extension may be used for everything.
func hasUsage(c *x509.Certificate, u x509.ExtKeyUsage) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(c.ExtKeyUsage, u) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// CanAuthenticateClients reports whether c may be presented as a client
// certificate.
func CanAuthenticateClients(c *x509.Certificate) bool {
	return hasUsage(c, x509.ExtKeyUsageClientAuth)
}

// SelfIssued reports whether c names itself as its issuer, as a root does. It
// verifies nothing.
func SelfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

// CanAuthenticateServers reports whether c may be presented as a server's
// certificate.
func CanAuthenticateServers(c *x509.Certificate) bool {
	return hasUsage(c, x509.ExtKeyUsageServerAuth)
}
