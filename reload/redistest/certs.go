package redistest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is a certificate authority that lives as long as a test.
type CA struct {
	Cert   *x509.Certificate
	Key    crypto.Signer
	issuer *CA // nil for a root
}

// Leaf says what a certificate looks like. The zero value is a P-256
// certificate for localhost and 127.0.0.1, valid from an hour ago to an hour
// from now, good for servers and clients.
type Leaf struct {
	Names               []string // DNS names and IP addresses
	NotBefore, NotAfter time.Time
	Key                 string             // "ec" (default), "rsa", "ed25519"
	Usages              []x509.ExtKeyUsage // default: server and client
}

// Pair is a certificate with its key: the leaf first, then the intermediates,
// without the root.
type Pair struct {
	Chain []*x509.Certificate
	Key   crypto.Signer
	Root  *x509.Certificate // nil for a self-signed pair
}

// Files are the paths that a redis.conf names.
type Files struct{ Cert, Key, CA string }

// NewRoot makes a root that is valid from ten years ago to ten years from now,
// so that a test can issue what expired long ago.
func NewRoot(t testing.TB) *CA {
	t.Helper()
	now := time.Now()
	return newCA(t, nil, "test root", now.AddDate(-10, 0, 0), now.AddDate(10, 0, 0))
}

// Intermediate makes an authority below ca. Zero times mean those of a root.
func (ca *CA) Intermediate(t testing.TB, notBefore, notAfter time.Time) *CA {
	t.Helper()
	if notBefore.IsZero() {
		notBefore = ca.Cert.NotBefore
	}
	if notAfter.IsZero() {
		notAfter = ca.Cert.NotAfter
	}
	return newCA(t, ca, "test intermediate", notBefore, notAfter)
}

func newCA(t testing.TB, issuer *CA, name string, notBefore, notAfter time.Time) *CA {
	t.Helper()
	key := newKey(t, "ec")
	template := &x509.Certificate{
		SerialNumber:          serial(t),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return &CA{Cert: sign(t, template, key, issuer), Key: key, issuer: issuer}
}

// Root is the root above ca: ca itself when nothing is above it.
func (ca *CA) Root() *CA {
	for ca.issuer != nil {
		ca = ca.issuer
	}
	return ca
}

// Pool holds the root above ca.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Root().Cert)
	return pool
}

// Roots returns the root above ca.
func (ca *CA) Roots() []*x509.Certificate { return []*x509.Certificate{ca.Root().Cert} }

// Issue makes a certificate and its key.
func (ca *CA) Issue(t testing.TB, l Leaf) *Pair {
	t.Helper()
	template, key := l.template(t), newKey(t, l.Key)
	pair := &Pair{Chain: []*x509.Certificate{sign(t, template, key, ca)}, Key: key, Root: ca.Root().Cert}
	for above := ca; above.issuer != nil; above = above.issuer {
		pair.Chain = append(pair.Chain, above.Cert)
	}
	return pair
}

// SelfSigned makes what openssl req -x509 makes: a certificate that is its own
// authority, as on many hosts where Redis was set up by hand.
func SelfSigned(t testing.TB, l Leaf) *Pair {
	t.Helper()
	template, key := l.template(t), newKey(t, l.Key)
	template.IsCA, template.BasicConstraintsValid = true, true
	return &Pair{Chain: []*x509.Certificate{sign(t, template, key, nil)}, Key: key}
}

func (l Leaf) template(t testing.TB) *x509.Certificate {
	t.Helper()
	if l.Names == nil {
		l.Names = []string{"localhost", "127.0.0.1"}
	}
	if l.NotBefore.IsZero() {
		l.NotBefore = time.Now().Add(-time.Hour)
	}
	if l.NotAfter.IsZero() {
		l.NotAfter = time.Now().Add(time.Hour)
	}
	if l.Usages == nil {
		l.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	template := &x509.Certificate{
		SerialNumber: serial(t),
		Subject:      pkix.Name{CommonName: l.Names[0]},
		NotBefore:    l.NotBefore,
		NotAfter:     l.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  l.Usages,
	}
	for _, name := range l.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return template
}

// Leaf is the pair's own certificate.
func (p *Pair) Leaf() *x509.Certificate { return p.Chain[0] }

// TLS is the pair as crypto/tls takes it.
func (p *Pair) TLS() *tls.Certificate {
	c := &tls.Certificate{PrivateKey: p.Key, Leaf: p.Chain[0]}
	for _, cert := range p.Chain {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	return c
}

// CertPEM, KeyPEM and CAPEM are what the three files of a redis.conf hold. A
// self-signed pair is its own CA.
func (p *Pair) CertPEM() []byte { return pemOf(p.Chain...) }

// KeyPEM is the key in PKCS #8.
func (p *Pair) KeyPEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		panic(err) // newKey makes only keys that marshal
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// CAPEM is the root, or the certificate itself when it is self-signed.
func (p *Pair) CAPEM() []byte {
	if p.Root == nil {
		return pemOf(p.Chain[0])
	}
	return pemOf(p.Root)
}

// Write puts the pair into dir as redis.crt, redis.key and ca.crt, in place.
func (p *Pair) Write(t testing.TB, dir string) Files {
	t.Helper()
	f := Files{filepath.Join(dir, "redis.crt"), filepath.Join(dir, "redis.key"), filepath.Join(dir, "ca.crt")}
	p.Overwrite(t, f)
	return f
}

// Overwrite replaces the content of f by the pair. Empty paths are left out.
func (p *Pair) Overwrite(t testing.TB, f Files) {
	t.Helper()
	for path, data := range map[string][]byte{f.Cert: p.CertPEM(), f.Key: p.KeyPEM(), f.CA: p.CAPEM()} {
		if path == "" {
			continue
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func pemOf(certs ...*x509.Certificate) []byte {
	var buf bytes.Buffer
	for _, c := range certs {
		buf.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return buf.Bytes()
}

func sign(t testing.TB, template *x509.Certificate, key crypto.Signer, ca *CA) *x509.Certificate {
	t.Helper()
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.Cert, ca.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "", "ec":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		t.Fatalf("redistest: key %q: want ec, rsa or ed25519", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return n.Add(n, big.NewInt(1))
}
