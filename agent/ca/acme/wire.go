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
)

// maxAnswer bounds what is read of one answer. Certificate chains and orders of
// a hundred names stay far below.
const maxAnswer = 1 << 20

// wireFault is an answer that this package does not take, whatever is in it.
type wireFault string

func (f wireFault) Error() string { return string(f) }

// answer is what acmez does not pass on of the CA's last answer.
type answer struct {
	status   int // 0 when there was none
	after    time.Duration
	location string
	header   http.Header
}

// wire carries the requests of one call to the CA.
type wire struct {
	http *http.Transport

	mu    sync.Mutex
	last  answer
	quiet string // GET requests below this URL are not sent
}

func newWire(roots *x509.CertPool) *wire {
	return &wire{http: &http.Transport{
		// An ACME client elsewhere on the host honours HTTPS_PROXY and
		// NO_PROXY, so who set them expects them to count here.
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		// One connection serves the whole call.
		MaxConnsPerHost: 1,
	}}
}

// client returns an HTTP client over w. It follows no redirect: RFC 8555 has
// none, and a followed one could carry a signed request to another host.
func (w *wire) client(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     w,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RoundTrip sends one request and notes the answer. "Use of HTTPS is REQUIRED"
// (RFC 8555, section 6.1), also for the URLs that the CA names.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, wireFault("the CA names a URL that is not https: " + ca.Cut(clean(r.URL.String()), 100))
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
		status:   resp.StatusCode,
		after:    ca.ParseRetryAfter(resp.Header.Get("Retry-After"), time.Now()),
		location: resp.Header.Get("Location"),
		header:   resp.Header,
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
	w.quiet = url
	w.mu.Unlock()
}

func (w *wire) skips(r *http.Request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.quiet != "" && r.Method == http.MethodGet && strings.HasPrefix(r.URL.String(), w.quiet)
}

// noWindow answers for the renewal window that acmez asks for with each chain
// that it downloads. Nobody reads it here, and a CA whose renewal information
// is in trouble would hold up the certificate that it has issued already.
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
