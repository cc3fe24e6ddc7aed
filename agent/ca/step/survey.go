package step

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

// OfferedRoots returns the roots that the step-ca at url says it has. Nothing verifies
// them: a person compares their fingerprints with what the operator of the CA tells.
// The error is a *ca.Error.
func OfferedRoots(ctx context.Context, url string) ([]*x509.Certificate, error) {
	const op = "roots"
	none := strings.Repeat("0", 64) // no root is known by it; it is not asked for
	c := New(Options{URL: url, Fingerprint: none})
	if c.bad != nil {
		return nil, ca.Fault(op, c.bad)
	}
	s := c.open(trust{}, &tls.Config{InsecureSkipVerify: true})
	defer s.close()
	return s.roots(ctx)
}

// Provisioners returns the names of the JWK provisioners that a password opens, of the
// step-ca at url, whose root has that fingerprint. The error is a *ca.Error.
func Provisioners(ctx context.Context, url, fingerprint string) (names []string, err error) {
	c := New(Options{URL: url, Fingerprint: fingerprint})
	if c.bad != nil {
		return nil, ca.Fault(opProvisioner, c.bad)
	}
	root, err := c.bootstrap(ctx)
	if err != nil {
		return nil, err
	}
	pool := cert.Pool([]*x509.Certificate{root})
	s := c.open(trust{pool: pool, offered: true}, &tls.Config{RootCAs: pool})
	defer s.close()
	list, err := s.provisioners(ctx)
	for _, p := range list {
		if strings.EqualFold(p.Type, "JWK") && p.EncryptedKey != "" && !slices.Contains(names, p.Name) {
			names = append(names, p.Name)
		}
	}
	return names, err
}
