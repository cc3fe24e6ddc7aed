package acme

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/acme/acmetest"

	"github.com/mholt/acmez/v3/acme"
)

func challenge(kind, token string, id acme.Identifier) acme.Challenge {
	return acme.Challenge{Type: kind, Token: token, KeyAuthorization: token + ".thumb", Identifier: id}
}

func dnsID(name string) acme.Identifier { return acme.Identifier{Type: "dns", Value: name} }

// The listener answers for the challenges that are up, and nothing else.
func TestHTTP01Answers(t *testing.T) {
	t.Parallel()
	opened, err := HTTP01{Listen: "127.0.0.1:0"}.open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := opened.(*httpProof)
	one, two := challenge("http-01", "one", dnsID("a.internal")), challenge("http-01", "two", acme.Identifier{Type: "ip", Value: "fd00::1"})
	for _, c := range []acme.Challenge{one, two} {
		if err := p.present(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []acme.Challenge{one, two} {
		if err := p.ready(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	if err := p.ready(t.Context(), challenge("http-01", "three", dnsID("a.internal"))); err == nil {
		t.Error("ready for a challenge that is not up")
	}
	const base = "/.well-known/acme-challenge/"
	tests := []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", base + "one", 200, "one.thumb"},
		{"HEAD", base + "two", 200, ""},
		{"GET", base, 404, "404 page not found\n"},
		{"GET", base + "three", 404, "404 page not found\n"},
		{"GET", base + "../acme-challenge/one", 404, "404 page not found\n"},
		{"GET", "/", 404, "404 page not found\n"},
		{"POST", base + "one", 404, "404 page not found\n"},
	}
	for _, tt := range tests {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+p.addr.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Path = tt.path
		resp, err := new(http.Transport).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tt.status || string(body) != tt.body || !resp.Close {
			t.Errorf("%s %s: %d %q %v, close %t", tt.method, tt.path, resp.StatusCode, body, err, resp.Close)
		}
	}
	// A connection that says nothing does not hold up the end.
	silent, err := net.Dial("tcp", p.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	start := time.Now()
	if err := p.close(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > selfTimeout/2 {
		t.Errorf("the end took %s", took)
	}
	closed(t, p.addr.String())
	if err := p.ready(t.Context(), one); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("closed: %v", err)
	}
}

// What another server answers is not taken for the own answer.
func TestSelfCheck(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "hello", "one.thumb and more", "two.thumb"} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
		p := &httpProof{challengeServer: &challengeServer{addr: srv.Listener.Addr()}}
		if err := p.ready(t.Context(), challenge("http-01", "one", dnsID("a.internal"))); err == nil || !strings.Contains(err.Error(), "something else") {
			t.Errorf("%q: %v", body, err)
		}
		srv.Close()
	}
	srv, _ := acmetest.ServeTLS(t, http.NotFoundHandler())
	p := &alpnProof{challengeServer: &challengeServer{addr: srv.Listener.Addr()}}
	if err := p.ready(t.Context(), challenge("tls-alpn-01", "one", dnsID("a.internal"))); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("another TLS server: %v", err)
	}
}

// A failed self-check ends the order before the CA is asked to look.
func TestSelfCheckEndsOrder(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	o := p.options(t)
	o.Challenge = blind{HTTP01{Listen: p.Listen(p.HTTPPort)}}
	says(t, refused(t, New(o), ca.Request{}), "prove redis1.internal: ", "something else than the agent answers")
	if p.Count("/chalZ/") > 0 {
		t.Error("the CA was asked to look")
	}
	closed(t, p.Listen(p.HTTPPort))
}

// blind puts up nothing.
type blind struct{ HTTP01 }

func (b blind) open(ctx context.Context, names []string) (proof, error) {
	p, err := b.HTTP01.open(ctx, names)
	return blindProof{p}, err
}

type blindProof struct{ proof }

func (blindProof) present(context.Context, acme.Challenge) error { return nil }

func TestALPN01Answers(t *testing.T) {
	t.Parallel()
	opened, err := TLSALPN01{Listen: "127.0.0.1:0"}.open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := opened.(*alpnProof)
	c := challenge("tls-alpn-01", "one", dnsID("A.internal"))
	ip := challenge("tls-alpn-01", "two", acme.Identifier{Type: "ip", Value: "10.1.2.3"})
	for _, c := range []acme.Challenge{c, ip} {
		if err := p.present(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if err := p.ready(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	other := c
	other.KeyAuthorization = "one.other"
	if err := p.ready(t.Context(), other); err == nil {
		t.Error("ready for another key authorization")
	}
	tests := []struct {
		name   string
		protos []string
		fine   bool
	}{
		{"a.internal", []string{"acme-tls/1"}, true},
		{"3.2.1.10.in-addr.arpa", []string{"acme-tls/1"}, true},
		{"b.internal", []string{"acme-tls/1"}, false},
		{"a.internal", []string{"h2"}, false},
		{"a.internal", nil, false},
	}
	for _, tt := range tests {
		conn, err := tls.Dial("tcp", p.addr.String(), &tls.Config{ServerName: tt.name, NextProtos: tt.protos, InsecureSkipVerify: true})
		if (err == nil) != tt.fine {
			t.Errorf("%s by %q: %v", tt.name, tt.protos, err)
		}
		if err == nil {
			conn.Close()
		}
	}
	// A connection that says nothing does not hold up the end.
	silent, err := net.Dial("tcp", p.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	start := time.Now()
	if err := p.close(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > selfTimeout/2 {
		t.Errorf("the end took %s", took)
	}
	closed(t, p.addr.String())
}

// A process that is out of file descriptors waits for some to become free.
func TestALPN01OutOfFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		p := newALPNProof(&fullListener{failures: 6, conn: far, closed: make(chan struct{})})
		c := challenge("tls-alpn-01", "one", dnsID("a.internal"))
		if err := p.present(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		client := tls.Client(near, &tls.Config{ServerName: "a.internal", NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true})
		if err := client.HandshakeContext(t.Context()); err != nil || !showsChallenge(client.ConnectionState(), c) {
			t.Errorf("the challenge is not served afterwards: %v", err)
		}
		if waited := time.Since(start); waited < 100*time.Millisecond {
			t.Errorf("accept was tried again six times within %s", waited)
		}
		near.Close()
		if err := p.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// fullListener has one connection, after failures as in a process that is out of
// file descriptors.
type fullListener struct {
	failures int
	conn     net.Conn
	once     sync.Once
	closed   chan struct{}
}

func (l *fullListener) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	if conn := l.conn; conn != nil {
		l.conn = nil
		return conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *fullListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *fullListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

// A listener on all addresses checks itself on loopback.
func TestListenEverywhere(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{":0", "0.0.0.0:0"} {
		p, err := HTTP01{Listen: addr}.open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		c := challenge("http-01", "one", dnsID("a.internal"))
		if err := p.present(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if err := p.ready(t.Context(), c); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
		if err := p.close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A CA that remembers that a name was proved is not asked to look again.
func TestProvedBefore(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{Remembers: true})
	c := New(p.options(t))
	issue(t, c, ca.Request{})
	before := p.Count("/chalZ/")
	issue(t, c, ca.Request{})
	if n := p.Count("/chalZ/") - before; before == 0 || n != 0 {
		t.Errorf("%d challenges, then %d", before, n)
	}
}
