package reload

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// route is where a connection goes.
type route struct {
	network, addr string
	tls           bool
	loopback      bool // refuse to go anywhere else
}

// control is the route of commands.
func (s Server) control() (route, error) {
	path, isUnix := strings.CutPrefix(s.Control, "unix:")
	addr, isPlain := strings.CutPrefix(s.Control, "plain:")
	switch {
	case s.Control == "":
		return s.tlsRoute(), nil
	case isUnix && path != "":
		return route{network: "unix", addr: path}, nil
	case isPlain && addr != "":
		return route{network: "tcp", addr: addr, loopback: true}, nil
	}
	return route{}, newFault(ErrUnreachable, nil, "control %q", s.Control).
		withHint("want unix:/path, plain:127.0.0.1:port, or nothing for the TLS address")
}

// tlsRoute is the route of clients.
func (s Server) tlsRoute() route {
	return route{network: "tcp", addr: s.Address, tls: true, loopback: s.InsecureSkipVerify}
}

// connect opens a connection without sending a byte.
func (r *Redis) connect(ctx context.Context, to route) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.server.Timeout)
	defer cancel()
	dialer := net.Dialer{
		// This sees the address that a name led to, before the connect.
		Control: func(_, addr string, _ syscall.RawConn) error {
			ip, err := netip.ParseAddrPort(addr)
			if to.loopback && (err != nil || !ip.Addr().Unmap().IsLoopback()) {
				return notLoopback(to, addr)
			}
			return nil
		},
	}
	conn, err := dialer.DialContext(ctx, to.network, to.addr)
	if err != nil {
		return nil, r.dialFault(ctx, to, err)
	}
	return conn, nil
}

func notLoopback(to route, addr string) error {
	what := "plaintext control"
	if to.tls {
		what = "insecure_skip_verify"
	}
	return newFault(ErrUnrecognised, nil, "%s is not a loopback address: %s is for loopback and unix sockets only, so nothing was sent to it",
		addr, what)
}

// dialFault says why a connect failed, and what to do about it.
func (r *Redis) dialFault(ctx context.Context, to route, err error) error {
	var ours *fault
	if errors.As(err, &ours) {
		return ours
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	hint := "is redis-server running there?"
	switch {
	case to.network == "unix" && errors.Is(err, os.ErrPermission):
		return newFault(ErrDenied, err, "connect: %v", err).
			withHint("give the agent's user access to this socket (unixsocketperm 770 and the group redis)")
	case to.network == "unix":
		hint = "is redis-server running, with this path as its unixsocket?"
	case errors.Is(err, syscall.ECONNREFUSED) && to.tls:
		hint = "nothing listens there: is redis-server running, with this as its tls-port?"
	case errors.Is(err, syscall.ECONNREFUSED):
		hint = "nothing listens there: is redis-server running, with this as its port?"
	}
	return newFault(ErrUnreachable, err, "connect: %v", err).withHint("%s", hint)
}

// speaksPlaintext asks whether a peer that did not answer a TLS handshake is a
// plaintext Redis, which takes the handshake for the beginning of a command and
// waits for the rest. An inline PING carries no secret, and any answer to it tells.
func speaksPlaintext(ctx context.Context, addr string) bool {
	const timeout = time.Second // a Redis that is alive answers at once
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return false
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return false
	}
	var first [1]byte
	_, err = io.ReadFull(conn, first[:])
	return err == nil && (first[0] == '+' || first[0] == '-')
}

// hungUp says whether err is the peer ending the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
