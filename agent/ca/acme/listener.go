package acme

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"syscall"
	"time"

	"redis-cert-agent/agent/option"
)

// selfTimeout bounds how long the agent waits for its own listener, and a CA for
// a handshake.
const selfTimeout = 5 * time.Second

func listenFaults(r option.Report, listen, example string) {
	if listen != "" || r.Given("listen") {
		option.Listen(r, "listen", listen, `write it like "`+example+`" or 10.0.0.5`+example)
	}
}

// listen opens a port for a challenge.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: stop what holds the port, or listen on another one that it passes the challenges on to", err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%w: ports below 1024 need CAP_NET_BIND_SERVICE: give it to the unit by the drop-in /usr/share/doc/redis-cert-agent/examples/acme-ports.conf, or listen on a higher port that this one is forwarded to", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%w: this host has no such address", err)
	}
	return ln, err
}

// dialSelf connects from this host to its own listener. For the address of a
// listener on all addresses, package net says: "the local system is assumed".
func dialSelf(ctx context.Context, addr net.Addr) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
}

// A challengeServer answers the CA at one address while an order runs.
type challengeServer struct {
	addr net.Addr
	http *http.Server
	done chan struct{} // closed when the server has ended
}

// serveChallenges answers on ln until the server is closed.
func serveChallenges(ln net.Listener, server *http.Server) *challengeServer {
	s := &challengeServer{addr: ln.Addr(), http: server, done: make(chan struct{})}
	server.ErrorLog = log.New(io.Discard, "", 0) // anybody can send broken requests
	server.SetKeepAlivesEnabled(false)
	go func() {
		defer close(s.done)
		_ = server.Serve(ln) // ends with close; where it ends before, ready says so
	}()
	return s
}

// close ends the server. Requests under way get a second.
func (s *challengeServer) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	return err
}
