package step

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

// A listener that takes connections and never says a word.
func TestSilentServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn); conn.Close() }()
		}
	}()
	o := Options{URL: "https://" + ln.Addr().String(), Fingerprint: strings.Repeat("ab", 32), Provisioner: "redis", Timeout: 100 * time.Millisecond}
	start := time.Now()
	says(t, refused(t, New(o), ca.Request{}), "bootstrap: ", "no answer within 100ms", "check that the CA runs")
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %s", took)
	}

	o.Timeout = time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := New(o).Issue(ctx, ca.Request{Names: names, KeyType: cert.P256})
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// An answer that begins and does not end.
func TestSlowAnswer(t *testing.T) {
	real := startCA(t, nil)
	f := newFront(t, real, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/1.0/sign" {
			return false
		}
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusCreated)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}, nil)
	o := f.options(real)
	o.Timeout = 10 * time.Second // the requests before it must not be late on a busy machine
	says(t, refused(t, New(o), ca.Request{}), "sign: ", "no answer within 10s")
}

func TestCADown(t *testing.T) {
	real := startCA(t, nil)
	o := real.options()
	first := pair(t, issue(t, New(o), ca.Request{}))
	o.Roots = first.CA
	c := New(o)
	real.Close()
	e := refused(t, c, ca.Request{Current: first})
	says(t, e, "roots: ", "connection refused", "check that the CA runs")
	if e.Status != 0 || e.Earlier != "" {
		t.Errorf("status %d after %q, want one try without an answer", e.Status, e.Earlier)
	}
}

func TestNotTLS(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	o := Options{URL: "https://" + srv.Listener.Addr().String(), Fingerprint: strings.Repeat("ab", 32)}
	says(t, refused(t, New(o), ca.Request{}), "this port does not speak TLS")
}

func TestCertificateOfTheCA(t *testing.T) {
	_, stranger := newServerChain(t, nil)
	tests := []struct {
		name   string
		change func(leaf *x509.Certificate)
		says   string
	}{
		{"other name", func(c *x509.Certificate) { c.IPAddresses = nil; c.DNSNames = []string{"ca.internal"} }, "the CA's certificate is for other names"},
		{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "compare this host's clock"},
		{"other root", nil, "still offers the pinned root"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, chain := newServerChain(t, tt.change)
			if tt.name == "other root" {
				chain = stranger
			}
			f := newFront(t, nil, func(w http.ResponseWriter, r *http.Request) bool {
				reply(w, 200, map[string]string{"ca": pemOf(root)})
				return true
			}, func(c *tls.Config) { c.Certificates = []tls.Certificate{chain} })
			f.root = root
			says(t, refused(t, New(f.options(nil)), ca.Request{}), tt.says)
		})
	}
}

// Nothing stays open between calls.
func TestLeavesNoConnection(t *testing.T) {
	real := startCA(t, nil)
	first := pair(t, issue(t, New(real.options()), ca.Request{}))
	open := make(chan int, 100)
	f := newFront(t, real, nil, nil)
	closed := make(chan struct{}, 100)
	srv := httptest.NewUnstartedServer(f.Config.Handler)
	srv.TLS = f.TLS.Clone()
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open <- 1
		case http.StateClosed:
			closed <- struct{}{}
		}
	}
	srv.StartTLS()
	defer srv.Close()
	o := f.options(real)
	o.URL = srv.URL
	issue(t, New(o), ca.Request{Current: first})
	if len(open) > 3 {
		t.Errorf("%d connections for three ways to ask", len(open))
	}
	for range len(open) {
		select {
		case <-closed:
		case <-time.After(time.Minute):
			t.Fatal("a connection stays open")
		}
	}
}
