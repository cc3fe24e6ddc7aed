package metrics

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// listen serves the metrics of an agent until stop is called.
func listen(t *testing.T) (address string, stop func()) {
	t.Helper()
	m, b, _ := begin()
	b.Set(status())
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

// Clients that connect and say nothing keep no more than their places, and go
// when the agent stops.
func TestServeIsBounded(t *testing.T) {
	address, stop := listen(t)
	var silent []net.Conn
	for range maxConns {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	client := http.Client{Timeout: 300 * time.Millisecond}
	if resp, err := client.Get("http://" + address + "/metrics"); err == nil {
		resp.Body.Close()
		t.Errorf("%d connections are not all", maxConns)
	}
	silent[0].Close()
	if code, _ := request(t, "GET", "http://"+address+"/metrics"); code != http.StatusOK {
		t.Errorf("answers %d", code)
	}
	stop()
	if n, err := silent[1].Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes", n)
	}
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
