package cert

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"redis-cert-agent/agent/plain"
)

// A Need is what a server asks of a certificate before it may reach disk.
type Need struct {
	Names    []string            // DNS names and IP addresses, all of which the leaf must carry
	KeyType  KeyType             // the key's type; empty means any
	Client   bool                // the pair is presented as a client certificate as well
	NoServer bool                // it is no server's: it is presented as a client certificate alone
	Roots    []*x509.Certificate // what clients trust; nil: whatever the chain leads to
	Lenient  bool                // one kind of clients that accepts it is enough
}

// Check returns nil when p satisfies n at the time now. The error names every
// fault, so that one look is enough.
func (n Need) Check(p *Pair, now time.Time) error {
	v := n.Judge(p, now)
	refusal := v.Refusal(Go | OpenSSL)
	if n.Lenient {
		refusal = v.Nobody()
	}
	var kind, names error
	if n.NoServer { // no client compares the names, but who reads the certificate goes by them
		names = n.names(p.Leaf())
	}
	if n.KeyType != "" && KeyTypeOf(p.Leaf().PublicKey) != n.KeyType {
		kind = fmt.Errorf("its key is %s, not %s", KeyTypeOf(p.Leaf().PublicKey), n.KeyType)
	}
	return plain.Join(refusal, names, kind)
}

// names returns which of the names c does not carry.
func (n Need) names(c *x509.Certificate) error {
	for _, name := range n.Names {
		if !Carries(c, name) {
			return fmt.Errorf("it does not carry the name %s", name)
		}
	}
	return nil
}

// Judge says who would accept p.
func (n Need) Judge(p *Pair, now time.Time) Verdict {
	q := Question{Leaf: p.Leaf(), Sent: p.Chain[1:], Names: n.Names, Uses: []Use{AsServer}, Time: now, Roots: n.Roots}
	if n.Client {
		q.Uses = append(q.Uses, AsClient)
	}
	if n.NoServer {
		q.Uses = []Use{AsClient}
	}
	return Judge(q)
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
