// Package step gets certificates from step-ca.
//
// A [Client] knows one CA by its URL and by the SHA-256 of its root, and one
// JWK provisioner by name and password. [Client.Issue] tries several ways to ask
// in turn: it renews over mutual TLS with the current certificate, by a token
// signed with that certificate's key when it has expired, and asks for a new
// certificate with a one-time token when neither is possible. It ends with the
// first way that the CA grants. It also ends with a CA that is down or
// overloaded, because the next way would meet the same.
//
// The package checks the transport and nothing else. The caller checks whether the
// answer is the certificate that it wanted, before it uses it.
//
// The protocol is that of step-ca's HTTP API. The official client,
// github.com/smallstep/certificates/ca, brings the whole CA with it: 25 MB and
// 80 modules. This one needs net/http and go.step.sm/crypto/jose; a test holds
// both to the same results.
package step

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"sync"

	"redis-cert-agent/agent/option"

	"go.step.sm/crypto/jose"

	"redis-cert-agent/agent/ca"
)

// These are the values of ca.Issued.Method.
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
	at   ca.Endpoint
	pin  string // lower-case hex
	bad  error  // what is wrong with opts; Issue returns it

	mu     sync.Mutex
	pinned *x509.Certificate // the root with the fingerprint pin, once the CA has sent it
	sealed string            // the encrypted form of key
	key    *jose.JSONWebKey
}

// New returns a client and talks to nobody. A fault in the options is what the
// first call of Issue returns.
func New(o Options) *Client {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	c := &Client{opts: o}
	if c.bad = option.Err(o.caFaults); c.bad != nil {
		return c
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		c.bad = err // which caFaults would have told
		return c
	}
	c.base = &url.URL{Scheme: u.Scheme, Host: u.Host}
	c.at = ca.Endpoint{URL: c.base.String(), Kind: "step-ca", Timeout: o.Timeout}
	c.pin, c.bad = option.ParseFingerprint(o.Fingerprint)
	return c
}

// name names the authority for people.
func (c *Client) name() string {
	return fmt.Sprintf("step-ca %s (provisioner %s)", c.base, c.opts.Provisioner)
}
