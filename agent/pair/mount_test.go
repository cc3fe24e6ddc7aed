package pair

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace runs f on a thread with a mount namespace of its own, which ends
// with f and with it every mount.
func inNamespace(t *testing.T, f func() error) {
	t.Helper()
	needsRoot(t, "cannot mount")
	done := make(chan error, 1)
	go func() {
		defer close(done)      // also when f fails the test
		runtime.LockOSThread() // never unlocked, so that the thread is not used again
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err != nil {
			done <- fmt.Errorf("%w: a mount namespace: run the test where CAP_SYS_ADMIN is, or not as root", err)
			return
		}
		done <- f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestDiskFull(t *testing.T) {
	h := newFixture(t, false)
	a, b := issue(t), issue(t)
	h.must(os.Mkdir(h.opts.Dir, 0o750))
	inNamespace(t, func() error {
		if err := unix.Mount("tmpfs", h.opts.Dir, "tmpfs", 0, "size=128k,mode=750"); err != nil {
			return err
		}
		s, err := Open(h.opts)
		if err != nil {
			return err
		}
		defer s.Close()
		h.store, h.loader = s, s
		h.put(a)
		filler := filepath.Join(h.opts.Dir, "filler")
		if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("the disk is not full: %v", err)
		}
		_, err = s.Put(b, Origin{})
		wantErr(t, err, "put", "no space left on device", "free some space")
		h.wantLinked(a)
		s.Close() // the agent starts on a full disk, too
		if s, err = Open(h.opts); err != nil {
			return err
		}
		h.store, h.loader = s, s
		if err := os.Remove(filler); err != nil {
			return err
		}
		h.put(b)
		h.wantLinked(b)
		return nil
	})
}

func TestReadOnly(t *testing.T) {
	a := issue(t)
	h := linked(t, a)
	dir := filepath.Dir(h.opts.Paths.Cert)
	h.must(os.Remove(h.opts.Paths.Cert))
	write(t, h.opts.Paths.Cert, a.CertPEM())
	inNamespace(t, func() error {
		for _, d := range []string{dir, h.opts.Dir} {
			if err := unix.Mount(d, d, "", unix.MS_BIND, ""); err != nil {
				return err
			}
			if err := unix.Mount("", d, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				return err
			}
		}
		wantErr(t, relink(h.store), h.opts.Paths.Cert, "read-only file system", "mount it read-write")
		_, err := h.store.Put(issue(t), Origin{})
		wantErr(t, err, h.opts.Dir, "read-only file system", "ReadWritePaths")
		h.store.Close()
		_, err = Open(h.opts)
		wantErr(t, err, h.opts.Dir, "read-only file system")
		return nil
	})
}

// A file that is a mount of its own, as container tools make it, can only be
// written in place. The agent does not.
func TestSingleFileMount(t *testing.T) {
	for _, which := range []string{"my.crt", "my.key", "my-ca.crt"} {
		t.Run(which, func(t *testing.T) {
			h := newFixture(t, true)
			s := h.open()
			a, b := issue(t), issue(t)
			lay(t, h.files(), a)
			before := h.plainTexts()
			inNamespace(t, func() error {
				file := filepath.Join(filepath.Dir(h.opts.Paths.Cert), which)
				if err := unix.Mount(file, file, "", unix.MS_BIND, ""); err != nil {
					return err
				}
				_, err := s.Adopt(h.load().Foreign, Origin{})
				wantErr(t, err, file, "busy", "mount its directory")
				h.put(b)
				wantErr(t, relink(s), file, "busy", "mount its directory")
				for i, text := range h.plainTexts() {
					if string(text) != string(before[i]) {
						return errors.New("a plain file changed")
					}
				}
				if st := h.load(); len(st.Unlinked) != 3 {
					return fmt.Errorf("only %v are not linked", st.Unlinked)
				}
				return nil
			})
		})
	}
}
