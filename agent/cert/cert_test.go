package cert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var begin = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// authority is a root, an intermediate, and the keys of both.
type authority struct {
	root, intermediate *x509.Certificate
	rootKey, key       crypto.Signer
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	a := authority{rootKey: newKey(t, P256), key: newKey(t, P256)}
	template := func(n int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: name},
			NotBefore: begin.AddDate(-1, 0, 0), NotAfter: begin.AddDate(1, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	a.root = sign(t, template(1, "root"), nil, a.rootKey.Public(), a.rootKey)
	a.intermediate = sign(t, template(2, "intermediate"), a.root, a.key.Public(), a.rootKey)
	return a
}

// newKey returns a key: those of which each takes seconds to make from testdata.
func newKey(t testing.TB, kind KeyType) crypto.Signer {
	t.Helper()
	generate := GenerateKey
	if kind == RSA3072 || kind == RSA4096 {
		generate = func(KeyType) (crypto.Signer, error) {
			text, err := os.ReadFile(filepath.Join("testdata", string(kind)+".key"))
			if err != nil {
				return nil, err
			}
			return ParseKey(text)
		}
	}
	key, err := generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, pub crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pair issues a server certificate of one day; change changes its template.
func (a authority) pair(t testing.TB, kind KeyType, change func(*x509.Certificate)) *Pair {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "redis.internal"},
		DNSNames: []string{"redis.internal"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 5)},
		NotBefore: begin, NotAfter: begin.AddDate(0, 0, 1), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	key := newKey(t, kind)
	leaf := sign(t, template, a.intermediate, key.Public(), a.key)
	p, err := New([]*x509.Certificate{leaf, a.intermediate}, key, []*x509.Certificate{a.root})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRoundTrip writes and reads a pair of each key type.
func TestRoundTrip(t *testing.T) {
	a := newAuthority(t)
	for _, kind := range []KeyType{P256, P384, RSA2048, RSA3072, RSA4096, Ed25519} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			p := a.pair(t, kind, nil)
			key, err := p.KeyPEM()
			if err != nil {
				t.Fatal(err)
			}
			got, err := Parse(p.CertPEM(), key, p.CAPEM())
			if err != nil {
				t.Fatal(err)
			}
			if got.Fingerprint() != p.Fingerprint() || len(got.Chain) != 2 || len(got.CA) != 1 {
				t.Error("another pair came back")
			}
			if got := KeyTypeOf(p.Leaf().PublicKey); got != kind {
				t.Errorf("KeyTypeOf says %s", got)
			}
		})
	}
}

// TestMismatch: no pair can be made of a certificate and another's key, also
// not of another algorithm, which redis would load with OK.
func TestMismatch(t *testing.T) {
	a := newAuthority(t)
	rsa, ec := a.pair(t, RSA2048, nil), a.pair(t, P256, nil)
	for _, key := range []crypto.Signer{ec.Key, newKey(t, RSA2048), newKey(t, Ed25519)} {
		if _, err := New(rsa.Chain, key, nil); !errors.Is(err, ErrMismatch) {
			t.Errorf("an RSA certificate with a %T: %v, want ErrMismatch", key, err)
		}
	}
	if _, err := New(nil, ec.Key, nil); err == nil {
		t.Error("a pair without a certificate")
	}
}

func TestParseFaults(t *testing.T) {
	a := newAuthority(t)
	p := a.pair(t, P256, nil)
	key, err := p.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	crt, caText := p.CertPEM(), p.CAPEM()
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	legacy := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: []byte("x")})
	tests := []struct {
		name            string
		crt, key, roots []byte
		want            string
	}{
		{"no certificate", nil, key, nil, "certificate: it is empty"},
		{"certificate cut", crt[:len(crt)-40], key, nil, "certificate: block 2, the CERTIFICATE at line 12, is damaged, and redis does not load the file: its end is missing"},
		{"certificate cut in the first", crt[:100], key, nil, "certificate: block 1, the CERTIFICATE at line 1, is damaged"},
		{"no key", crt, nil, nil, "private key: it is empty"},
		{"key cut", crt, key[:80], nil, "private key: block 1, the PRIVATE KEY at line 1, is damaged"},
		{"the key is a certificate", crt, crt, nil, "private key: it holds a CERTIFICATE and no private key"},
		{"encrypted key", crt, encrypted, nil, "the private key is encrypted"},
		{"encrypted key, old form", crt, legacy, nil, "the private key is encrypted"},
		{"CA cut", crt, key, caText[:100], "CA certificates: block 1, the CERTIFICATE at line 1, is damaged"},
		{"CA is no PEM", crt, key, []byte("garbage"), "CA certificates: no CERTIFICATE block"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.crt, tt.key, tt.roots)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := Parse(bytes.ReplaceAll(crt, []byte("\n"), []byte("\r\n")), append([]byte("a comment\n"), key...), []byte(" \n")); err != nil {
		t.Errorf("CRLF, a comment and an empty CA file: %v", err)
	}
}

// TestOpenSSLKeys reads the forms that openssl writes.
func TestOpenSSLKeys(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	key := filepath.Join(t.TempDir(), "key")
	for _, args := range [][]string{
		{"ecparam", "-name", "prime256v1", "-genkey", "-out", key}, // with a block of parameters
		{"genrsa", "-traditional", "-out", key, "2048"},
		{"genpkey", "-algorithm", "ed25519", "-out", key},
	} {
		if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v: %s", args, err, out)
		}
		text, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseKey(text); err != nil {
			t.Errorf("openssl %v: %v", args, err)
		}
	}
}

func TestNeed(t *testing.T) {
	a := newAuthority(t)
	other := newAuthority(t)
	need := Need{Names: []string{"redis.internal", "10.0.0.5"}, KeyType: P256, Client: true, Roots: []*x509.Certificate{a.root}}
	noon := begin.Add(12 * time.Hour)
	good := a.pair(t, P256, nil)
	bare := *good
	bare.Chain = good.Chain[:1]
	tests := []struct {
		name string
		pair *Pair
		need func(*Need)
		now  time.Time
		want []string // empty: accepted
	}{
		{"good", good, nil, noon, nil},
		{"case of a name", good, func(n *Need) { n.Names = []string{"Redis.Internal"} }, noon, nil},
		{"wildcard stands for a name", a.pair(t, P256, func(c *x509.Certificate) { c.DNSNames = []string{"*.site.internal"} }),
			func(n *Need) { n.Names = []string{"redis.site.internal", "*.site.internal"} }, noon, nil},
		{"no usage extension", a.pair(t, P256, func(c *x509.Certificate) { c.ExtKeyUsage = nil }), nil, noon, nil},
		{"missing name and address", a.pair(t, P256, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"x.internal"}, nil }), nil, noon,
			[]string{"not for redis.internal, only for x.internal", "not for 10.0.0.5"}},
		{"wildcard asked for", good, func(n *Need) { n.Names = []string{"*.internal"} }, noon, []string{"not for *.internal"}},
		{"another key type", a.pair(t, RSA2048, nil), nil, noon, []string{"its key is rsa-2048, not ec-p256"}},
		{"no serverAuth", a.pair(t, P256, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }), nil, noon, []string{"lacks serverAuth"}},
		{"no clientAuth", a.pair(t, P256, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }), nil, noon, []string{"lacks clientAuth"}},
		{"no clientAuth and none needed", a.pair(t, P256, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }),
			func(n *Need) { n.Client = false }, noon, nil},
		{"expired", good, nil, begin.AddDate(0, 0, 2), []string{"it expired at 2026-11-02T00:00:00Z"}},
		{"not yet valid", good, nil, begin.Add(-time.Second), []string{"it is not valid before 2026-11-01T00:00:00Z"}},
		{"intermediate expired", a.pair(t, P256, func(c *x509.Certificate) { c.NotAfter = begin.AddDate(5, 0, 0) }), nil, begin.AddDate(2, 0, 0),
			[]string{`its issuer "intermediate" expired`}},
		{"leaf without its chain", &bare, nil, noon, []string{"does not chain to the trusted roots", "given (1)"}},
		{"another CA", other.pair(t, P256, nil), nil, noon, []string{"does not chain to the trusted roots"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := need
			if tt.need != nil {
				tt.need(&n)
			}
			err := n.Check(tt.pair, tt.now)
			if (err == nil) != (len(tt.want) == 0) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %q, want one line with %q", err, want)
				}
			}
		})
	}
}

func TestRequest(t *testing.T) {
	der, err := Request(newKey(t, Ed25519), []string{"redis.internal", "10.0.0.5", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := csr.CheckSignature(); err != nil {
		t.Error(err)
	}
	if csr.Subject.CommonName != "redis.internal" || len(csr.DNSNames) != 1 || len(csr.IPAddresses) != 2 {
		t.Errorf("subject %q, DNS %v, IP %v", csr.Subject, csr.DNSNames, csr.IPAddresses)
	}
	if _, err := Request(newKey(t, P256), nil); err == nil {
		t.Error("a request without names")
	}
}

func TestKeyTypeOfOthers(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if got := KeyTypeOf(key.Public()); got != "ec-p521" {
		t.Errorf("P-521 is %q", got)
	}
	if _, err := GenerateKey("ec-p521"); err == nil {
		t.Error("a key of an unknown type")
	}
}

// FuzzParse: whatever the bytes, either an error or a pair that matches.
func FuzzParse(f *testing.F) {
	p := newAuthority(f).pair(f, P256, nil)
	key, err := p.KeyPEM()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.CertPEM(), key, p.CAPEM())
	f.Add(key, p.CertPEM(), []byte(nil))
	f.Fuzz(func(t *testing.T, crt, key, ca []byte) {
		p, err := Parse(crt, key, ca)
		if err != nil {
			return
		}
		if _, err := New(p.Chain, p.Key, p.CA); err != nil {
			t.Errorf("parsed, and yet: %v", err)
		}
		_ = Need{Names: []string{"a"}, Client: true, Roots: p.CA}.Check(p, begin)
	})
}

// Serial writes what `openssl x509 -serial` writes, in lower case.
func TestSerial(t *testing.T) {
	for want, n := range map[string]int64{"00": 0, "07": 7, "7e22": 0x7e22, "0123ab": 0x123ab, "-01": -1} {
		if got := Serial(&x509.Certificate{SerialNumber: big.NewInt(n)}); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	if got := Serial(new(x509.Certificate)); got != "none" {
		t.Errorf("without a number: %q", got)
	}
}

func TestOpenSSLRefuses(t *testing.T) {
	names := []string{"*.internal", "redis.internal", "*.site.internal", "10.0.0.5", "*.local", "localhost"}
	if got := OpenSSLRefuses(names); !slices.Equal(got, []string{"*.internal", "*.local"}) {
		t.Errorf("%q", got)
	}
}
