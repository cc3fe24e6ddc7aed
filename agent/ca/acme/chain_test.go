package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"redis-cert-agent/agent/cert"
)

// party is a certificate that a test made, and its key.
type party struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certify signs a certificate of name for key, by issuer; by itself when issuer
// is empty.
func certify(t *testing.T, name string, key *ecdsa.PrivateKey, issuer party) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if issuer.cert == nil {
		issuer = party{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.cert, key.Public(), issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func root(t *testing.T, name string) party {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return party{certify(t, name, key, party{}), key}
}

// A chain whose topmost certificate is a root signed by an older root verifies
// in two ways. Clients that know only the older one are why it is there.
func TestRootsOfCrossSigned(t *testing.T) {
	t.Parallel()
	older, newer := root(t, "Older"), root(t, "Newer")
	crossed := certify(t, "Newer", newer.key, older)
	leaf := root(t, "redis1.internal")
	chain := []*x509.Certificate{certify(t, "redis1.internal", leaf.key, newer), crossed}
	for _, system := range [][]*x509.Certificate{{older.cert, newer.cert}, {newer.cert, older.cert}} {
		s := &session{c: &Client{system: cert.Pool(system)}}
		if got, err := s.rootsOf(chain); err != nil || len(got) != 1 || !got[0].Equal(older.cert) {
			t.Errorf("cross-signed: %v, %v; want the older root", got, err)
		}
		if got, err := s.rootsOf(chain[:1]); err != nil || len(got) != 1 || !got[0].Equal(newer.cert) {
			t.Errorf("direct: %v, %v; want the newer root", got, err)
		}
	}
}

// Nobody ever writes to the other end.
func TestAccountKeyIsFIFO(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := readAccountKey(path); done <- err }()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a FIFO is taken for a key")
		}
	case <-time.After(time.Minute):
		t.Error("a FIFO hangs the agent")
	}
}
