package reload

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// A Probe is what a server shows to a client that knows nothing of it.
type Probe struct {
	Chain   []*x509.Certificate // the leaf first, as it was sent; verified by nobody; nil when it did not get that far
	Version uint16              // of TLS, as in crypto/tls; zero when the handshake did not end

	AsksClient bool              // whether it asked for a client certificate
	Presented  *x509.Certificate // the leaf that was presented; nil: none
	Accepted   bool              // whether it answered after AsksClient: it took Presented, or is content with none
	Refusal    string            // why not, in the words of the TLS alert (RFC 8446, section 6.2)
}

// Probe asks what the server serves, as Served does, and whether it lets this
// client in. Under TLS 1.3 the client's handshake ends before the server has
// judged its certificate, so a server that asks for one is sent a PING: any
// answer to it, NOAUTH as well, comes after the judgement. No
// password is sent, and a peer that was not recognised gets nothing but that PING.
//
// A refused client certificate is no error but part of the answer. The errors
// are ErrUnreachable, ErrRefused, what Server.Client returned, and the
// context's; the probe says how far it got all the same.
func (r *Redis) Probe(ctx context.Context, t Trust) (Probe, error) {
	return r.probe(ctx, t, r.ping)
}

// probe is Probe, with how to find out why the server refuses the client after a handshake
// that seems to have succeeded.
func (r *Redis) probe(ctx context.Context, t Trust, refusedBy func(context.Context, handshake) (string, error)) (Probe, error) {
	to := r.server.tlsRoute()
	within, stop := endOnPlaintext(ctx, to)
	g, err := r.handshake(within, to, t, acceptAny)
	plaintext := stop()
	p := Probe{Chain: g.chain, AsksClient: g.asked, Presented: g.presented}
	if g.conn != nil {
		defer g.conn.Close()
		p.Version = g.conn.ConnectionState().Version
	}
	var notTLS tls.RecordHeaderError
	switch {
	case g.clientErr != nil:
		err = fmt.Errorf("client certificate: %w", g.clientErr)
	case errors.Is(err, ErrClientCertificate): // TLS 1.2
		p.Refusal, err = refusalOf(err), nil
	case errors.As(err, &notTLS):
		err = notTLSFault(to, err)
	case err != nil && plaintext != nil && ctx.Err() == nil:
		err = plaintext
	case err != nil && strings.Contains(err.Error(), "protocol version"):
		err = newFault(ErrRefused, err, "%s speaks no TLS 1.2 and no TLS 1.3 (%v)", to.addr, err).
			withHint("take the old versions out of its tls-protocols")
	case err == nil && g.asked:
		p.Refusal, err = refusedBy(ctx, g)
		p.Accepted = err == nil && p.Refusal == ""
	}
	if err != nil {
		return p, fmt.Errorf("probe %s: %w", to.addr, err)
	}
	return p, nil
}

// ping sends PING and waits for the beginning of an answer, whatever it is. It
// returns why the server ended the connection instead.
func (r *Redis) ping(ctx context.Context, g handshake) (refusal string, err error) {
	defer context.AfterFunc(ctx, func() { g.conn.Close() })()
	if err := g.conn.SetDeadline(time.Now().Add(r.server.Timeout)); err != nil {
		return "", err
	}
	var first [1]byte
	_, err = io.WriteString(g.conn, "PING\r\n")
	if err == nil || hungUp(err) { // the alert is there to be read all the same
		_, err = io.ReadFull(g.conn, first[:])
	}
	var timeout net.Error
	switch {
	case err == nil:
		return "", nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case alert(err) != "":
		return alert(err), nil
	case hungUp(err):
		return "it closed the connection", nil // the alert can be lost to a reset
	case errors.As(err, &timeout) && timeout.Timeout():
		return "", newFault(ErrUnreachable, err, "no answer to PING within %s", r.server.Timeout).
			withHint("redis-server is paused, stopped or stuck")
	}
	return "", newFault(ErrUnreachable, err, "ping: %v", err)
}

// refusalOf says why the server ended the handshake after the client certificate.
func refusalOf(err error) string {
	if why := alert(err); why != "" {
		return why
	}
	return "it closed the connection"
}

// endOnPlaintext returns a context that ends when the peer, which should have
// answered the handshake by then, turns out to be a plaintext Redis: that would never
// answer. stop ends the context and returns the error that says so, if it is one.
func endOnPlaintext(parent context.Context, to route) (ctx context.Context, stop func() error) {
	const askAfter = time.Second
	ctx, cancel := context.WithCancel(parent)
	var found error
	var probing sync.WaitGroup
	probing.Add(1)
	timer := time.AfterFunc(askAfter, func() {
		defer probing.Done()
		if speaksPlaintext(ctx, to.addr) {
			found = notTLSFault(to, nil)
			cancel()
		}
	})
	return ctx, func() error {
		cancel()
		if timer.Stop() {
			probing.Done()
		}
		probing.Wait()
		return found
	}
}

func notTLSFault(to route, err error) error {
	return newFault(ErrUnreachable, err, "%s does not speak TLS: it is a plaintext port; give the tls-port of this redis-server",
		to.addr)
}
