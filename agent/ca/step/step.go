// Package step gets certificates from step-ca.
//
// A [Client] knows one CA by its URL and by the SHA-256 of its root, and one
// JWK provisioner by name and password. [Client.Issue] climbs a ladder: it
// renews over mutual TLS with the certificate at hand, by a token signed with
// that certificate's key when it has expired, and asks for a new certificate
// with a one-time token when neither is possible. The first rung that the CA
// grants ends the climb; a CA that is down or overloaded ends it too, because
// the next rung would meet the same trouble.
//
// The package judges the transport and nothing else. Whether the answer is the
// certificate that was wanted is for the caller to check before it is used.
//
// The protocol is that of step-ca's HTTP API. The official client,
// github.com/smallstep/certificates/ca, brings the whole CA with it: 25 MB and
// 80 modules. This one needs net/http and go.step.sm/crypto/jose; a test holds
// both to the same results.
package step

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.step.sm/crypto/jose"
)

// DefaultTimeout bounds one request when Options.Timeout is zero.
const DefaultTimeout = 20 * time.Second

// Options say which CA to ask and as whom.
type Options struct {
	// URL is where step-ca listens: https, a host, perhaps a port, no path.
	URL string
	// Fingerprint is the SHA-256 of a root of the CA in hex. Upper case,
	// colons and blanks are tolerated.
	Fingerprint string
	// Provisioner is the name of a provisioner of type JWK.
	Provisioner string
	// Password returns the exact bytes of the provisioner's password. It is
	// called when the provisioner's key has to be decrypted: at the first
	// one-time token, and again when the CA has another key.
	Password func() ([]byte, error)
	// Lifetime is what to ask of the CA; zero leaves it to the provisioner.
	// Renewals keep the lifetime of the certificate that they replace, so that
	// one of another lifetime is replaced by a one-time token instead.
	Lifetime time.Duration
	// Timeout bounds one request, from the dial to the last byte.
	Timeout time.Duration
	// Roots are trusted beside the pinned one and those of each request.
	Roots []*x509.Certificate
}

// What ca.Issued.Method says.
const (
	MethodSign       = "sign"        // a new certificate, by a one-time token
	MethodRekey      = "rekey"       // over mutual TLS, new key
	MethodRenew      = "renew"       // over mutual TLS, same key
	MethodRenewToken = "renew-token" // by a token of the expired certificate, same key
)

// Client asks one step-ca. It keeps no connection open between calls and may be
// used by several goroutines.
type Client struct {
	opts Options
	base *url.URL
	pin  string // lower-case hex
	bad  error  // what is wrong with opts; told by Issue

	mu     sync.Mutex
	pinned *x509.Certificate // the root that hashes to pin, once seen
	sealed string            // the encrypted provisioner key that key was opened from
	key    *jose.JSONWebKey
}

// New returns a client and talks to nobody. A fault in the options is what the
// first call of Issue returns.
func New(o Options) *Client {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	c := &Client{opts: o}
	if c.base, c.bad = parseURL(o.URL); c.bad != nil {
		return c
	}
	if c.pin, c.bad = parseFingerprint(o.Fingerprint); c.bad != nil {
		return c
	}
	return c
}

// parseURL takes the address of a CA apart. A user, a path, a query have no
// meaning to step-ca, and what stands there would end up in error messages.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Host == "", u.Scheme != "https":
		return nil, fmt.Errorf("the CA's address is no https URL: write it as https://ca.internal:9000")
	case u.User != nil, strings.Trim(u.Path, "/") != "", u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("the CA's address has more than a host and a port: write https://%s", u.Host)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func parseFingerprint(s string) (string, error) {
	clean := strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(s))
	if b, err := hex.DecodeString(clean); err != nil || len(b) != 32 {
		return "", fmt.Errorf("the root's fingerprint is not 64 hex digits: take it from `step certificate fingerprint root_ca.crt`")
	}
	return clean, nil
}

// name says who issues, for people.
func (c *Client) name() string {
	return fmt.Sprintf("step-ca %s (provisioner %s)", c.base, c.opts.Provisioner)
}
