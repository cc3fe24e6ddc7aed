package reload

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
)

// handshake is one TLS handshake, also one that failed on the way.
type handshake struct {
	conn  *tls.Conn           // nil when it failed
	chain []*x509.Certificate // what the peer showed; nil when it did not get that far

	// asked is whether the peer asked for a client certificate. It is known
	// only once the peer has shown its chain and proved that it has the key.
	asked     bool
	presented *x509.Certificate // the leaf that was presented; nil: none
	clientErr error             // why Server.Client could not be presented
}

// handshake connects and makes a TLS handshake, without a session cache: no
// earlier connection stands in for what the peer serves now. When accept returns an
// error the handshake ends before the client certificate is sent. The result says
// how far the handshake got, whatever the error.
func (r *Redis) handshake(ctx context.Context, to route, t Trust, accept verifier) (handshake, error) {
	conn, err := r.connect(ctx, to)
	if err != nil {
		return handshake{}, err
	}
	var g handshake
	// The verification is not switched off but done by accept, or, with
	// acceptAny, by the caller, which compares the chain with what it expects.
	config := clientConfig(r.server.Name)
	config.VerifyConnection = func(state tls.ConnectionState) error {
		g.chain = state.PeerCertificates
		return accept(g.chain, conn.RemoteAddr())
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		g.asked = true
		return r.present(&g, t), nil
	}
	if r.tickets != nil {
		config.ClientSessionCache = r.tickets
	}
	tlsConn := tls.Client(conn, config)
	within, cancel := context.WithTimeout(ctx, r.server.Timeout)
	defer cancel()
	if err := tlsConn.HandshakeContext(within); err != nil {
		conn.Close()
		if g.chain == nil && beyond(err) {
			if g.chain, _ = r.glimpse(ctx, to); g.chain != nil {
				return g, unable(to, g.chain[0], err)
			}
		}
		return g, r.handshakeFault(ctx, to, &g, err)
	}
	g.conn = tlsConn
	return g, nil
}

// A verifier returns why a peer, its chain and its address, is not to be talked to.
type verifier func(chain []*x509.Certificate, remote net.Addr) error

// acceptAny is the verifier of a caller that sends nothing and only looks at the chain.
func acceptAny([]*x509.Certificate, net.Addr) error { return nil }

// present picks the client certificate: the one configured for this server, as
// it is, or else the pair itself. The pair is held back when it could only do
// harm: under tls-auth-clients optional a client without a certificate is let
// in, and one with a certificate that is no client's is not.
func (r *Redis) present(g *handshake, t Trust) *tls.Certificate {
	if r.server.Client != nil {
		c, err := r.server.Client()
		if err != nil {
			g.clientErr = err
			return &tls.Certificate{}
		}
		if c != nil {
			g.presented, _ = leafOf(c) // for error texts only
			return c
		}
	}
	if t.Client == nil {
		return &tls.Certificate{}
	}
	leaf, err := leafOf(t.Client)
	if err != nil || !clientNow(leaf, t) {
		return &tls.Certificate{}
	}
	g.presented = leaf
	return t.Client
}

func leafOf(c *tls.Certificate) (*x509.Certificate, error) {
	if c.Leaf != nil {
		return c.Leaf, nil
	}
	if len(c.Certificate) == 0 {
		return nil, errors.New("empty certificate")
	}
	return x509.ParseCertificate(c.Certificate[0])
}

// clientNow says whether leaf is good for a client, as OpenSSL sees it: an
// absent extended key usage allows everything.
func clientNow(leaf *x509.Certificate, t Trust) bool {
	now, usages := t.now(), leaf.ExtKeyUsage
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return false
	}
	return len(usages)+len(leaf.UnknownExtKeyUsage) == 0 ||
		slices.Contains(usages, x509.ExtKeyUsageClientAuth) || slices.Contains(usages, x509.ExtKeyUsageAny)
}

// handshakeFault says which mistake a failed handshake is. ctx is the caller's,
// not the one that bounded the handshake.
func (r *Redis) handshakeFault(ctx context.Context, to route, g *handshake, err error) error {
	var ours *fault
	var notTLS tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.As(err, &ours):
		return ours
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &notTLS):
		return plaintextFault(to, err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		if speaksPlaintext(ctx, to.addr) {
			return plaintextFault(to, err)
		}
		return newFault(ErrUnreachable, err, "%s takes the connection and does not answer the TLS handshake within %s", to.addr, r.server.Timeout).
			withHint("redis-server is stopped or stuck, or this is not its tls-port")
	case g.asked && (hungUp(err) || alert(err) != ""):
		return g.clientFault(err)
	case alert(err) == "handshake failure":
		return newFault(ErrRefused, err, "%s fails the TLS handshake (%v)", to.addr, err).
			withHint("its tls-ciphers leave none that this program has and that is for the key of its certificate, " +
				"or the certificate and the key it loaded do not belong together (an RSA certificate with an EC key does this)")
	case hungUp(err):
		return newFault(ErrUnreachable, err, "%s closed the connection during the TLS handshake (%v)", to.addr, err).
			withHint("maxclients is reached, or redis-server is ending, or this is not its tls-port")
	}
	return newFault(ErrUnreachable, err, "TLS handshake with %s: %v", to.addr, err)
}

func plaintextFault(to route, err error) error {
	return newFault(ErrUnreachable, err, "%s is a plaintext port, not a TLS port", to.addr).
		withHint("give the tls-port of this redis-server (or control: plain:%s for commands)", to.addr)
}

// alert is the text of the TLS alert (RFC 8446, section 6) that the peer sent,
// or empty. crypto/tls has no type for it outside QUIC.
func alert(err error) string {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return ""
	}
	return strings.TrimPrefix(op.Err.Error(), "tls: ")
}

// clientFault explains a server that asked for a client certificate and then
// ended the connection. In TLS 1.3 it does so after our side of the handshake
// is complete, so that the first read shows it.
func (g *handshake) clientFault(err error) error {
	why := alert(err)
	if why == "" {
		why = "it closed the connection" // the alert can be lost to a reset
	}
	cause := errors.Join(ErrClientCertificate, err)
	if g.presented == nil {
		return newFault(ErrDenied, cause, "redis asks for a client certificate and there is none to present "+
			"that is valid now and good for clients (%s)", why).
			withHint("set client_cert and client_key of this server, have the CA issue for clientAuth, or set control: unix:/path")
	}
	return newFault(ErrDenied, cause, "redis asks for a client certificate and did not take %s (%s)", describe(g.presented), why).
		withHint("it must chain to the tls-ca-cert-file that redis has loaded; " +
			"set client_cert and client_key of this server, or control: unix:/path")
}
