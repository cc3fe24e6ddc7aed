// Package acme gets certificates from any CA that speaks ACME (RFC 8555).
//
// A [Client] knows one CA by the URL of its directory, one account by the key
// in a file, and one way to prove that names belong to this host: a
// [Challenge]. [Client.Issue] makes one order and sees it through.
// [Client.Suggest] asks when the CA would like a certificate to be renewed
// (RFC 9773).
//
// What can be found out without the CA is found out before the order is made:
// a port that is taken, a name that the challenge cannot prove, a DNS server
// that does not take the update. CAs count orders, and one that was bound to
// fail counts like any other.
//
// The package judges the transport and nothing else. Whether the answer is the
// certificate that was wanted is for the caller to check before it is used.
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
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"redis-cert-agent/agent/cert"
)

// DefaultTimeout bounds one order when Options.Timeout is zero.
const DefaultTimeout = 5 * time.Minute

// requestTimeout bounds one request, from the dial to the last byte. step-ca
// looks for a challenge before it answers, and gives up after half a minute.
const requestTimeout = 40 * time.Second

// Method is what ca.Issued.Method says.
const Method = "acme"

// Options say which CA to ask, as whom, and how to prove the names. URL and
// AccountKeyFile are required.
type Options struct {
	// URL is that of the CA's directory, https.
	URL string
	// Roots are trusted for the connection to the CA, and are what clients of
	// the certificate get to trust. Without any, and without FetchRoot, both
	// come from the system's roots.
	Roots []*x509.Certificate
	// FetchRoot gets one more root for the same use, from a CA that is known
	// by the fingerprint of its root. It is called until it succeeds once;
	// where it fails, the roots that the CA named before serve. May be nil.
	FetchRoot func(context.Context) (*x509.Certificate, error)

	// AccountKeyFile holds the account's private key in PEM. It is made when
	// it does not exist, with mode 0600, and never changed; its directory must
	// exist.
	AccountKeyFile string
	// Contact holds URLs at which the CA may reach the operator, as
	// mailto:ops@example.com. They are sent when the account is made.
	Contact []string
	// TermsAccepted tells the CA, when the account is made, that the operator
	// agrees to its terms of service. Without it, a CA that has terms is not
	// asked for anything.
	TermsAccepted bool
	// EAB binds a new account to one that the operator has with the CA (RFC
	// 8555, section 7.3.4). Nil is none.
	EAB *EAB

	// Challenge proves the names; HTTP01{} when nil.
	Challenge Challenge
	// Profile is the name of one of the CA's profiles; empty leaves it to the
	// CA.
	Profile string
	// PreferredChain is the common name of a root, or of the topmost issuer in
	// a chain. Where the CA offers several chains, the one that leads there is
	// taken; the CA's default when none does.
	PreferredChain string

	// Timeout bounds one order, from the first request to the certificate. The
	// taking down of challenges follows it.
	Timeout time.Duration
	// Patience bounds how long the CA may take to validate all names of an
	// order, and again how long it may take to issue. A third of Timeout when
	// zero.
	Patience time.Duration
	// Warn is told, in one line, what is worth a line in the log though
	// nothing failed: that an account was made, that a DNS record stayed
	// behind, that the preferred chain is not offered. May be nil.
	Warn func(msg string)
}

// EAB is a key that a CA hands out to those who have an account with it.
type EAB struct {
	KeyID string
	// Key returns the HMAC key in base64url, as CAs hand it out. It is called
	// when an account is made, and only then.
	Key func() ([]byte, error)
}

// Client asks one CA. It keeps no connection open between calls and may be used
// by several goroutines; there is one order at a time.
type Client struct {
	opts Options
	base *url.URL
	dir  string        // the directory's URL, as acmez is to know it
	bad  error         // what is wrong with opts; told by each call
	turn chan struct{} // holds one token while an order runs

	mu        sync.Mutex
	fetched   *x509.Certificate // what FetchRoot brought
	explained string            // the last explanation that Suggest passed on

	request time.Duration  // bounds one request
	system  *x509.CertPool // instead of the system's roots; nil: those
}

// New returns a client and talks to nobody. A fault in the options is what the
// first call returns.
func New(o Options) *Client {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Patience <= 0 {
		o.Patience = o.Timeout / 3
	}
	if o.Challenge == nil {
		o.Challenge = HTTP01{}
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	c := &Client{opts: o, turn: make(chan struct{}, 1), request: requestTimeout}
	if c.base, c.bad = parseURL(o.URL); c.bad != nil {
		return c
	}
	// acmez keeps directories for twelve hours, by their URL, for all clients
	// of the process. The fragment makes this client's an entry of its own; it
	// is not sent (RFC 9110, section 7.1).
	c.dir = c.base.String() + "#" + rand.Text()
	switch {
	case o.AccountKeyFile == "":
		c.bad = errors.New("no file is configured for the account's key")
	case o.EAB != nil && (o.EAB.KeyID == "" || o.EAB.Key == nil):
		c.bad = errors.New("an external account needs both its key id and its HMAC key: configure both as the CA handed them out")
	default:
		c.bad = o.Challenge.valid()
	}
	return c
}

// parseURL reads the address of a directory. A user has no meaning to ACME, and
// would end up in error messages.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Host == "", u.Scheme != "https":
		return nil, errors.New("the directory's address is no https URL: write it as https://ca.internal/acme/acme/directory")
	case u.User != nil, u.Fragment != "":
		return nil, errors.New("the directory's address has a user or a fragment: leave it out")
	}
	return u, nil
}

// name says who issues, for people.
func (c *Client) name() string { return "acme " + c.base.Host }

// take waits until no other order runs. The caller gives the turn back.
func (c *Client) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) give() { <-c.turn }

// roots are those that are configured and the one that is fetched, or those
// that the CA named before. None at all means the system's.
func (c *Client) roots(ctx context.Context, named []*x509.Certificate) ([]*x509.Certificate, error) {
	if c.opts.FetchRoot == nil {
		return c.opts.Roots, nil
	}
	c.mu.Lock()
	root := c.fetched
	c.mu.Unlock()
	if root == nil {
		var err error
		root, err = c.opts.FetchRoot(ctx)
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
	return cert.Merge([]*x509.Certificate{root}, c.opts.Roots), nil
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
