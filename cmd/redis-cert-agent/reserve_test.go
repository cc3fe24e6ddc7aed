package main

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// reserve returns a loopback address on which this test can listen, stop
// listening, and listen again. A socket that is bound to it, and does not
// listen, keeps the kernel from giving the port to anybody who asks for any
// port, or to an outgoing connection. Whoever asks for this one gets it, because
// SO_REUSEADDR lets a socket bind "except when there is an active listening
// socket bound to the address" (socket(7)).
func reserve(t testing.TB) string {
	t.Helper()
	addr, err := reserveAt(t, 0)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// reserveNode is reserve for a node of a cluster, whose bus has the port 10000 above its
// own.
func reserveNode(t testing.TB) (addr, bus string) {
	t.Helper()
	const apart = 10000
	for {
		bus = reserve(t)
		port := int(netip.MustParseAddrPort(bus).Port())
		if port <= apart {
			continue
		}
		if addr, err := reserveAt(t, port-apart); err == nil {
			return addr, bus
		}
	}
}

// reserveAt reserves a port; zero is any.
func reserveAt(t testing.TB, port int) (string, error) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	bound := name.(*unix.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(bound.Addr), uint16(bound.Port)).String(), nil
}
