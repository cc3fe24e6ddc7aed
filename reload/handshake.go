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

// greeting is one TLS handshake, also one that failed on the way.
type greeting struct {
	conn  *tls.Conn           // nil when it failed
	chain []*x509.Certificate // what the peer showed; nil when it did not get that far

	// asked is whether the peer asked for a client certificate. It is known
	// only once the peer has shown its chain and proved that it has the key.
	asked     bool
	presented *x509.Certificate // the leaf that was presented; nil: none
	clientErr error             // why Server.Client could not be presented
}

// greet connects and shakes hands, without a session cache: no earlier
// connection stands in for what the peer serves now. A judge that returns an
// error ends the handshake before our client certificate is sent. The greeting
// says how far it got, whatever the error.
func (r *Redis) greet(ctx context.Context, to route, t Trust, judge func([]*x509.Certificate, net.Addr) error) (greeting, error) {
	conn, err := r.connect(ctx, to)
	if err != nil {
		return greeting{}, err
	}
	var g greeting
	tlsConn := tls.Client(conn, &tls.Config{
		ServerName: r.server.Name,
		MinVersion: tls.VersionTLS12,
		// Not less verification but another: judge does it, and where there is
		// no judge the caller holds the chain against what it expects.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			g.chain = state.PeerCertificates
			return judge(g.chain, conn.RemoteAddr())
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			g.asked = true
			return r.present(&g, t), nil
		},
	})
	within, cancel := context.WithTimeout(ctx, r.server.Timeout)
	defer cancel()
	if err := tlsConn.HandshakeContext(within); err != nil {
		conn.Close()
		return g, r.handshakeFault(ctx, to, &g, err)
	}
	g.conn = tlsConn
	return g, nil
}

// anyone judges nobody.
func anyone([]*x509.Certificate, net.Addr) error { return nil }

// present picks the client certificate: the one configured for this server, as
// it is, or else the pair itself. The pair is held back when it could only do
// harm: under tls-auth-clients optional a client without a certificate is let
// in, and one with a certificate that is no client's is not.
func (r *Redis) present(g *greeting, t Trust) *tls.Certificate {
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
func (r *Redis) handshakeFault(ctx context.Context, to route, g *greeting, err error) error {
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
		return newFault(ErrUnreachable, err, "%s takes the connection and does not answer the TLS handshake within %s: redis-server is stopped or stuck, or this is not its tls-port", to.addr, r.server.Timeout)
	case g.asked && (hungUp(err) || alert(err) != ""):
		return g.clientFault(err)
	case alert(err) == "handshake failure":
		return newFault(ErrRefused, err, "%s fails the TLS handshake (%v): the certificate and the key it loaded do not belong together (an RSA certificate with an EC key does this), or its tls-ciphers leave none", to.addr, err)
	case hungUp(err):
		return newFault(ErrUnreachable, err, "%s closed the connection during the TLS handshake (%v): maxclients is reached, or redis-server is ending, or this is not its tls-port", to.addr, err)
	}
	return newFault(ErrUnreachable, err, "TLS handshake with %s: %v", to.addr, err)
}

func plaintextFault(to route, err error) error {
	return newFault(ErrUnreachable, err, "%s is a plaintext port, not a TLS port: give the tls-port of this redis-server (or control: plain:%s for commands)", to.addr, to.addr)
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
func (g *greeting) clientFault(err error) error {
	why := alert(err)
	if why == "" {
		why = "it closed the connection" // the alert can be lost to a reset
	}
	cause := errors.Join(ErrClientCertificate, err)
	if g.presented == nil {
		return newFault(ErrDenied, cause, "redis asks for a client certificate and there is none to present that is valid now and good for clients (%s): set client_cert and client_key of this server, have the CA issue for clientAuth, or set control: unix:/path", why)
	}
	return newFault(ErrDenied, cause, "redis asks for a client certificate and did not take %s (%s): it must chain to the tls-ca-cert-file that redis has loaded; set client_cert and client_key of this server, or control: unix:/path", describe(g.presented), why)
}
