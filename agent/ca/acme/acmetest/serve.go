package acmetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// ServeTLS starts an HTTPS server on 127.0.0.1 and returns the root of its
// certificate.
func ServeTLS(t testing.TB, h http.Handler, change ...func(*http.Server)) (*httptest.Server, *x509.Certificate) {
	t.Helper()
	root, chain := NewServerChain(t)
	srv := httptest.NewUnstartedServer(h)
	for _, f := range change {
		f(srv.Config)
	}
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{chain}}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what some tests want
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv, root
}

// NewServerChain makes a root and a certificate of it for 127.0.0.1.
func NewServerChain(t testing.TB) (*x509.Certificate, tls.Certificate) {
	t.Helper()
	rootKey, leafKey := newECKey(t), newECKey(t)
	rootTemplate := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Front Root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root := sign(t, rootTemplate, rootTemplate, rootKey, rootKey)
	leaf := sign(t, &x509.Certificate{
		Subject:   pkix.Name{CommonName: "front"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, root, leafKey, rootKey)
	return root, tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey, Leaf: leaf}
}

func sign(t testing.TB, template, parent *x509.Certificate, of, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, of.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// taken are the last octets of the loopback addresses that tests have now.
var taken struct {
	sync.Mutex
	octets [251]bool
}

// FreshHost returns an address in 127.0.0.0/8 that no other test of this
// process listens on until t ends; the process's number keeps others apart.
func FreshHost(t testing.TB) string {
	t.Helper()
	taken.Lock()
	defer taken.Unlock()
	pid := os.Getpid()
	for i := 1; i < len(taken.octets); i++ {
		if taken.octets[i] {
			continue
		}
		taken.octets[i] = true
		t.Cleanup(func() {
			taken.Lock()
			defer taken.Unlock()
			taken.octets[i] = false
		})
		return net.IPv4(127, byte(1+pid>>8%254), byte(pid), byte(i)).String()
	}
	t.Fatal("no more addresses")
	return ""
}

// FreePort returns a TCP port that nobody listens on at host.
func FreePort(t testing.TB, host string) int {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// Shared stands in for a test where something outlives each of them.
type Shared struct {
	testing.TB
	cleanups []func()
}

// Helper does nothing.
func (*Shared) Helper() {}

// Cleanup keeps f for End.
func (s *Shared) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// Fatal panics: there is no test to fail.
func (*Shared) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// Error prints.
func (*Shared) Error(args ...any) { fmt.Fprintln(os.Stderr, args...) }

// End does what Cleanup was given, the last first.
func (s *Shared) End() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}
