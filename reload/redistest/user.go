package redistest

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Nobody is a user other than root.
const Nobody = 65534

// AsNobody runs f with the rights of nobody, or with those of the test where that is
// not root. Linux keeps them per thread; this one ends with f.
func AsNobody(t testing.TB, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		defer close(done)      // also when f fails the test
		runtime.LockOSThread() // never unlocked, so that the thread is not used again
		if os.Geteuid() == 0 {
			for _, call := range [][4]uintptr{{unix.SYS_SETGROUPS, 0, 0, 0}, {unix.SYS_SETRESGID, Nobody, Nobody, Nobody}, {unix.SYS_SETRESUID, Nobody, Nobody, Nobody}} {
				if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
					done <- fmt.Errorf("become nobody: %w", errno)
					return
				}
			}
		}
		done <- f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
