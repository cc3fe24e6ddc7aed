package step

import (
	"bytes"
	"context"
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
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/cmd/redis-cert-ca/authority"

	"go.step.sm/crypto/pemutil"
)

var names = []string{"redis1.internal", "redis2.internal", "127.0.0.1", "fd00::1"}

// realCA is a step-ca in process, and the directory that it runs from.
type realCA struct {
	*authority.Running
	dir string
}

func initCA(t *testing.T, change func(*authority.InitOptions)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	o := authority.InitOptions{Dir: dir, DNS: []string{"127.0.0.1", "localhost"}, Address: "127.0.0.1:0", ACME: true}
	if change != nil {
		change(&o)
	}
	if _, err := authority.Init(o); err != nil {
		t.Fatal(err)
	}
	return dir
}

func runCA(t *testing.T, dir, address string) *realCA {
	t.Helper()
	run, err := authority.Start(dir, authority.RunOptions{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { run.Close() })
	return &realCA{run, dir}
}

func startCA(t *testing.T, change func(*authority.InitOptions)) *realCA {
	t.Helper()
	return runCA(t, initCA(t, change), "127.0.0.1:0")
}

// restart ends the CA and starts it again on the same port.
func (r *realCA) restart(t *testing.T) *realCA {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return runCA(t, r.dir, r.Address)
}

func (r *realCA) options() Options {
	return Options{URL: r.URL, Fingerprint: r.Fingerprint, Provisioner: r.ProvisionerName,
		Password: func() ([]byte, error) { return r.Running.Password, nil }}
}

// reshape signs c anew with the CA's own intermediate after change: it makes
// certificates that the CA issued in the past, without the past.
func (r *realCA) reshape(t *testing.T, c *x509.Certificate, key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(r.dir, "secrets/password"))
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := pemutil.Read(filepath.Join(r.dir, "secrets/intermediate_ca_key"), pemutil.WithPassword(password))
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := pemutil.ReadCertificate(filepath.Join(r.dir, "certs/intermediate_ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	template := *c
	template.SerialNumber = serial(t)
	template.ExtraExtensions = nil
	for _, e := range c.Extensions {
		if strings.HasPrefix(e.Id.String(), "1.3.6.1.4.1.37476.9000.64") { // the provisioner
			template.ExtraExtensions = append(template.ExtraExtensions, e)
		}
	}
	change(&template)
	der, err := x509.CreateCertificate(rand.Reader, &template, issuer, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// expired is a pair whose certificate really expired half an hour ago. The CA's
// own certificates start an hour ago.
func (r *realCA) expired(t *testing.T, p *cert.Pair) *cert.Pair {
	t.Helper()
	leaf := r.reshape(t, p.Leaf(), p.Key, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-50*time.Minute), time.Now().Add(-30*time.Minute)
	})
	return pair(t, ca.Issued{Chain: append([]*x509.Certificate{leaf}, p.Chain[1:]...), Key: p.Key, Roots: p.CA})
}

func issue(t *testing.T, c *Client, r ca.Request) ca.Issued {
	t.Helper()
	if r.Names == nil {
		r.Names = names
	}
	if r.KeyType == "" {
		r.KeyType = cert.P256
	}
	got, err := c.Issue(context.Background(), r)
	if err != nil {
		t.Fatalf("issue: %v", err)
	}
	return got
}

// refused is for requests that must fail. It checks what holds for every
// error: a type, one line, no secret.
func refused(t *testing.T, c *Client, r ca.Request) *Error {
	t.Helper()
	if r.Names == nil {
		r.Names = names
	}
	if r.KeyType == "" {
		r.KeyType = cert.P256
	}
	got, err := c.Issue(context.Background(), r)
	if err == nil {
		t.Fatalf("issued by %s, want an error", got.Method)
	}
	e, ok := err.(*Error)
	if !ok {
		t.Fatalf("error of type %T, want *Error: %v", err, err)
	}
	text := e.Error()
	if strings.ContainsAny(text, "\n\r\x1b") || len([]rune(text)) > 1000 {
		t.Errorf("not one line: %q", text)
	}
	if strings.Contains(text, "eyJ") {
		t.Errorf("a token shows: %s", text)
	}
	if c.opts.Password != nil {
		if p, err := c.opts.Password(); err == nil && len(p) > 0 && strings.Contains(text, string(p)) {
			t.Errorf("the password shows: %s", text)
		}
	}
	return e
}

// says checks that an error tells all of words.
func says(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error without %q: %v", w, err)
		}
	}
	t.Log(err)
}

func pair(t *testing.T, i ca.Issued) *cert.Pair {
	t.Helper()
	p, err := cert.New(i.Chain, i.Key, i.Roots)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// good checks an answer as the agent does before it touches disk.
func good(t *testing.T, i ca.Issued, method string, wanted []string, kt cert.KeyType) *cert.Pair {
	t.Helper()
	if i.Method != method {
		t.Errorf("issued by %s, want %s", i.Method, method)
	}
	p := pair(t, i)
	need := cert.Need{Names: wanted, KeyType: kt, Client: true, Roots: cert.Pool(i.Roots)}
	if err := need.Check(p, time.Now()); err != nil {
		t.Error(err)
	}
	return p
}

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
	o := Options{Provisioner: "redis", Password: func() ([]byte, error) { return []byte("secret"), nil }}
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
