package main

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

// A caProxy is an HTTPS server before the authority, with a root of its own. Its
// mode is what it does with the requests that end in a certificate.
type caProxy struct {
	*httptest.Server
	behind *realCA
	ca     *redistest.CA // an intermediate
	pass   http.Handler  // passes a request on to the authority

	mu   sync.Mutex
	mode string
	n    int // requests for a certificate since the mode was set
}

// setCAProxy sets the mode of the proxy before the authority.
func (s *host) setCAProxy(ts *testscript.TestScript, mode string) {
	if s.caProxy == nil {
		s.caProxy = newCAProxy(s.t, s.ca)
		ts.Setenv("CA_PROXY_URL", s.caProxy.URL)
		ts.Setenv("CA_PROXY_PIN", cert.FingerprintOf(s.caProxy.ca.Root().Cert).String())
	}
	s.caProxy.mu.Lock()
	defer s.caProxy.mu.Unlock()
	s.caProxy.mode, s.caProxy.n = mode, 0
}

func newCAProxy(t testing.TB, behind *realCA) *caProxy {
	root := redistest.NewRoot(t)
	u, err := url.Parse("https://" + behind.Address)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: cert.Pool([]*x509.Certificate{behind.RootCertificate})}}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.Transport, proxy.ErrorLog = transport, log.New(io.Discard, "", 0)
	p := &caProxy{behind: behind, ca: root.Intermediate(t, time.Time{}, time.Time{}), pass: proxy, mode: "pass"}
	p.Server = httptest.NewUnstartedServer(p)
	p.TLS = &tls.Config{Certificates: []tls.Certificate{*root.Issue(t, redistest.Leaf{}).TLS()}}
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

// asked is how often a certificate was asked for since the mode was set.
func (p *caProxy) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

func (p *caProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/root/"):
		answer(w, http.StatusOK, map[string]any{"ca": pemText(p.ca.Root().Cert)})
	case r.URL.Path == "/roots":
		answer(w, http.StatusCreated, map[string]any{"crts": []string{pemText(p.ca.Root().Cert), pemText(p.behind.RootCertificate)}})
	case r.URL.Path == "/1.0/sign", r.URL.Path == "/1.0/rekey", r.URL.Path == "/1.0/renew":
		p.mu.Lock()
		p.n++
		mode := p.mode
		p.mu.Unlock()
		p.grant(w, r, mode)
	default:
		p.pass.ServeHTTP(w, r)
	}
}

func (p *caProxy) grant(w http.ResponseWriter, r *http.Request, mode string) {
	wait := map[string]string{"busy": "3600", "hiccup": "1"}[mode]
	switch {
	case mode == "pass":
		p.pass.ServeHTTP(w, r)
	case wait != "":
		w.Header().Set("Retry-After", wait)
		answer(w, http.StatusServiceUnavailable, map[string]any{"status": 503, "message": "the authority is being moved"})
	case mode == "garbage":
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "\x00\x01\x02 this is no certificate\n\x1b[31m")
	case mode == "html":
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html><h1>Bad Gateway</h1></html>")
	case r.URL.Path != "/1.0/sign":
		answer(w, http.StatusForbidden, map[string]any{"status": 403, "message": "only with a token"})
	default:
		chain, err := p.sign(r, mode)
		if err != nil {
			answer(w, http.StatusBadRequest, map[string]any{"status": 400, "message": err.Error()})
			return
		}
		answer(w, http.StatusCreated, map[string]any{"crt": chain[0], "certChain": chain})
	}
}

// sign gives a certificate that has the fault which the mode names.
func (p *caProxy) sign(r *http.Request, mode string) ([]string, error) {
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
		SerialNumber: new(big.Int).SetBytes([]byte(rand.Text())), Subject: pkix.Name{CommonName: "proxy"},
		DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	var key crypto.PublicKey = csr.PublicKey
	chain, parent := []string{"", pemText(p.ca.Cert)}, *p.ca.Cert
	switch mode {
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
		key = p.ca.Cert.PublicKey
	case "any":
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	case "keyid":
		parent.SubjectKeyId = []byte("of another issuer")
	case "cross":
		old, err := p.crossed()
		if err != nil {
			return nil, err
		}
		chain = append(chain, old)
	default:
		return nil, fmt.Errorf("the mode %s is not known", mode)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, &parent, key, p.ca.Key)
	chain[0] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return chain, err
}

// crossed returns the root as an older root has signed it, which expired long ago.
func (p *caProxy) crossed() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	root := p.ca.Root().Cert
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: root.Subject, SubjectKeyId: root.SubjectKeyId,
		NotBefore: time.Now().AddDate(-9, 0, 0), NotAfter: time.Now().AddDate(-1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: pkix.Name{CommonName: "Old Root"}}, root.PublicKey, key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), err
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
