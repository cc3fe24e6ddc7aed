package pair

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// tmpPrefix begins the names of what is not finished, or no longer wanted.
const tmpPrefix = ".tmp-"

// makeDir makes Dir when it is missing, refuses one that others control, and
// settles who owns what is made in it.
func (s *Store) makeDir() error {
	if _, err := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(s.dir), 0o755); err != nil {
			return explain("make directory", err)
		}
		if err := s.mkdir(s.dir); err != nil {
			return explain("make directory", err)
		}
		if err := syncDir(filepath.Dir(s.dir)); err != nil {
			return explain("make directory", err)
		}
	}
	var err error
	if s.real, err = filepath.EvalSymlinks(s.dir); err != nil {
		return explain("open directory", err)
	}
	return s.checkDir()
}

func (s *Store) checkDir() error {
	fi, err := os.Stat(s.real)
	if err != nil {
		return explain("open directory", err)
	}
	if !fi.IsDir() {
		return fmt.Errorf("directory %s: it is a file: move it away, or choose another directory", s.dir)
	}
	if fi.Mode()&0o002 != 0 {
		return fmt.Errorf("directory %s: every user of this host can write to it and replace the key: chmod o-w %[1]s", s.dir)
	}
	owner := int(fi.Sys().(*syscall.Stat_t).Uid)
	switch me := os.Geteuid(); {
	case owner == me:
	case me == 0:
		// A command of root's beside the service must leave files that the
		// service's user can remove later.
		s.dirUID = owner
		if s.fileUID == -1 {
			s.fileUID = owner
		}
	default:
		return fmt.Errorf("directory %s: it belongs to user %d, who could replace the key, and the agent runs as user %d: chown %d %[1]s", s.dir, owner, me, me)
	}
	return nil
}

// lock takes the lock by flock(2), which the kernel drops with the process,
// however that ends. The process id in the file is for people: an empty or old
// one has no effect.
func (s *Store) lock() error {
	path := filepath.Join(s.dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return explain("lock", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return explain("lock", &fs.PathError{Op: "flock", Path: path, Err: err})
		}
		return fmt.Errorf("%s: %w%s: stop it first (systemctl stop redis-cert-agent), or let it do the work (redis-cert-agent renew asks it)", s.dir, ErrLocked, holder(f))
	}
	if s.dirUID != -1 {
		if err := f.Chown(s.dirUID, -1); err != nil {
			f.Close()
			return explain("lock", err)
		}
	}
	// A full disk must not keep the agent from starting.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	s.lockFile = f
	return nil
}

func holder(f *os.File) string {
	text := make([]byte, 20)
	n, _ := f.ReadAt(text, 0) // io.EOF with what there is
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text[:n])))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

// prepare makes the directory of generations and sweeps.
func (s *Store) prepare() error {
	fi, err := os.Lstat(s.generationsDir())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := s.mkdir(s.generationsDir()); err != nil {
			return explain("make directory", err)
		}
		if err := syncDir(s.dir); err != nil {
			return explain("make directory", err)
		}
	case err != nil:
		return explain("open directory", err)
	case !fi.IsDir():
		return fmt.Errorf("%s is not a directory: move it away", s.generationsDir())
	}
	if err := unix.Access(s.generationsDir(), unix.W_OK|unix.X_OK); err != nil {
		return explain("open directory", &fs.PathError{Op: "write to", Path: s.generationsDir(), Err: err})
	}
	return s.sweep()
}

// sweep removes what a crash left under a temporary name.
func (s *Store) sweep() error {
	for _, dir := range []string{s.dir, s.generationsDir(), s.foundDir()} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return explain("sweep", err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), tmpPrefix) {
				continue
			}
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return explain("sweep", err)
			}
		}
	}
	for _, p := range s.paths {
		if p == "" {
			continue
		}
		// Only links are ever made there. One that cannot be removed is in
		// nobody's way; a new one will say why when it is due.
		if fi, err := os.Lstat(tmpLink(p)); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
			_ = os.Remove(tmpLink(p))
		}
	}
	return nil
}
