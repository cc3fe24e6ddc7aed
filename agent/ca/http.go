package ca

import (
	"crypto/tls"
	"net/http"
)

// UserAgent is how the agent calls itself to an authority.
const UserAgent = "redis-cert-agent"

// NewTransport returns the transport for the requests of one call to an
// authority. Its connection is to be closed at the end of the call, because the
// next call is hours away.
func NewTransport(conf *tls.Config) *http.Transport {
	conf.MinVersion = tls.VersionTLS12
	return &http.Transport{
		// The step command and other ACME clients honour HTTPS_PROXY and
		// NO_PROXY, so people who set them expect that the agent does too. TLS goes
		// through the proxy from end to end: it sees neither token nor key.
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: conf,
		// One connection serves the whole call, and a refused client certificate
		// shows on the request that met it.
		MaxConnsPerHost: 1,
	}
}

// NoRedirect ends a request at a redirect, for http.Client.CheckRedirect. No
// authority of either kind redirects, and a redirect that was followed could
// carry a token or a signed request to another host, or to the same one twice.
func NoRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
