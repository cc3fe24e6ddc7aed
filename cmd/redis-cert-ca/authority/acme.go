package authority

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// challengeTimeout bounds one look at a challenge, as in step-ca.
const challengeTimeout = 30 * time.Second

// acmeClient looks for challenges. It is step-ca's acme.Client with ports and
// resolver of its own: those of step-ca are variables of the process.
type acmeClient struct {
	dialer   net.Dialer
	tlsPort  string // "" leaves the port that was asked for
	http     http.Client
	resolver *net.Resolver
}

func newACMEClient(o RunOptions) *acmeClient {
	c := &acmeClient{resolver: net.DefaultResolver, tlsPort: port(o.ACMETLSPort)}
	if o.ACMEResolver != "" {
		c.resolver = &net.Resolver{
			PreferGo: true,
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, o.ACMEResolver)
			},
		}
	}
	c.dialer = net.Dialer{Timeout: challengeTimeout, Resolver: c.resolver}
	httpPort := port(o.ACMEHTTPPort)
	c.http = http.Client{
		Timeout: challengeTimeout,
		Transport: &http.Transport{
			// Every challenge is looked at afresh, and nothing stays open.
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				addr, err := withPort(addr, httpPort)
				if err != nil {
					return nil, err
				}
				return c.dialer.DialContext(ctx, network, addr)
			},
			// RFC 8555, section 8.3, allows redirects to HTTPS, and the host
			// has no certificate yet that could be verified.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		},
	}
	return c
}

// Get fetches an http-01 challenge.
func (c *acmeClient) Get(url string) (*http.Response, error) { return c.http.Get(url) }

// LookupTxt fetches a dns-01 challenge.
func (c *acmeClient) LookupTxt(name string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), challengeTimeout)
	defer cancel()
	return c.resolver.LookupTXT(ctx, name)
}

// TLSDial makes the handshake of a tls-alpn-01 challenge.
func (c *acmeClient) TLSDial(network, addr string, config *tls.Config) (*tls.Conn, error) {
	addr, err := withPort(addr, c.tlsPort)
	if err != nil {
		return nil, err
	}
	return tls.DialWithDialer(&c.dialer, network, addr, config)
}

func port(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// withPort returns addr, host:port, with another port; unchanged if port is "".
func withPort(addr, port string) (string, error) {
	if port == "" {
		return addr, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("challenge at %q: %w", addr, err)
	}
	return net.JoinHostPort(host, port), nil
}
