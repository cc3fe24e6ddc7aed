package acme

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/acme/acmetest"
	"redis-cert-agent/agent/cert"

	"github.com/miekg/dns"
)

// Half of all nonces are refused, and certificates come all the same. Ten
// refusals in a row, once in a hundred issues, are for the caller to try again.
func TestBadNonces(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{BadNonces: 50})
	c := New(p.options(t))
	names := []string{"redis1.internal"}
	for range 3 {
		got, err := c.Issue(t.Context(), fill(ca.Request{Names: names}))
		if err == nil {
			good(t, got, names, cert.P256)
			return
		}
		if e := checked(t, c, err); e.Type != "badNonce" {
			t.Fatal(e)
		}
	}
	t.Error("no certificate in three attempts")
}

// A name that the CA does not reach is named, and the others are not.
func TestNameNotReached(t *testing.T) {
	t.Parallel()
	n := acmetest.NewNameserver(t, "internal", "127.0.0.1")
	p := startPebble(t, shape{Resolver: n.Addr})
	n.Add(t, "redis1.internal. 60 IN A "+p.Host)
	n.Add(t, "lost.internal. 60 IN A "+acmetest.FreshHost(t))
	e := refused(t, New(p.options(t)), ca.Request{Names: []string{"redis1.internal", "lost.internal"}})
	says(t, e, "prove lost.internal: ", ": connection: ", "http://lost.internal/.well-known/acme-challenge/, port 80")
	if e.Name != "lost.internal" || e.Type != "connection" || strings.Contains(e.Error(), "redis1") {
		t.Errorf("name %q, type %q", e.Name, e.Type)
	}
	closed(t, p.Listen(p.HTTPPort))
}

// step-ca leaves a name pending that it does not reach.
func TestNameNotReachedStepCA(t *testing.T) {
	t.Parallel()
	s := useStepCA(t)
	host := s.claim(t, "near.internal")
	s.claim(t, "far.internal")
	for _, how := range []Challenge{HTTP01{Listen: at(host, s.httpPort)}, TLSALPN01{Listen: at(host, s.tlsPort)}} {
		t.Run(how.kind(), func(t *testing.T) {
			t.Parallel()
			c := New(s.options(t, how))
			c.phase = 15 * time.Second // in which step-ca looks at least once, on a busy machine too
			e := refused(t, c, ca.Request{Names: []string{"near.internal", "far.internal"}})
			says(t, e, "prove far.internal: ", "not validated within 15s by "+how.kind(), "connection", "firewalls")
			if !errors.Is(e, errDeadline) {
				t.Errorf("%v is no deadline", e)
			}
		})
	}
}

// The caller's deadline does not take the reason away.
func TestNameNotReachedInTime(t *testing.T) {
	t.Parallel()
	s := useStepCA(t)
	host := s.claim(t, "late.internal")
	o := s.options(t, HTTP01{Listen: at(host, s.httpPort)})
	s.names.Add(t, "later.internal. 1 IN A "+acmetest.FreshHost(t))
	o.Timeout = 20 * time.Second
	c := New(o)
	c.phase = time.Hour
	e := refused(t, c, ca.Request{Names: []string{"later.internal"}})
	says(t, e, "prove later.internal: ", "not validated in time by http-01", "could not connect")
}

// step-ca looks once. It is asked to look again, for a name that comes to lead
// here a moment later.
func TestStepCALooksAgain(t *testing.T) {
	t.Parallel()
	s := useStepCA(t)
	host := s.claim(t, "moving.internal")
	elsewhere := net.ParseIP(acmetest.FreshHost(t))
	var looks atomic.Int32
	s.names.Intercept("moving.internal.", func(q *dns.Msg) *dns.Msg {
		if q.Question[0].Qtype != dns.TypeA || looks.Add(1) > 1 {
			return nil
		}
		m := new(dns.Msg).SetReply(q)
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: elsewhere}}
		return m
	})
	names := []string{"moving.internal"}
	good(t, issue(t, New(s.options(t, HTTP01{Listen: at(host, s.httpPort)})), ca.Request{Names: names}), names, cert.P256)
	if n := looks.Load(); n < 2 {
		t.Errorf("it was looked up %d times", n)
	}
}

// What the CA's policy refuses.
func TestRejected(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{Blocked: []string{"blocked.internal"}})
	e := refused(t, New(p.options(t)), ca.Request{Names: []string{"blocked.internal"}})
	says(t, e, "order: https://127.0.0.1:", "answers 400: rejectedIdentifier: ", "blocked.internal", "leave it out of names")
}

// Names that the challenge cannot prove cost no order, and no request at all.
func TestProvable(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	o := p.options(t)
	command := DNS01Command{Command: []string{"/bin/true"}}
	tests := []struct {
		how   Challenge
		names []string
		says  string
	}{
		{HTTP01{}, []string{"a.internal", "*.internal"}, `only dns-01 proves a wildcard, and names has "*.internal"`},
		{TLSALPN01{}, []string{"*.internal"}, `only dns-01 proves a wildcard, and names has "*.internal"`},
		{command, []string{"a.internal", "10.0.0.1"}, `dns-01 proves no IP address (RFC 8738), and names has "10.0.0.1"`},
		{command, []string{"fd00::1"}, `dns-01 proves no IP address (RFC 8738), and names has "fd00::1"`},
		{HTTP01{}, []string{}, "no names"},
	}
	for _, tt := range tests {
		o.Challenge = tt.how
		says(t, refused(t, New(o), ca.Request{Names: tt.names}), tt.says)
	}
	if seen := p.Seen(); len(seen) > 0 {
		t.Errorf("requests: %q", seen)
	}
}

// A port that is taken costs no order.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	ln, err := net.Listen("tcp", p.Listen(p.HTTPPort))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, how := range []Challenge{HTTP01{Listen: ln.Addr().String()}, TLSALPN01{Listen: ln.Addr().String()}} {
		o := p.options(t)
		o.Challenge = how
		says(t, refused(t, New(o), ca.Request{}), "prove: "+how.kind()+": ", "address already in use", "stop what holds the port")
	}
	o := p.options(t)
	o.Challenge = HTTP01{Listen: "192.0.2.1:80"}
	says(t, refused(t, New(o), ca.Request{}), "no such address")
	if n := p.Count("order-plz"); n > 0 {
		t.Errorf("%d orders", n)
	}
}

// The CA does not take the configured challenge for a name.
func TestOtherChallengeWanted(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{Answer: func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/authZ/") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Replay-Nonce", "bm9uY2U")
		fmt.Fprint(w, `{"status":"pending","identifier":{"type":"dns","value":"redis1.internal"},"challenges":[{"type":"dns-01"},{"type":"device-attest-01"}]}`)
		return true
	}})
	says(t, refused(t, New(p.options(t)), ca.Request{}), "redis1.internal: 127.0.0.1:", "does not take http-01 for it: configure dns-01 or device-attest-01")
}

// Orders that end as invalid, with the CA's words where it has some.
func TestOrderInvalid(t *testing.T) {
	t.Parallel()
	var detail string
	p := startPebble(t, shape{Answer: func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/finalize-order/") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Replay-Nonce", "bm9uY2U")
		fmt.Fprintf(w, `{"status":"invalid"%s}`, detail)
		return true
	}})
	c := New(p.options(t))
	detail = `,"error":{"type":"urn:ietf:params:acme:error:caa","detail":"CAA of redis1.internal","subproblems":[{"type":"urn:ietf:params:acme:error:caa","detail":"none of ours","identifier":{"type":"dns","value":"redis1.internal"}}]}`
	says(t, refused(t, c, ca.Request{}), "finalize: ", "caa: CAA of redis1.internal (redis1.internal: caa: none of ours)", `add one with "pebble.test"`)
	detail = ""
	says(t, refused(t, c, ca.Request{}), "finalize: ", "the order is invalid, and the CA does not say why")
}

// The CA never issues.
func TestNeverIssued(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{Answer: func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/finalize-order/") && !strings.HasPrefix(r.URL.Path, "/my-order/") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Replay-Nonce", "bm9uY2U")
		fmt.Fprint(w, `{"status":"processing"}`)
		return true
	}})
	c := New(p.options(t))
	c.phase = 10 * time.Second // of the proof as well, which must not be late on a busy machine
	says(t, refused(t, c, ca.Request{}), "finalize: https://127.0.0.1:", "no certificate within 10s")
}

// A CA that limits says how long to wait.
func TestRateLimited(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{Answer: func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/order-plz" {
			return false
		}
		w.Header().Set("Retry-After", "5400")
		acmetest.Problem(w, http.StatusTooManyRequests, "rateLimited", `"detail":"too many\ncertificates \u001b[31m(5)"`)
		return true
	}})
	e := refused(t, New(p.options(t)), ca.Request{})
	says(t, e, "order: ", "answers 429: rateLimited: too many certificates [31m(5)", "(asks to wait 1h30m0s)", "asks again later")
	if e.RetryAfter() != 90*time.Minute || e.Status != 429 || e.Type != "rateLimited" {
		t.Errorf("%+v", e)
	}
	if n := p.Count("order-plz"); n != 1 {
		t.Errorf("%d orders", n)
	}
}

// Directories that are none.
func TestDirectory(t *testing.T) {
	t.Parallel()
	answer := func(f http.HandlerFunc) func(*testing.T) (Options, func() int) {
		return func(t *testing.T) (Options, func() int) {
			var n atomic.Int32
			srv, root := acmetest.ServeTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.Add(1); f(w, r) }))
			p := pebble{&acmetest.Pebble{Server: srv, Roots: append([]*certificate(nil), root)}}
			o := p.options(t)
			o.Challenge = HTTP01{Listen: at("127.0.0.1", acmetest.FreePort(t, "127.0.0.1"))}
			return o, func() int { return int(n.Load()) }
		}
	}
	text := func(status int, kind, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const isIt = "is this the directory of an ACME CA? check the URL"
	tests := []struct {
		name  string
		f     http.HandlerFunc
		wants []string
		after time.Duration
	}{
		{"HTML", text(200, "text/html", "<html>\x1b[31m"), []string{"answers 200: the answer is no JSON", isIt}, 0},
		{"broken JSON", text(200, "application/json", `{"newNonce":`), []string{"the answer is no JSON", isIt}, 0},
		{"other JSON", text(200, "application/json", `{"hello":"world"}`), []string{"the answer is no directory", isIt}, 0},
		{"no JSON types", text(200, "application/json", `[1,2]`), []string{"the answer is no JSON", isIt}, 0},
		{"not found", text(404, "text/plain", "no such page"), []string{"answers 404: not found", isIt}, 0},
		{"redirect", text(302, "text/plain", "", "Location", "https://elsewhere.test/dir"), []string{"answers 302", "https://elsewhere.test/dir"}, 0},
		{"overloaded", text(503, "text/html", "<html>busy", "Retry-After", "77"), []string{"answers 503: service unavailable", "asks to wait 1m17s", "in trouble"}, 77 * time.Second},
		{"problem", text(503, "application/problem+json", `{"type":"urn:ietf:params:acme:error:serverInternal","detail":"down for repair"}`, "Retry-After", "3600"), []string{"serverInternal: down for repair", "asks to wait 1h0m0s"}, time.Hour},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<16)); err != nil {
					return
				}
			}
		}, []string{"answers 200: the answer is longer than 1 MiB"}, 0},
		{"plain http", text(200, "application/json", `{"newNonce":"http://127.0.0.1/n","newAccount":"http://127.0.0.1/a","newOrder":"http://127.0.0.1/o"}`), []string{"answers 200: the CA names a URL that is not https: http://127.0.0.1/n"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o, requests := answer(tt.f)(t)
			e := refused(t, New(o), ca.Request{})
			says(t, e, tt.wants...)
			if e.RetryAfter() != tt.after {
				t.Errorf("retry after %s, want %s", e.RetryAfter(), tt.after)
			}
			// A look without an order meets the same, as far as the directory alone tells.
			_, err := New(o).Inspect(t.Context(), nil)
			var seen *ca.Error
			switch {
			case tt.name == "plain http":
			case !errors.As(err, &seen) || seen.Status != e.Status || seen.Absent() != e.Absent():
				t.Errorf("a look: %v", err)
			case tt.name != "problem":
				says(t, seen, tt.wants...)
			}
			if n := requests(); n > 4 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// Trouble on the way to the CA.
func TestTransport(t *testing.T) {
	t.Parallel()
	down := Options{URL: "https://" + at(acmetest.FreshHost(t), 1) + "/dir", AccountKeyFile: t.TempDir() + "/key"}
	says(t, refused(t, New(down), ca.Request{}), "directory: https://127.", "connection refused", "check that the CA runs")

	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	o := down
	o.URL = "https://" + plain.Listener.Addr().String()
	says(t, refused(t, New(o), ca.Request{}), "this port does not speak TLS")

	srv, root := acmetest.ServeTLS(t, http.NotFoundHandler())
	o.URL = srv.URL
	says(t, refused(t, New(o), ca.Request{}), "none of the system's roots", "issuer.acme.roots_file")
	other, _ := acmetest.NewServerChain(t)
	o.Roots = append([]*certificate(nil), other)
	says(t, refused(t, New(o), ca.Request{}), "none of the configured roots")
	o.Roots[0] = root
	o.URL = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	says(t, refused(t, New(o), ca.Request{}), "the CA's certificate is for other names")

	slow, root := acmetest.ServeTLS(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	o.URL, o.Roots[0] = slow.URL, root
	c := New(o)
	c.request = 100 * time.Millisecond
	says(t, refused(t, c, ca.Request{}), "no answer within 100ms")
	o.Timeout = 150 * time.Millisecond
	e := refused(t, New(o), ca.Request{})
	says(t, e, "not done in time")
	if !errors.Is(e, errDeadline) {
		t.Errorf("%v is no deadline", e)
	}
}
