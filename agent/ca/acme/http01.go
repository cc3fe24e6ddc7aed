package acme

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"redis-cert-agent/agent/option"

	"github.com/mholt/acmez/v3/acme"
)

// HTTP01 proves names by a file at http://NAME/.well-known/acme-challenge/
// (RFC 8555, section 8.3). The CA looks at port 80, so whatever Listen says,
// port 80 of each name must lead there.
//
// The listener is open only while an order runs. It answers for all names of
// the order, and nothing else.
type HTTP01 struct {
	Listen string // host:port; ":80" when empty
}

// DefaultHTTP01 listens where the CA looks.
func DefaultHTTP01() HTTP01 { return HTTP01{Listen: ":80"} }

func (HTTP01) kind() string { return kindHTTP01 }

func (HTTP01) bound() time.Duration { return selfTimeout }

// Faults implements Challenge.
func (h HTTP01) Faults(r option.Report) { listenFaults(r, h.Listen, ":80") }

// FileFaults implements Challenge: there are no files.
func (HTTP01) FileFaults(option.Report) {}

func (h HTTP01) open(ctx context.Context, _ []string) (proof, error) {
	ln, err := listen(ctx, cmp.Or(h.Listen, DefaultHTTP01().Listen))
	if err != nil {
		return nil, fmt.Errorf("http-01: %w", err)
	}
	p := &httpProof{answers: map[string]string{}}
	p.challengeServer = serveChallenges(ln, &http.Server{
		Handler:        p,
		ReadTimeout:    10 * time.Second,
		WriteTimeout:   10 * time.Second,
		MaxHeaderBytes: 16 << 10,
	})
	return p, nil
}

type httpProof struct {
	*challengeServer

	mu      sync.Mutex
	answers map[string]string // path to key authorization
}

// ServeHTTP answers for the challenges that are up, and for nothing else.
func (p *httpProof) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	answer, ok := p.answers[r.URL.Path]
	p.mu.Unlock()
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.WriteString(w, answer) // the other side may have closed the connection
}

func (p *httpProof) present(_ context.Context, c acme.Challenge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[c.HTTP01ResourcePath()] = c.KeyAuthorization
	return nil
}

// ready makes the request that the CA will make, from this host.
func (p *httpProof) ready(ctx context.Context, c acme.Challenge) error {
	ctx, cancel := context.WithTimeout(ctx, selfTimeout)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialSelf(ctx, p.addr) },
	}
	host := c.Identifier.Value
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+c.HTTP01ResourcePath(), nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("this host's own listener at %s does not answer: %w", p.addr, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(len(c.KeyAuthorization)+1)))
	if err != nil || resp.StatusCode != http.StatusOK || string(body) != c.KeyAuthorization {
		return fmt.Errorf("something else than the agent answers at %s (%s): find out what, or listen on another port", p.addr, resp.Status)
	}
	return nil
}
