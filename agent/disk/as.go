package disk

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// As does work with the file rights of another user, for root. Linux keeps them per
// thread (setfsuid(2)); this one is not used again. An error of becoming that user is a
// *NotAsError.
func As(uid, gid int, groups []uint32, work func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, so that the thread ends with this function
		if err := become(uid, gid, groups); err != nil {
			done <- &NotAsError{err}
			return
		}
		done <- work()
	}()
	return <-done
}

// A NotAsError says that the work was not begun.
type NotAsError struct{ Err error }

func (e *NotAsError) Error() string { return e.Err.Error() }
func (e *NotAsError) Unwrap() error { return e.Err }

// become gives this thread the file rights of a user. With a file system user other than
// root the kernel takes away the capabilities that pass over permissions
// (capabilities(7)). setfsuid(2) tells no failure; a second call tells the user.
func become(uid, gid int, groups []uint32) error {
	var first *uint32
	if len(groups) > 0 {
		first = &groups[0]
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(first)), 0); errno != 0 {
		return os.NewSyscallError("setgroups", errno)
	}
	_, _ = unix.SetfsgidRetGid(gid)
	_, _ = unix.SetfsuidRetUid(uid)
	gotGID, _ := unix.SetfsgidRetGid(-1)
	gotUID, _ := unix.SetfsuidRetUid(-1)
	if gotGID != gid || gotUID != uid {
		return errors.New("the system does not let root act as another user (CAP_SETUID, CAP_SETGID)")
	}
	return nil
}
