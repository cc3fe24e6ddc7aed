package acme

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/plan"
)

// maxAnswer bounds the bytes that are read of one answer. Certificate chains and
// orders of a hundred names are far shorter.
const maxAnswer = 1 << 20

// wireFault says why this package rejects an answer before acmez reads it.
type wireFault string

func (f wireFault) Error() string { return string(f) }

// answer holds the parts of the CA's last answer that acmez does not pass on.
type answer struct {
	status int // 0 when there was no answer
	after  time.Duration
	ahead  time.Duration // of this host's clock
	header http.Header
}

// wire carries the requests of one call to the CA.
type wire struct {
	http *http.Transport

	mu      sync.Mutex
	last    answer
	skipped string // GET requests below this URL are not sent
}

func newWire(roots *x509.CertPool) *wire {
	return &wire{http: ca.NewTransport(&tls.Config{RootCAs: roots})}
}

// client returns an HTTP client that sends its requests over w.
func (w *wire) client(timeout time.Duration) *http.Client {
	return &http.Client{Transport: w, Timeout: timeout, CheckRedirect: ca.NoRedirect}
}

// RoundTrip sends one request and keeps the answer's status and header. "Use of HTTPS is REQUIRED"
// (RFC 8555, section 6.1), also for the URLs that the CA names.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, wireFault("the CA names a URL that is not https: " + ca.Clean(r.URL.String(), 100))
	}
	if w.skips(r) {
		return noWindow(r), nil
	}
	w.note(answer{})
	resp, err := w.http.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	w.note(answer{
		status: resp.StatusCode,
		after:  plan.ParseRetryAfter(resp.Header.Get("Retry-After"), time.Now()),
		ahead:  ca.Ahead(resp.Header, time.Now()),
		header: resp.Header,
	})
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

func (w *wire) note(a answer) {
	w.mu.Lock()
	w.last = a
	w.mu.Unlock()
}

func (w *wire) answer() answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// skip keeps GET requests below url from being sent.
func (w *wire) skip(url string) {
	w.mu.Lock()
	w.skipped = url
	w.mu.Unlock()
}

func (w *wire) skips(r *http.Request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.skipped != "" && r.Method == http.MethodGet && strings.HasPrefix(r.URL.String(), w.skipped)
}

// noWindow answers in the CA's place when acmez asks for the renewal window of a
// chain that it downloads. Nothing here reads that window, and a CA whose renewal
// information fails would hold up a certificate that it has issued already.
func noWindow(r *http.Request) *http.Response {
	const window = `{"suggestedWindow":{"start":"2000-01-01T00:00:00Z","end":"2000-01-02T00:00:00Z"}}`
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(strings.NewReader(window)),
	}
}

// bounded is a body that fails when it gets too long.
type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, wireFault(fmt.Sprintf("the answer is longer than %d MiB", maxAnswer>>20))
	}
	return n, err
}
