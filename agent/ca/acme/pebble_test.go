package acme

import (
	"bytes"
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
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// shape says how a Pebble differs from the plain one.
type shape struct {
	badNonces int               // percent of good nonces that are refused
	remembers bool              // names that were proved need not be proved again
	eab       map[string]string // accounts need one of these: key id to HMAC key
	chains    int               // how many chains are offered beside the first
	profiles  map[string]ca.Profile
	blocked   []string // names that the policy refuses
	resolver  string   // DNS server, host:port; empty: a new one that knows every name
	// answer says whether it dealt with a request in Pebble's place.
	answer func(http.ResponseWriter, *http.Request) bool
}

// pebble is a Pebble in process. It looks for challenges at host, an address of
// the loopback network that is this Pebble's alone, so that the ports there are
// not lent to other connections.
type pebble struct {
	*httptest.Server
	roots             []*x509.Certificate // of its server, and of what it issues
	host              string
	httpPort, tlsPort int
	admin             http.Handler

	mu   sync.Mutex
	seen []string // method and path of each request
}

// environment guards what Pebble reads of it.
var environment sync.Mutex

func startPebble(t testing.TB, s shape) *pebble {
	t.Helper()
	p := &pebble{host: freshHost(t)}
	p.httpPort, p.tlsPort = freePort(t, p.host), freePort(t, p.host)
	if s.resolver == "" {
		s.resolver = newNameserver(t, "internal", p.host).addr
	}
	if s.profiles == nil {
		s.profiles = map[string]ca.Profile{"default": {Description: "the default"}}
	}
	silent := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	for id, key := range s.eab {
		if err := store.AddExternalAccountKeyByID(id, key); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range s.blocked {
		if err := store.AddBlockedDomain(name); err != nil {
			t.Fatal(err)
		}
	}
	environment.Lock()
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	os.Setenv("PEBBLE_WFE_NONCEREJECT", strconv.Itoa(s.badNonces))
	reuse := map[bool]string{true: "100", false: "0"}
	os.Setenv("PEBBLE_AUTHZREUSE", reuse[s.remembers])
	authority := ca.New(silent, store, "", "ecdsa", s.chains, 1, s.profiles)
	front := wfe.New(silent, store, va.New(silent, p.httpPort, p.tlsPort, true, s.resolver, store), authority,
		[]string{"pebble.test"}, true, len(s.eab) > 0, 0, 0)
	environment.Unlock()
	handler := front.Handler()
	p.admin = front.ManagementHandler()
	serve := func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, r.Method+" "+r.URL.Path)
		p.mu.Unlock()
		if s.answer == nil || !s.answer(w, r) {
			handler.ServeHTTP(w, r)
		}
	}
	var root *x509.Certificate
	p.Server, root = serveTLS(t, http.HandlerFunc(serve))
	p.roots = append(p.roots, root)
	for i := range s.chains + 1 {
		p.roots = append(p.roots, authority.GetRootCert(i).Cert)
	}
	return p
}

// options are those of a client that is to succeed by http-01.
func (p *pebble) options(t testing.TB) Options {
	return Options{
		URL: p.URL + wfe.DirectoryPath, Roots: p.roots, TermsAccepted: true,
		AccountKeyFile: filepath.Join(t.TempDir(), "account.key"),
		Challenge:      HTTP01{Listen: p.listen(p.httpPort)},
		Timeout:        time.Minute, Patience: 20 * time.Second,
		Warn: func(msg string) { t.Log("warn: " + msg) },
	}
}

func (p *pebble) listen(port int) string { return net.JoinHostPort(p.host, strconv.Itoa(port)) }

// count is how many requests had part in their method and path.
func (p *pebble) count(part string) int {
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

// window sets what Pebble answers to questions for the renewal of c.
func (p *pebble) window(t testing.TB, c *x509.Certificate, answer string) {
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
	r.Header.Set("User-Agent", userAgent)
	p.admin.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("set the renewal window: %d %s", w.Code, w.Body)
	}
}

// taken numbers the loopback addresses that tests took.
var taken struct {
	sync.Mutex
	last int
}

// freshHost returns an address in 127.0.0.0/8 that no other test of this
// process listens on; the process's number keeps others apart.
func freshHost(t testing.TB) string {
	t.Helper()
	taken.Lock()
	defer taken.Unlock()
	taken.last++
	if taken.last > 250 {
		t.Fatal("no more addresses")
	}
	pid := os.Getpid()
	return net.IPv4(127, byte(1+pid>>8%254), byte(pid), byte(taken.last)).String()
}

func freePort(t testing.TB, host string) int {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// rootNames are the common names of what the chains lead to.
func (p *pebble) rootNames() []string {
	var names []string
	for _, r := range p.roots[1:] {
		names = append(names, r.Subject.CommonName)
	}
	return names
}

// payload reads what a request signed, and leaves it to be read again.
func payload(r *http.Request) string {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var jws struct {
		Payload string `json:"payload"`
	}
	_ = json.Unmarshal(body, &jws) // what is no JWS has no payload
	text, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
	return string(text)
}

// problem answers with a problem document.
func problem(w http.ResponseWriter, status int, kind, rest string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Replay-Nonce", "bm9uY2U")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s",%s}`, kind, rest)
}
