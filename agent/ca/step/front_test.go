package step

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"
)

// seen is one request that a front passed on or answered.
type seen struct {
	method, path, ott, bearer string
}

// front is an HTTPS server of a CA of its own, which stands in front of a real
// CA as a proxy that ends TLS does, and may answer in its place.
type front struct {
	*httptest.Server
	root *x509.Certificate

	mu   sync.Mutex
	seen []seen
}

// newFront starts one. Answer says whether it dealt with a request itself;
// behind may be nil when it always does.
func newFront(t *testing.T, behind *realCA, answer func(http.ResponseWriter, *http.Request) bool, change func(*tls.Config)) *front {
	t.Helper()
	root, chain := newServerChain(t, nil)
	f := &front{root: root}
	var proxy http.Handler = http.NotFoundHandler()
	if behind != nil {
		u, err := url.Parse(behind.URL)
		if err != nil {
			t.Fatal(err)
		}
		rp := httputil.NewSingleHostReverseProxy(u)
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: cert.Pool([]*x509.Certificate{behind.RootCertificate})}}
		t.Cleanup(tr.CloseIdleConnections)
		rp.Transport = tr
		rp.ErrorLog = log.New(io.Discard, "", 0)
		proxy = rp
	}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.record(r)
		switch {
		case answer != nil && answer(w, r):
		case strings.HasPrefix(r.URL.Path, "/root/"):
			reply(w, http.StatusOK, map[string]string{"ca": pemOf(root)})
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	f.TLS = &tls.Config{Certificates: []tls.Certificate{chain}}
	if change != nil {
		change(f.TLS)
	}
	f.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what some tests want
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

func (f *front) record(r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var sent struct {
		OTT string `json:"ott"`
	}
	_ = json.Unmarshal(body, &sent) // only /sign carries one
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, seen{r.Method, r.URL.Path, sent.OTT, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")})
}

// count is how many requests came for path.
func (f *front) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, s := range f.seen {
		if s.path == path {
			n++
		}
	}
	return n
}

// tokens checks that no token came twice, and returns how many came.
func (f *front) tokens(t *testing.T) int {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	had := map[string]bool{}
	for _, s := range f.seen {
		for _, token := range []string{s.ott, s.bearer} {
			if token == "" {
				continue
			}
			if had[token] {
				t.Errorf("a token came twice: %s %s", s.method, s.path)
			}
			had[token] = true
		}
	}
	return len(had)
}

// options point to the front, with the provisioner of the CA behind it.
func (f *front) options(behind *realCA) Options {
	o := Options{Provisioner: "redis", Password: secret.Func(func() ([]byte, error) { return []byte("secret"), nil })}
	if behind != nil {
		o = behind.options()
	}
	o.URL, o.Fingerprint = f.URL, cert.FingerprintOf(f.root).String()
	return o
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone; its test tells
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// newServerChain makes a root and a certificate of it for 127.0.0.1.
func newServerChain(t *testing.T, change func(leaf *x509.Certificate)) (*x509.Certificate, tls.Certificate) {
	t.Helper()
	rootKey, leafKey := newECKey(t), newECKey(t)
	rootTemplate := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: "Front Root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root := create(t, rootTemplate, rootTemplate, rootKey.Public(), rootKey)
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: "front"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	leaf := create(t, template, root, leafKey.Public(), rootKey)
	return root, tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey, Leaf: leaf}
}

func create(t *testing.T, template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func serial(t *testing.T) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
