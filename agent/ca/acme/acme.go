// Package acme gets certificates from any CA that speaks ACME (RFC 8555).
//
// A [Client] knows one CA by the URL of its directory, one account by the key
// in a file, and one way to prove that names belong to this host: a
// [Challenge]. [Client.Issue] makes one order and sees it through.
// [Client.Suggest] asks when the CA would like a certificate to be renewed
// (RFC 9773).
//
// A Client looks for what would make an order fail before it makes the order: a
// port that is taken, a name that the challenge cannot prove, a DNS server that
// does not answer. CAs count orders, and count those that fail as well.
//
// The package checks the transport and nothing else. The caller checks whether the
// answer is the certificate that it wanted, before it uses it.
//
// Requests, nonces and signatures are those of github.com/mholt/acmez/v3/acme.
// The order of the steps is this package's own: acmez's takes challenges down
// with a context that may have ended, and forgets the reason that a CA gives
// for a challenge that stays pending.
package acme

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/ratelimit"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/option"
)

// requestTimeout bounds one request, from the dial to the last byte. It is longer
// than the half minute for which step-ca looks for a challenge before it answers.
const requestTimeout = 40 * time.Second

// Method is the value of ca.Issued.Method.
const Method = "acme"

// Client asks one CA. It keeps no connection open between calls and may be used
// by several goroutines; there is one order at a time.
type Client struct {
	opts Options
	base *url.URL
	dir  string        // the directory's URL for acmez
	bad  error         // what is wrong with opts; each call returns it
	turn chan struct{} // holds one value while an order runs
	book *ratelimit.Book

	contacted bool   // the CA was sent the contact, by whom holds turn
	met       string // the error of the last order that was made, of whom holds turn

	mu      sync.Mutex
	fetched *x509.Certificate // the root that FetchRoot returned

	request time.Duration  // bounds one request
	phase   time.Duration  // bounds the validation of all names, and again the issuance
	system  *x509.CertPool // stands in for the system's roots in tests
}

// New returns a client and talks to nobody. A fault in the options is what the
// first call returns.
func New(o Options) *Client {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Challenge == nil {
		o.Challenge = HTTP01{}
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	c := &Client{opts: o, turn: make(chan struct{}, 1), request: requestTimeout, phase: o.Timeout / 3}
	if c.bad = option.Err(o.needs); c.bad != nil {
		return c
	}
	roots, err := cert.ReadCertificates(o.RootsFile)
	if err != nil {
		c.bad = fmt.Errorf("roots_file: %w", err)
		return c
	}
	c.opts.Roots = cert.Merge(o.Roots, roots)
	c.base, _ = url.Parse(o.URL) // as needs has seen
	// acmez keeps directories for twelve hours, by their URL, for all clients
	// of the process. The fragment makes this client's an entry of its own; it
	// is not sent (RFC 9110, section 7.1).
	c.dir = c.base.String() + "#" + rand.Text()
	c.book = ratelimit.Open(o.LimitsFile, c.base.Host)
	return c
}

// needs tells what keeps the client from working at all.
func (o Options) needs(r option.Report) {
	o.accountFaults(r)
	for _, how := range o.challenges() {
		how.Faults(option.Under(r, how.kind()))
	}
}

// name names the authority for people.
func (c *Client) name() string { return "acme " + c.base.Host }

// lock waits until no other order runs. The caller unlocks.
func (c *Client) lock(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) unlock() { <-c.turn }

// roots returns the configured roots with the one that is fetched, or those that
// the CA named before. None at all means the roots of the system.
func (c *Client) roots(ctx context.Context, named []*x509.Certificate) ([]*x509.Certificate, error) {
	if c.opts.Fingerprint == "" {
		return c.opts.Roots, nil
	}
	c.mu.Lock()
	root := c.fetched
	c.mu.Unlock()
	if root == nil {
		var err error
		root, err = c.opts.FetchRoot(ctx, c.origin(), c.opts.Fingerprint)
		if err != nil && len(named) > 0 && ctx.Err() == nil {
			return cert.Merge(c.opts.Roots, named), nil
		}
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		c.fetched = root
		c.mu.Unlock()
	}
	return cert.Merge([]*x509.Certificate{root}, c.opts.Roots, named), nil
}

// Named implements [ca.Namer]. ACME has no way to ask for roots; a step-ca, which is
// recognised by its fingerprint, has one beside it. Another authority names none: what its
// chains lead to tells.
func (c *Client) Named(ctx context.Context, known []*x509.Certificate) (ca.Named, error) {
	if c.opts.Fingerprint == "" || c.opts.NamedRoots == nil {
		return ca.Named{}, nil
	}
	return c.opts.NamedRoots(ctx, c.origin(), c.opts.Fingerprint, cert.Merge(c.opts.Roots, known))
}

// origin is the address of the CA without a path.
func (c *Client) origin() string {
	return (&url.URL{Scheme: c.base.Scheme, Host: c.base.Host}).String()
}

// lower returns names as a CA compares them, each once: DNS names in lower case
// (RFC 8555, section 7.1.4, leaves case to the CA, and CAs fold it).
func lower(names []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		if n = strings.ToLower(n); !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}
