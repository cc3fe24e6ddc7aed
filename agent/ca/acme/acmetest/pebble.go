package acmetest

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// Shape says how a Pebble differs from the plain one.
type Shape struct {
	BadNonces int               // percent of good nonces that are refused
	Remembers bool              // names that were proved need not be proved again
	Reuse     int               // percent of the names that were proved and need not be proved again
	Sleep     int               // seconds that it waits at most before it looks for a challenge
	EAB       map[string]string // accounts need one of these: key id to HMAC key
	Chains    int               // how many chains are offered beside the first
	Length    Length            // of the chains
	Lenient   bool              // it takes what RFC 8555 only tolerates
	Stages    bool              // what is done shows bit by bit: see stages
	Identity  string            // how it names itself in CAA records; empty: pebble.test
	Profiles  map[string]ca.Profile
	Blocked   []string // names that the policy refuses
	Host      string   // where challenges are looked for; empty: a fresh address of the loopback network
	Resolver  string   // DNS server, host:port; empty: a new one that knows every name
	// Answer says whether it dealt with a request in Pebble's place.
	Answer func(http.ResponseWriter, *http.Request) bool
}

// Pebble is a Pebble in process. It looks for challenges at Host, an address of
// the loopback network that this Pebble has for itself, so that the kernel does
// not give the ports there to other connections.
type Pebble struct {
	*httptest.Server
	Roots             []*x509.Certificate // of its server, and of what it issues
	Host              string
	HTTPPort, TLSPort int
	admin             http.Handler
	store             *db.MemoryStore

	mu       sync.Mutex
	seen     []string // method and path of each request
	orders   []string // the numbers of those that were made
	accounts int      // that were made
}

// Length says how long chains are.
type Length int

// Chains of one intermediate, and of three; and the certificate alone, as a CA sends it
// that is set up badly.
const (
	OneIssuer Length = iota
	ThreeIssuers
	LeafAlone
)

// issuers is the number that Pebble wants.
func (l Length) issuers() int {
	if l == ThreeIssuers {
		return 3
	}
	return 1
}

// environment guards the environment variables that Pebble reads.
var environment sync.Mutex

// StartPebble starts a Pebble, which ends with the test.
func StartPebble(t testing.TB, s Shape) *Pebble {
	t.Helper()
	if s.Host == "" {
		s.Host = FreshHost(t)
	}
	p := &Pebble{Host: s.Host}
	p.HTTPPort, p.TLSPort = FreePort(t, p.Host), FreePort(t, p.Host)
	if s.Resolver == "" {
		s.Resolver = NewNameserver(t, "internal", p.Host).Addr
	}
	if s.Profiles == nil {
		s.Profiles = map[string]ca.Profile{"default": {Description: "the default"}}
	}
	silent := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	p.store = store
	for id, key := range s.EAB {
		if err := store.AddExternalAccountKeyByID(id, key); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range s.Blocked {
		if err := store.AddBlockedDomain(name); err != nil {
			t.Fatal(err)
		}
	}
	environment.Lock()
	for name, value := range s.environment() {
		os.Setenv(name, value)
	}
	authority := ca.New(silent, store, "", "ecdsa", s.Chains, s.Length.issuers(), s.Profiles)
	front := wfe.New(silent, store, va.New(silent, p.HTTPPort, p.TLSPort, !s.Lenient, s.Resolver, store), authority,
		[]string{cmp.Or(s.Identity, "pebble.test")}, !s.Lenient, len(s.EAB) > 0, 0, 0)
	environment.Unlock()
	handler := p.counted(front.Handler())
	if s.Length == LeafAlone {
		handler = leafAlone(handler)
	}
	if s.Stages {
		handler = new(stages).before(handler)
	}
	p.admin = front.ManagementHandler()
	serve := func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, r.Method+" "+r.URL.Path)
		p.mu.Unlock()
		if s.Answer == nil || !s.Answer(w, r) {
			handler.ServeHTTP(w, r)
		}
	}
	var root *x509.Certificate
	p.Server, root = ServeTLS(t, http.HandlerFunc(serve))
	p.Roots = append(p.Roots, root)
	for i := range s.Chains + 1 {
		p.Roots = append(p.Roots, authority.GetRootCert(i).Cert)
	}
	return p
}

// environment is what makes Pebble differ, in the variables that it reads when it starts.
func (s Shape) environment() map[string]string {
	reuse := s.Reuse
	if s.Remembers {
		reuse = 100
	}
	return map[string]string{
		"PEBBLE_VA_NOSLEEP":      map[bool]string{true: "1", false: "0"}[s.Sleep == 0],
		"PEBBLE_VA_SLEEPTIME":    strconv.Itoa(s.Sleep),
		"PEBBLE_WFE_NONCEREJECT": strconv.Itoa(s.BadNonces),
		"PEBBLE_AUTHZREUSE":      strconv.Itoa(reuse),
	}
}

// Listen is host:port of where Pebble looks for challenges.
func (p *Pebble) Listen(port int) string { return net.JoinHostPort(p.Host, strconv.Itoa(port)) }

// Seen returns method and path of each request so far.
func (p *Pebble) Seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

// Count is how many requests had part in their method and path.
func (p *Pebble) Count(part string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, s := range p.seen {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

// Window sets what Pebble answers to questions for the renewal of c.
func (p *Pebble) Window(t testing.TB, c *x509.Certificate, answer string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{
		"Certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})),
		"ARIResponse": answer,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/set-renewal-info/", bytes.NewReader(body))
	r.Header.Set("User-Agent", "acmetest")
	p.admin.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("set the renewal window: %d %s", w.Code, w.Body)
	}
}

// Status is what Pebble has recorded of c: Valid or Revoked.
func (p *Pebble) Status(t testing.TB, c *x509.Certificate) string {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/cert-status-by-serial/"+c.SerialNumber.Text(16), nil)
	r.Header.Set("User-Agent", "acmetest")
	p.admin.ServeHTTP(w, r)
	var said struct{ Status string }
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
		t.Fatalf("status of a certificate: %d %s: %v", w.Code, w.Body, err)
	}
	return said.Status
}

// RootNames are the common names of what the chains lead to.
func (p *Pebble) RootNames() []string {
	var names []string
	for _, r := range p.Roots[1:] {
		names = append(names, r.Subject.CommonName)
	}
	return names
}

// Payload reads what a request signed, and leaves it to be read again.
func Payload(r *http.Request) string {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var jws struct {
		Payload string `json:"payload"`
	}
	_ = json.Unmarshal(body, &jws) // what is no JWS has no payload
	text, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
	return string(text)
}

// Problem answers with a problem document.
func Problem(w http.ResponseWriter, status int, kind, rest string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Replay-Nonce", "bm9uY2U")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s",%s}`, kind, rest)
}
