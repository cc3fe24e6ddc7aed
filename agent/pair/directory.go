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

	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/disk"
)

// A directory is the agent's own. Its lock makes one process the only one that
// changes anything in it.
type directory struct {
	dir      string // as configured, absolute; symbolic links are made with it
	real     string // the same without symbolic links
	dirUID   int    // owner of what is made in it; -1: the agent's user
	gid      int    // its group; -1: left to the system
	lockFile *os.File

	openParent bool // others may write to those above it
}

func newDirectory(path string, gid int, openParent bool) directory {
	return directory{dir: filepath.Clean(path), dirUID: -1, gid: gid, openParent: openParent}
}

// open makes the directory when it is missing, refuses one that others control,
// finds out who owns what is made in it, and takes the lock.
func (d *directory) open() error {
	if err := makeDirs(d.dir, d.mkdir); err != nil {
		return explain("make directory", err)
	}
	var err error
	if d.real, err = filepath.EvalSymlinks(d.dir); err != nil {
		return explain("open directory", err)
	}
	if err := d.check(); err != nil {
		return err
	}
	return d.lock()
}

// Close gives the lock back.
func (d *directory) Close() error { return d.lockFile.Close() }

func (d *directory) check() error {
	fi, err := os.Stat(d.real)
	if err != nil {
		return explain("open directory", err)
	}
	if !fi.IsDir() {
		return fmt.Errorf("directory %s: it is a file: move it away, or choose another directory", d.dir)
	}
	owner := ownerOf(fi)
	switch me := os.Geteuid(); {
	case owner == me:
	case me == 0:
		// A command of root's beside the service must leave files that the
		// service's user can remove later.
		d.dirUID = owner
	default:
		return fmt.Errorf("directory %s: it belongs to user %d, who could replace the key, and the agent runs as user %d: chown %d %[1]s", d.dir, owner, me, me)
	}
	if err := d.closed(d.real, fi); err != nil {
		return err
	}
	return d.checkOwners(os.Geteuid(), owner)
}

// lock takes the lock by flock(2), which the kernel drops with the process,
// however that ends. The process id in the file is for people: an empty or old
// one has no effect.
func (d *directory) lock() error {
	path := filepath.Join(d.dir, "lock")
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
		return fmt.Errorf("%s: %w%s, or let it do the work (redis-cert-agent renew asks it)", d.dir, ErrLocked, holder(f))
	}
	if d.dirUID != -1 {
		if err := f.Chown(d.dirUID, -1); err != nil {
			f.Close()
			return explain("lock", err)
		}
	}
	// A full disk must not keep the agent from starting.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	d.lockFile = f
	return nil
}

// holder says which process has the lock f, and how to stop it: the unit has
// another name for each instance, and systemctl status finds it by the process.
func holder(f *os.File) string {
	text := make([]byte, 20)
	n, _ := f.ReadAt(text, 0) // io.EOF with what there is
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text[:n])))
	if err != nil {
		return ": stop it first"
	}
	return fmt.Sprintf(" (process %d): stop it first (systemctl status %[1]d names its unit)", pid)
}

// seenPath is where the fingerprints of the leaves are that were here.
func (d *directory) seenPath() string { return filepath.Join(d.dir, "seen") }

// sweep removes what a crash left under a temporary name in dir.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return explain("sweep", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), disk.TemporaryPrefix) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return explain("sweep", err)
		}
	}
	return nil
}
