package pair

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxFile bounds what is read as a PEM text. The CA bundle of a distribution
// has a quarter of it.
const maxFile = 1 << 20

// mkdir makes a directory that is nobody else's until it has its group.
func (s *Store) mkdir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return s.publish(path)
}

// publish lets the group into a directory.
func (s *Store) publish(path string) error {
	fi, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !owned(fi, s.dirUID, s.gid) {
		if err := os.Lchown(path, s.dirUID, s.gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, 0o750)
}

// owned tells whether a file belongs to the user and group already; -1 is any.
// The unit's sandbox has no chown(2): what a service in the group of redis makes
// has that group from the start.
func owned(fi fs.FileInfo, uid, gid int) bool {
	st := fi.Sys().(*syscall.Stat_t)
	return (uid == -1 || int(st.Uid) == uid) && (gid == -1 || int(st.Gid) == gid)
}

// A newFile is a file to be made.
type newFile struct {
	path     string
	text     []byte
	uid, gid int
	mode     fs.FileMode
}

// writeFiles makes files, which must not exist. Each has its owner, group and
// mode before it has content, and all are on disk when writeFiles returns.
func writeFiles(files ...newFile) (err error) {
	var open []*os.File
	defer func() {
		for _, f := range open {
			if cerr := f.Close(); err == nil {
				err = cerr
			}
		}
	}()
	for _, n := range files {
		f, err := os.OpenFile(n.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		open = append(open, f)
		if err := n.fill(f); err != nil {
			return err
		}
	}
	// The kernel is to begin with all of them before the first is waited for:
	// then a journal commits them together, and not one after the other. What
	// goes wrong here, fsync(2) tells.
	for _, f := range open {
		_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	}
	for _, f := range open {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

func (n newFile) fill(f *os.File) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !owned(fi, n.uid, n.gid) {
		if err := f.Chown(n.uid, n.gid); err != nil {
			return err
		}
	}
	if err := f.Chmod(n.mode); err != nil {
		return err
	}
	_, err = f.Write(n.text)
	return err
}

// syncDir makes renames in a directory last. "Calling fsync() does not
// necessarily ensure that the entry in the directory containing the file has
// also reached disk. For that an explicit fsync() on a file descriptor for the
// directory is also needed" (fsync(2)).
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// readFile reads a regular file of reasonable size. O_NONBLOCK is for the pipe
// that somebody may have put there.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	var text bytes.Buffer
	text.Grow(int(min(fi.Size(), maxFile)) + bytes.MinRead) // one read for the text, one for its end
	if _, err := text.ReadFrom(io.LimitReader(f, maxFile+1)); err != nil {
		return nil, err
	}
	if text.Len() > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes: it is no PEM file", path, maxFile)
	}
	return text.Bytes(), nil
}

// tmpLink is the temporary name of a link that is to replace path. It is the
// same each time, so that a leftover can be found.
func tmpLink(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".redis-cert-agent")
}

// makeLink makes a symbolic link under a temporary name, over a leftover link.
func makeLink(target, tmp string) error {
	err := os.Symlink(target, tmp)
	if errors.Is(err, fs.ErrExist) {
		fi, lerr := os.Lstat(tmp)
		if lerr != nil || fi.Mode()&fs.ModeSymlink == 0 {
			return err
		}
		if err := os.Remove(tmp); err != nil {
			return err
		}
		err = os.Symlink(target, tmp)
	}
	return err
}

// explain says in one line what was being done, what the system said, and what
// to do about it.
func explain(deed string, err error) error {
	if r := remedy(err); r != "" {
		return fmt.Errorf("%s: %w: %s", deed, err, r)
	}
	return fmt.Errorf("%s: %w", deed, err)
}

func remedy(err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		return "free some space there; the pair on disk is as it was"
	case errors.Is(err, unix.EROFS):
		return "mount it read-write, or under systemd name the directory in ReadWritePaths="
	case errors.Is(err, unix.EBUSY):
		return "it is a mount of its own: mount its directory instead of the single file"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("let the agent's user (uid %d) do that: check owner, group and mode of the file and its directories, and ReadWritePaths= under systemd", os.Geteuid())
	case errors.Is(err, fs.ErrNotExist):
		return "make it, or correct the path"
	}
	return ""
}
