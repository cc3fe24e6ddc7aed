package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/acme/acmetest"
	"redis-cert-agent/agent/ca/step"
	"redis-cert-agent/agent/cert"

	pebbleca "github.com/letsencrypt/pebble/v2/ca"
)

type certificate = x509.Certificate

var errDeadline = context.DeadlineExceeded

// Two calls at the same time make one order after the other.
func TestOneOrderAtATime(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int32
	p := startPebble(t, shape{Answer: func(_ http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path == "/order-plz":
			for n := running.Add(1); ; {
				if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
		case strings.HasPrefix(r.URL.Path, "/certZ/"):
			running.Add(-1)
		}
		return false
	}})
	c := New(p.options(t))
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := c.Issue(t.Context(), fill(ca.Request{})); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n != 1 {
		t.Errorf("%d orders at a time", n)
	}

	// Who waits for its turn goes when its context ends.
	if err := c.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Issue(ctx, fill(ca.Request{})); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while it waits: %v", err)
	}
	c.unlock()
}

// When the context ends in the middle of an order, the listener closes.
func TestCancelled(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	p := startPebble(t, shape{Answer: func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/chalZ/") {
			return false
		}
		acmetest.Payload(r) // net/http notices that the client goes once the body is read
		begun <- struct{}{}
		<-r.Context().Done()
		return true
	}})
	for _, how := range []Challenge{HTTP01{Listen: p.Listen(p.HTTPPort)}, TLSALPN01{Listen: p.Listen(p.TLSPort)}} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { <-begun; cancel() }()
		o := p.options(t)
		o.Challenge = how
		c := New(o)
		_, err := c.Issue(ctx, fill(ca.Request{}))
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled: %v", err)
		}
		says(t, checked(t, c, err), "prove redis1.internal", "cancelled")
	}
	closed(t, p.Listen(p.HTTPPort))
	closed(t, p.Listen(p.TLSPort))
}

// Nothing stays behind: no connection to the CA, no goroutine.
func TestLeavesNothing(t *testing.T) {
	p := startPebble(t, shape{})
	open := make(chan net.Conn, 100)
	closed := make(chan net.Conn, 100)
	front, root := acmetest.ServeTLS(t, p.Config.Handler, func(srv *http.Server) {
		srv.ConnState = func(c net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				open <- c
			case http.StateClosed:
				closed <- c
			}
		}
	})
	for _, how := range []Challenge{HTTP01{Listen: p.Listen(p.HTTPPort)}, TLSALPN01{Listen: p.Listen(p.TLSPort)}} {
		o := p.options(t)
		o.URL, o.Roots, o.Challenge = front.URL+"/dir", append(p.Roots, root), how
		issue(t, New(o), ca.Request{})
	}
	if n := len(open); n == 0 || n > 4 {
		t.Errorf("%d connections for two orders", n)
	}
	for range len(open) {
		select {
		case <-closed:
		case <-time.After(time.Minute):
			t.Fatal("a connection stays open")
		}
	}
	// What ends does so a moment later.
	for deadline := time.After(time.Minute); ; {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "acme.(*httpProof)") && !strings.Contains(stacks, "acme.(*alpnProof)") && !strings.Contains(stacks, "(*Transport)") {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("goroutines stay:\n%s", stacks)
		default:
			runtime.Gosched()
		}
	}
}

// The key is kept where that is wanted, and made anew where not.
func TestKeys(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	c := New(p.options(t))
	names := []string{"redis1.internal"}
	first := good(t, issue(t, c, ca.Request{}), names, cert.P256)
	same := good(t, issue(t, c, ca.Request{Current: first, ReuseKey: true}), names, cert.P256)
	if same.Key != first.Key {
		t.Error("another key")
	}
	other := good(t, issue(t, c, ca.Request{Current: same}), names, cert.P256)
	if other.Key == first.Key {
		t.Error("the same key")
	}
	good(t, issue(t, c, ca.Request{Current: other, ReuseKey: true, KeyType: "rsa-2048"}), names, "rsa-2048")
	if e := refused(t, c, ca.Request{KeyType: "ed448"}); e.Status != 0 {
		t.Errorf("%+v", e)
	}
}

func TestNamesInOtherCase(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	good(t, issue(t, New(p.options(t)), ca.Request{Names: []string{"Redis1.Internal", "redis1.internal"}}), []string{"redis1.internal"}, cert.P256)
}

func TestPreferredChain(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{Chains: 2})
	o := p.options(t)
	for _, want := range p.RootNames() {
		o.PreferredChain = strings.ToUpper(want)
		chain := issue(t, New(o), ca.Request{}).Chain
		if got := top(chain).Issuer.CommonName; got != want {
			t.Errorf("the chain leads to %q, want %q", got, want)
		}
	}
	var told []string
	o.Warn = func(msg string) { told = append(told, msg) }
	o.PreferredChain = "Nobody"
	chain := issue(t, New(o), ca.Request{}).Chain
	if got := top(chain).Issuer.CommonName; got != p.RootNames()[0] {
		t.Errorf("the chain leads to %q, want the CA's own choice", got)
	}
	if len(told) != 1 || !strings.Contains(told[0], `no chain to "Nobody"`) || !strings.Contains(told[0], p.RootNames()[2]) {
		t.Errorf("told %q", told)
	}
}

func TestProfile(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{Profiles: map[string]pebbleca.Profile{"classic": {}, "short": {ValidityPeriod: 3600}}})
	o := p.options(t)
	o.Profile = "short"
	leaf := issue(t, New(o), ca.Request{}).Chain[0]
	if life := leaf.NotAfter.Sub(leaf.NotBefore).Round(time.Minute); life != time.Hour {
		t.Errorf("it lives for %s", life)
	}
	o.Profile = "long"
	before := p.Count("order-plz")
	says(t, refused(t, New(o), ca.Request{}), `no profile "long"`, `one of "classic", "short"`)
	s := useStepCA(t)
	o = s.options(t, HTTP01{})
	o.Profile = "long"
	says(t, refused(t, New(o), ca.Request{}), "it has no profiles")
	if p.Count("order-plz") != before {
		t.Error("an order was made")
	}
}

// Without roots of its own, a client takes the system's, and tells which of
// them the chain leads to.
func TestSystemRoots(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{Chains: 1})
	stranger, _ := acmetest.NewServerChain(t)
	o := p.options(t)
	o.Roots = nil
	c := New(o)
	c.system = cert.Pool(append([]*certificate{stranger}, p.Roots...))
	got := issue(t, c, ca.Request{})
	good(t, got, []string{"redis1.internal"}, cert.P256)
	if len(got.Roots) != 1 || got.Roots[0].Subject.CommonName != p.RootNames()[0] {
		t.Errorf("roots are %v", got.Roots)
	}
	c.system = cert.Pool(p.Roots[:1]) // the server's own alone
	says(t, refused(t, c, ca.Request{}), "download: ", "no root that this host trusts", "issuer.acme.roots_file")
}

// A step-ca is known by the fingerprint of its root.
func TestFetchRoot(t *testing.T) {
	t.Parallel()
	s := useStepCA(t)
	host := s.claim(t, "f1.internal")
	names := []string{"f1.internal"}
	o := s.options(t, HTTP01{Listen: at(host, s.httpPort)})
	o.Roots = nil
	calls := 0
	fail := errors.New("not now")
	o.Fingerprint = s.Fingerprint
	o.FetchRoot = func(ctx context.Context, url, fingerprint string) (*x509.Certificate, error) {
		if calls++; calls == 1 {
			return nil, fail
		}
		return step.FetchRoot(ctx, url, fingerprint)
	}
	c := New(o)
	if e := refused(t, c, ca.Request{Names: names}); !errors.Is(e, fail) {
		t.Errorf("%v, want what FetchRoot said", e)
	}
	for range 2 {
		got := issue(t, c, ca.Request{Names: names})
		good(t, got, names, cert.P256)
		if len(got.Roots) != 1 || !got.Roots[0].Equal(s.RootCertificate) {
			t.Errorf("roots are %v", got.Roots)
		}
	}
	if calls != 2 {
		t.Errorf("the root was fetched %d times", calls)
	}
	// The CA no longer offers it, and named it before.
	o.FetchRoot = func(context.Context, string, string) (*x509.Certificate, error) { return nil, fail }
	good(t, issue(t, New(o), ca.Request{Names: names, Roots: []*certificate{s.RootCertificate}}), names, cert.P256)

	wrong := o
	wrong.Fingerprint, wrong.FetchRoot = strings.Repeat("ab", 32), step.FetchRoot
	says(t, refused(t, New(wrong), ca.Request{Names: names}), "root: ", "404", "compare the configured fingerprint")

	// A look finds that while a named root still carries the renewals, and tells a CA that is
	// not there from one that is another.
	right := o
	right.FetchRoot = step.FetchRoot
	if ahead, err := New(right).Inspect(t.Context(), nil); err != nil || ahead.Abs() > time.Minute {
		t.Errorf("all is well: %s, %v", ahead, err)
	}
	c = New(wrong)
	good(t, issue(t, c, ca.Request{Names: names, Roots: []*certificate{s.RootCertificate}}), names, cert.P256)
	var e *ca.Error
	if _, err := c.Inspect(t.Context(), []*certificate{s.RootCertificate}); !errors.As(err, &e) || e.Absent() || !strings.Contains(err.Error(), "compare the configured fingerprint") {
		t.Errorf("another fingerprint: %v", err)
	}
	right.URL = "https://" + at(host, acmetest.FreePort(t, host)) + "/acme/acme/directory"
	if _, err := New(right).Inspect(t.Context(), nil); !errors.As(err, &e) || !e.Absent() {
		t.Errorf("nobody there: %v", err)
	}
}
