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
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	bound := name.(*unix.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(bound.Addr), uint16(bound.Port)).String()
}
