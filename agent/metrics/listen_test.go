package metrics

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// listen serves the metrics of an agent until stop is called.
func listen(t *testing.T) (address string, stop func()) {
	t.Helper()
	m, b, _ := begin()
	b.Set(everything())
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, l) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		done <- nil
	}
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

func request(t *testing.T, method, url string) (code int, body string) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !resp.Close {
		t.Errorf("%s %s: the connection is kept", method, url)
	}
	return resp.StatusCode, string(text)
}

func TestServe(t *testing.T) {
	address, stop := listen(t)
	code, text := request(t, "GET", "http://"+address+"/metrics")
	if code != http.StatusOK {
		t.Errorf("%d\n%s", code, text)
	}
	check(t, text)
	for _, standard := range []string{"go_goroutines ", "process_resident_memory_bytes ", "process_start_time_seconds "} {
		if !strings.Contains(text, "\n"+standard) {
			t.Errorf("no %sin\n%s", standard, text)
		}
	}
	for _, r := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/", 404}, {"GET", "/status", 404}, {"GET", "/metrics/x", 404}, {"GET", "/debug/pprof/", 404},
		{"POST", "/metrics", 405}, {"POST", "/renew", 404},
	} {
		if code, text := request(t, r.method, "http://"+address+r.path); code != r.code || strings.Contains(text, prefix) {
			t.Errorf("%s %s: %d, want %d\n%s", r.method, r.path, code, r.code, text)
		}
	}
	stop()
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("somebody listens after the end")
	}
}

// Clients that connect and say nothing keep no scrape out, are bounded, and go
// when the agent stops.
func TestServeBesideSilentClients(t *testing.T) {
	address, stop := listen(t)
	var silent []net.Conn
	for range maxConns - 1 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	if code, _ := request(t, "GET", "http://"+address+"/metrics"); code != http.StatusOK {
		t.Errorf("beside %d silent clients it answers %d", len(silent), code)
	}
	stop()
	if n, err := silent[0].Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes", n)
	}
}

// pipes is a listener for connections in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if conn, open := <-p; open {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }
func (p pipes) Close() error   { close(p); return nil }

// A client that sends nothing, or takes no answer, loses its connection.
func TestServeEndsSlowClients(t *testing.T) {
	for _, c := range []struct {
		name, request string
		limit         time.Duration
	}{
		{"sends nothing", "", readTimeout},
		{"sends half", "GET /metrics HTTP/1.1\r\n", readTimeout},
		{"reads nothing", "GET /metrics HTTP/1.1\r\nHost: agent\r\n\r\n", writeTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _, _ := begin()
				ctx, stop := context.WithCancel(t.Context())
				listener, done := pipes(make(chan net.Conn)), make(chan error, 1)
				go func() { done <- m.Serve(ctx, listener) }()
				ours, theirs := net.Pipe()
				ended := make(chan struct{})
				listener <- closing{theirs, sync.OnceFunc(func() { close(ended) })}
				if _, err := ours.Write([]byte(c.request)); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				<-ended
				if took := time.Since(start); took > c.limit+time.Second {
					t.Errorf("it was let go after %s", took)
				}
				ours.Close()
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// closing is a connection that tells of its end.
type closing struct {
	net.Conn
	ended func()
}

func (c closing) Close() error {
	c.ended()
	return c.Conn.Close()
}

func TestListenFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := "metrics.listen: listen tcp " + l.Addr().String() + ": bind: address already in use; choose an address of this host and a port that nothing else has"
	if _, err := Listen(l.Addr().String()); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
