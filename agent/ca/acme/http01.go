package acme

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

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

func (HTTP01) kind() string { return acme.ChallengeTypeHTTP01 }

func (h HTTP01) valid() error { return validListen(h.Listen) }

func validListen(addr string) error {
	if addr == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("the address to listen on for challenges is %q: write it as host:port, or as :80 for all addresses", clean(addr))
	}
	return nil
}

func (h HTTP01) open(ctx context.Context, _ []string) (proof, error) {
	addr := h.Listen
	if addr == "" {
		addr = ":80"
	}
	ln, err := listen(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("http-01: %w", err)
	}
	p := &httpProof{addr: ln.Addr(), answers: map[string]string{}, done: make(chan struct{})}
	p.server = &http.Server{
		Handler:        p,
		ReadTimeout:    10 * time.Second,
		WriteTimeout:   10 * time.Second,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       log.New(io.Discard, "", 0), // strangers' broken requests
	}
	p.server.SetKeepAlivesEnabled(false)
	go func() {
		defer close(p.done)
		_ = p.server.Serve(ln) // ends with close; ready tells if it ended before
	}()
	return p, nil
}

type httpProof struct {
	addr   net.Addr
	server *http.Server
	done   chan struct{} // closed when the server has ended

	mu      sync.Mutex
	answers map[string]string // path to key authorization
}

// ServeHTTP answers for challenges that are up.
func (p *httpProof) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	answer, ok := p.answers[r.URL.Path]
	p.mu.Unlock()
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.WriteString(w, answer) // who asked may be gone
}

func (p *httpProof) present(_ context.Context, c acme.Challenge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[c.HTTP01ResourcePath()] = c.KeyAuthorization
	return nil
}

// ready fetches the challenge as the CA will, but from this host.
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

// close ends the server. Requests under way get a second.
func (p *httpProof) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err := p.server.Shutdown(ctx)
	if err != nil {
		err = p.server.Close()
	}
	<-p.done
	return err
}
