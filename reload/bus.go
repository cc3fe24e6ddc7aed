package reload

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// ProbeBus is Probe for the bus of a cluster, which answers nothing that a client may say.
// What tells under TLS 1.3 that it took the client certificate is the session ticket that
// OpenSSL sends behind its judgement; nothing is sent to it.
func (r *Redis) ProbeBus(ctx context.Context, t Trust) (Probe, error) {
	bus := &Redis{server: r.server, tickets: new(tickets)}
	return bus.probe(ctx, t, bus.hear)
}

// hear waits for what the bus says after the handshake.
func (r *Redis) hear(ctx context.Context, g handshake) (refusal string, err error) {
	if g.conn.ConnectionState().Version < tls.VersionTLS13 {
		return "", nil // the handshake ended after its judgement
	}
	defer context.AfterFunc(ctx, func() { g.conn.Close() })()
	if err := g.conn.SetReadDeadline(time.Now().Add(r.server.Timeout)); err != nil {
		return "", err
	}
	r.tickets.conn = g.conn
	_, err = g.conn.Read(make([]byte, 1))
	var timeout net.Error
	switch {
	case r.tickets.got.Load(), err == nil:
		return "", nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "", newFault(ErrUnreachable, err, "the bus says nothing after the handshake within %s", r.server.Timeout).
			withHint("redis-server is paused, stopped or stuck")
	}
	return refusalOf(err), nil
}

// tickets notes that one came, and ends the wait for it. It keeps none, since no session is
// resumed.
type tickets struct {
	conn net.Conn
	got  atomic.Bool
}

func (*tickets) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

func (t *tickets) Put(string, *tls.ClientSessionState) {
	if t.conn == nil {
		return // it came with the handshake of TLS 1.2
	}
	t.got.Store(true)
	_ = t.conn.SetReadDeadline(time.Unix(1, 0)) // a connection that is closed reads no more either
}
