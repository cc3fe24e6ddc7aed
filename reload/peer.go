package reload

import (
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// checkPeer decides whether the process that listens on a unix socket may be sent a
// password: one of root, of the agent's own user, or of the user who owns the directory
// of the socket, where that is closed to all others. In a directory like /tmp another
// user can have put a socket of the same name there first.
func checkPeer(to route, conn net.Conn) error {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil
	}
	uid, err := peerUser(socket)
	if err != nil {
		return newFault(ErrUnreachable, err, "%s: who listens there: %v", to.addr, err)
	}
	if uid == 0 || uid == os.Geteuid() {
		return nil
	}
	dir := filepath.Dir(to.addr)
	fi, err := os.Stat(dir)
	if err != nil {
		return newFault(ErrUnreachable, err, "%s: whose directory it is: %v", to.addr, err)
	}
	owner, mode := int(fi.Sys().(*syscall.Stat_t).Uid), fi.Mode()
	if uid == owner && mode&0o002 == 0 {
		return nil
	}
	return newFault(ErrUnrecognised, nil, "%s: a process of user %d listens there, and the directory %s belongs to user %d (mode %04o): nothing was sent to it", to.addr, uid, dir, owner, mode.Perm()).
		withHint("let redis make its unixsocket in a directory of its own user that others cannot write to, such as /run/redis")
}

// peerUser returns the user of the process that listens, as the kernel knew it when it
// began to (SO_PEERCRED, unix(7)). Inside of a user namespace, such as that of
// PrivateUsers= in the unit, the users outside of it are all one to it, and the owners of
// directories likewise.
func peerUser(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return int(cred.Uid), nil
}
