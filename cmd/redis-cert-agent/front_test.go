package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload/redistest"
)

// A front is an HTTPS server before the authority, with a root of its own, as a
// proxy that ends TLS. What it does with the requests that end in a certificate
// is its mood.
type front struct {
	*httptest.Server
	behind *realCA
	ca     *redistest.CA // an intermediate
	proxy  http.Handler

	mu   sync.Mutex
	mood string
	n    int // requests for a certificate
}

// cmdFront sets what the proxy before the authority does when it is asked for a
// certificate; $FRONT_URL and $FRONT_PIN lead to it.
//
//	front pass      passes it on
//	front busy      answers 503, Retry-After: an hour
//	front hiccup    answers 503, Retry-After: a second
//	front garbage   answers 201 and no JSON
//	front html      answers 502 and a page
//	front names     gives a certificate for other names
//	front leaf      gives a good certificate without its chain
//	front expired   gives one that has expired
//	front future    gives one that is not valid yet
//	front client    gives one that is no server's
//	front key       gives one for another key
func (s *stage) cmdFront(ts *testscript.TestScript, args []string) error {
	if s.front == nil {
		s.front = newFront(s.t, s.ca)
		ts.Setenv("FRONT_URL", s.front.URL)
		ts.Setenv("FRONT_PIN", cert.FingerprintOf(s.front.ca.Root().Cert).String())
	}
	s.front.mu.Lock()
	defer s.front.mu.Unlock()
	s.front.mood, s.front.n = args[0], 0
	return nil
}

func newFront(t testing.TB, behind *realCA) *front {
	root := redistest.NewRoot(t)
	u, err := url.Parse("https://" + behind.Address)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: cert.Pool([]*x509.Certificate{behind.RootCertificate})}}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.Transport, proxy.ErrorLog = transport, log.New(io.Discard, "", 0)
	f := &front{behind: behind, ca: root.Intermediate(t, time.Time{}, time.Time{}), proxy: proxy, mood: "pass"}
	f.Server = httptest.NewUnstartedServer(f)
	f.TLS = &tls.Config{Certificates: []tls.Certificate{*root.Issue(t, redistest.Leaf{}).TLS()}}
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

// asked is how often a certificate was asked for since the mood changed.
func (f *front) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/root/"):
		answer(w, http.StatusOK, map[string]any{"ca": pemText(f.ca.Root().Cert)})
	case r.URL.Path == "/roots":
		answer(w, http.StatusCreated, map[string]any{"crts": []string{pemText(f.ca.Root().Cert), pemText(f.behind.RootCertificate)}})
	case r.URL.Path == "/1.0/sign", r.URL.Path == "/1.0/rekey", r.URL.Path == "/1.0/renew":
		f.mu.Lock()
		f.n++
		mood := f.mood
		f.mu.Unlock()
		f.grant(w, r, mood)
	default:
		f.proxy.ServeHTTP(w, r)
	}
}

func (f *front) grant(w http.ResponseWriter, r *http.Request, mood string) {
	wait := map[string]string{"busy": "3600", "hiccup": "1"}[mood]
	switch {
	case mood == "pass":
		f.proxy.ServeHTTP(w, r)
	case wait != "":
		w.Header().Set("Retry-After", wait)
		answer(w, http.StatusServiceUnavailable, map[string]any{"status": 503, "message": "the authority is being moved"})
	case mood == "garbage":
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "\x00\x01\x02 this is no certificate\n\x1b[31m")
	case mood == "html":
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html><h1>Bad Gateway</h1></html>")
	case r.URL.Path != "/1.0/sign":
		answer(w, http.StatusForbidden, map[string]any{"status": 403, "message": "only with a token"})
	default:
		chain, err := f.sign(r, mood)
		if err != nil {
			answer(w, http.StatusBadRequest, map[string]any{"status": 400, "message": err.Error()})
			return
		}
		answer(w, http.StatusCreated, map[string]any{"crt": chain[0], "certChain": chain})
	}
}

// sign gives a certificate that has the fault of the mood.
func (f *front) sign(r *http.Request, mood string) ([]string, error) {
	var sent struct {
		CSR string `json:"csr"`
	}
	if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(sent.CSR))
	if block == nil {
		return nil, fmt.Errorf("no CSR in %q", sent.CSR)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes([]byte(rand.Text())), Subject: pkix.Name{CommonName: "front"},
		DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	var key crypto.PublicKey = csr.PublicKey
	chain := []string{"", pemText(f.ca.Cert)}
	switch mood {
	case "names":
		template.DNSNames, template.IPAddresses = []string{"elsewhere.internal"}, nil
	case "leaf":
		chain = chain[:1]
	case "expired":
		template.NotBefore, template.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	case "future":
		template.NotBefore, template.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	case "client":
		template.ExtKeyUsage = template.ExtKeyUsage[1:]
	case "key":
		key = f.ca.Cert.PublicKey
	default:
		return nil, fmt.Errorf("the mood %s is not known", mood)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, f.ca.Cert, key, f.ca.Key)
	chain[0] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return chain, err
}

func answer(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		panic(err) // strings and numbers
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client may be gone; its test tells
}

func pemText(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}
