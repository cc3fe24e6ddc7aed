package acme

import (
	"crypto/x509"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/acme/acmetest"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/cmd/redis-cert-ca/authority"
)

// hookArg makes the test's program a hook: PROGRAM hookArg SERVER present|cleanup NAME VALUE.
const hookArg = "act-as-dns-hook"

// TestMain ends the step-ca that the tests share. It is a hook for dns-01 as
// well, when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == hookArg {
		os.Exit(acmetest.Hook(os.Args[2:]))
	}
	dir, err := os.MkdirTemp("", "acme-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	sharedDir = dir
	// The tests wait for polls more than they compute.
	polling.Longest = time.Second
	parallel := "8"
	if os.Getenv("ACME_MATRIX") == "all" { // thousands of CAs, which sleep
		parallel = "64"
	}
	if err := flag.Set("test.parallel", parallel); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if stop != nil {
		stop()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

var (
	sharedDir string
	stop      func()
	shared    = sync.OnceValues(startStepCA)
)

// stepCA is redis-cert-ca's authority, a whole step-ca in process. One serves
// all tests: to decrypt its keys takes a second of CPU. Each test has names of
// its own, which resolve to an address of its own.
type stepCA struct {
	*authority.Running
	httpPort, tlsPort int
	names             *acmetest.Nameserver
}

func startStepCA() (*stepCA, error) {
	t := new(acmetest.Shared)
	s := &stepCA{names: acmetest.NewNameserver(t, "internal", "127.0.0.1")}
	// Addresses are the tests' own, ports are not: take one that is free on
	// an address that nobody else uses.
	host := acmetest.FreshHost(t)
	s.httpPort, s.tlsPort = acmetest.FreePort(t, host), acmetest.FreePort(t, host)
	info, err := authority.Init(authority.InitOptions{Dir: filepath.Join(sharedDir, "ca"), DNS: []string{"127.0.0.1"}, Address: "127.0.0.1:0", ACME: true})
	if err != nil {
		return nil, err
	}
	s.Running, err = authority.Start(info.Dir, authority.RunOptions{
		ACMEHTTPPort: s.httpPort, ACMETLSPort: s.tlsPort, ACMEResolver: s.names.Addr,
	})
	stop = func() {
		if s.Running != nil {
			s.Close()
		}
		t.End()
	}
	return s, err
}

func useStepCA(t *testing.T) *stepCA {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// claim makes name resolve to an address that is this test's alone, and returns
// the address.
func (s *stepCA) claim(t *testing.T, names ...string) string {
	t.Helper()
	host := acmetest.FreshHost(t)
	for _, n := range names {
		s.names.Add(t, n+". 1 IN A "+host)
	}
	return host
}

func (s *stepCA) options(t *testing.T, how Challenge) Options {
	return Options{
		URL: s.ACMEDirectory, Roots: []*x509.Certificate{s.RootCertificate}, Challenge: how,
		AccountKeyFile: filepath.Join(t.TempDir(), "account.key"),
		Timeout:        time.Minute,
		Warn:           func(msg string) { t.Log("warn: " + msg) },
	}
}

// at is host:port.
func at(host string, port int) string { return net.JoinHostPort(host, fmt.Sprint(port)) }

func issue(t testing.TB, c *Client, r ca.Request) ca.Issued {
	t.Helper()
	got, err := c.Issue(t.Context(), fill(r))
	if err != nil {
		t.Fatalf("issue: %v", err)
	}
	return got
}

// fill completes a request with what most tests want.
func fill(r ca.Request) ca.Request {
	if r.Names == nil {
		r.Names = []string{"redis1.internal"}
	}
	if r.KeyType == "" {
		r.KeyType = cert.P256
	}
	if r.Now.IsZero() {
		r.Now = time.Now()
	}
	return r
}

// refused is for requests that must fail. It checks what holds for every error:
// a type, one line, no secret.
func refused(t testing.TB, c *Client, r ca.Request) *ca.Error {
	t.Helper()
	got, err := c.Issue(t.Context(), fill(r))
	if err == nil {
		t.Fatalf("issued by %s, want an error", got.Issuer)
	}
	return checked(t, c, err)
}

func checked(t testing.TB, c *Client, err error) *ca.Error {
	t.Helper()
	e, ok := err.(*ca.Error)
	if !ok {
		t.Fatalf("error of type %T, want *ca.Error: %v", err, err)
	}
	text := e.Error()
	if strings.ContainsAny(text, "\n\r\x1b") || len([]rune(text)) > 1500 {
		t.Errorf("not one line: %q", text)
	}
	if eab := c.opts.EAB; eab != nil && eab.Key.Set() {
		if key, err := eab.Key.Read(); err == nil && len(key) > 0 && strings.Contains(text, string(key)) {
			t.Errorf("the HMAC key shows: %s", text)
		}
	}
	return e
}

// says checks that an error tells all of words.
func says(t testing.TB, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error without %q: %v", w, err)
		}
	}
	t.Log(err)
}

// good checks an answer as the agent does before it touches disk.
func good(t testing.TB, i ca.Issued, names []string, kt cert.KeyType) *cert.Pair {
	t.Helper()
	if i.Method != Method || !strings.HasPrefix(i.Issuer, "acme 127.0.0.1:") {
		t.Errorf("issued by %q (%s)", i.Issuer, i.Method)
	}
	p, err := cert.New(i.Chain, i.Key, i.Roots)
	if err != nil {
		t.Fatal(err)
	}
	need := cert.Need{Names: names, KeyType: kt, Roots: i.Roots}
	if err := need.Check(p, time.Now()); err != nil {
		t.Error(err)
	}
	if p.Chain[len(p.Chain)-1].IsCA && selfSigned(p.Chain[len(p.Chain)-1]) {
		t.Error("the chain has a root in it")
	}
	return p
}

// closed checks that nobody listens at addr.
func closed(t testing.TB, addr string) {
	t.Helper()
	if conn, err := net.DialTimeout("tcp", addr, 5*time.Second); err == nil {
		conn.Close()
		t.Errorf("%s is still open", addr)
	}
}
