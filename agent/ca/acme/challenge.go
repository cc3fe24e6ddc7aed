package acme

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// A Challenge is a way to prove that names belong to this host: HTTP01,
// TLSALPN01, DNS01Update or DNS01Command.
type Challenge interface {
	// kind is the challenge's name in RFC 8555.
	kind() string
	// valid says what is wrong with the configuration.
	valid() error
	// open prepares for one order for names, and fails where that order would.
	open(ctx context.Context, names []string) (proof, error)
}

// A proof shows the challenges of one order.
type proof interface {
	// present puts one challenge up.
	present(ctx context.Context, c acme.Challenge) error
	// ready returns once this host itself sees the challenge.
	ready(ctx context.Context, c acme.Challenge) error
	// close takes all of them down. The error is for the log: the order does
	// not depend on it.
	close(ctx context.Context) error
}

// selfTimeout bounds one look at an own listener.
const selfTimeout = 5 * time.Second

// challengeName is where the TXT record of a dns-01 challenge belongs (RFC
// 8555, section 8.4), without a dot at its end.
func challengeName(name string) string {
	return "_acme-challenge." + strings.TrimSuffix(strings.TrimPrefix(name, "*."), ".")
}

// listen opens a port for a challenge.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: stop what holds the port, or listen on another one that it passes the challenges on to", err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%w: ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in the unit), or listen on a higher one that the port is forwarded to", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%w: this host has no such address", err)
	}
	return ln, err
}

// dialSelf connects to an own listener from this host. Of a listener on all
// addresses, package net says: "the local system is assumed".
func dialSelf(ctx context.Context, addr net.Addr) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
}
