package control

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
)

type peerKey struct{}

// withPeer notes the user at the other end of a unix socket, as the kernel knew
// it when that end connected (SO_PEERCRED, unix(7)).
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	uid, err := peerUID(conn)
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

func peerUID(conn net.Conn) (uint32, error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("%T is not a unix socket", conn)
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return cred.Uid, nil
}

// privileged lets root and the agent's own user pass.
func privileged(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		uid, known := r.Context().Value(peerKey{}).(uint32)
		if !known || uid != 0 && uid != uint32(os.Geteuid()) {
			answer(w, http.StatusForbidden, reply{Error: "only root and the user of the agent may do this; use sudo"})
			return
		}
		next(w, r)
	}
}
