package pair

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/disk"
)

// maxFile bounds what is read as a PEM text. The CA bundle of a distribution
// has a quarter of it.
const maxFile = 1 << 20

// mkdir makes a directory, which is on disk when mkdir returns. It gets its name
// last: a crash before leaves none that the group cannot enter.
func (d *directory) mkdir(path string) error {
	tmp := filepath.Join(filepath.Dir(path), disk.TemporaryPrefix+filepath.Base(path))
	err := os.Mkdir(tmp, 0o700)
	if errors.Is(err, fs.ErrExist) { // left by a crash, or not the agent's
		if os.Remove(tmp) == nil {
			err = os.Mkdir(tmp, 0o700)
		} else {
			tmp, err = os.MkdirTemp(filepath.Dir(path), filepath.Base(tmp)+"-")
		}
	}
	if err != nil {
		return &fs.PathError{Op: "mkdir", Path: path, Err: errors.Unwrap(err)}
	}
	mode := fs.FileMode(0o750)
	if path == d.dir {
		mode = 0o751 // for those who know the name of what is shared in it
	}
	if err = d.publish(tmp, mode); err == nil {
		err = disk.SyncDir(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // if that fails too, the next mkdir does it
		return err
	}
	return disk.SyncDir(filepath.Dir(path))
}

// makeDirs makes path with mkdir, after the directories above it that are
// missing. Each is on disk before the next is made in it.
func makeDirs(path string, mkdir func(path string) error) error {
	_, err := os.Stat(path)
	if err == nil {
		// An earlier start may have made it and been killed before it was on
		// disk. A directory above that the agent cannot read is not its own.
		if err := disk.SyncDir(filepath.Dir(path)); !errors.Is(err, fs.ErrPermission) {
			return err
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeDirs(filepath.Dir(path), mkdirForAll); err != nil {
		return err
	}
	return mkdir(path)
}

func mkdirForAll(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(path))
}

// publish gives a directory its group and its mode.
func (d *directory) publish(path string, mode fs.FileMode) error {
	fi, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !owned(fi, d.dirUID, d.gid) {
		if err := os.Lchown(path, d.dirUID, d.gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, mode)
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

// readFile reads a file that another program may have written.
func readFile(path string) ([]byte, error) { return disk.Read(path, maxFile) }

// Unread says that err tells nothing of a file's content: it could not be read now, and
// another attempt may read it.
func Unread(err error) bool {
	for _, errno := range []unix.Errno{unix.EIO, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EAGAIN, unix.EINTR, unix.ESTALE, unix.ETIMEDOUT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// tmpLink is the temporary name of a link that is to replace path. It is the
// same each time, so that a leftover can be found.
func tmpLink(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".redis-cert-agent")
}

// spares is how many temporary names of a link there are, should something else have the
// first: a pipe or a directory there must not stop a switch.
const spares = 9

// spare returns the n-th temporary name, from 0.
func spare(tmp string, n int) string {
	if n == 0 {
		return tmp
	}
	return fmt.Sprintf("%s.%d", tmp, n+1)
}

// makeLink makes a symbolic link under the temporary name tmp, over a leftover link, or
// under a spare name where something else is there. It returns the name.
func makeLink(target, tmp string) (name string, err error) {
	for n := range spares {
		name = spare(tmp, n)
		err = os.Symlink(target, name)
		if !errors.Is(err, fs.ErrExist) {
			return name, err
		}
		if fi, lerr := os.Lstat(name); lerr != nil || fi.Mode()&fs.ModeSymlink == 0 || os.Remove(name) != nil {
			continue
		}
		if err = os.Symlink(target, name); err == nil {
			return name, nil
		}
	}
	return "", err
}

// explain says in one line what was being done, what the system said, and what
// to do about it.
func explain(doing string, err error) error {
	if r := remedy(err); r != "" {
		return fmt.Errorf("%s: %w: %s", doing, err, r)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func remedy(err error) string {
	var denied *deniedError
	switch {
	case errors.As(err, &denied):
		return denied.remedy()
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		return "free some space there; the pair on disk is as it was"
	case errors.Is(err, unix.EROFS):
		return "mount it read-write, or under systemd name the directory in ReadWritePaths="
	case errors.Is(err, unix.EBUSY):
		return "it is a mount of its own: mount its directory instead of the single file"
	case errors.Is(err, fs.ErrPermission) && hiding(err) != "":
		dir := hiding(err)
		return fmt.Sprintf("the unit hides %s from the agent (InaccessiblePaths=): take the drop-in for it from /usr/share/doc/redis-cert-agent/examples, whose README says how", dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("let the agent's user (uid %d) do that: check owner, group and mode of the file and its directories, and ReadWritePaths= under systemd", os.Geteuid())
	case errors.Is(err, fs.ErrNotExist):
		return "make it, or correct the path"
	}
	return ""
}

// hiding returns the directory on the way to the path of err that nobody may enter at all,
// which is how systemd hides one (InaccessiblePaths= in systemd.exec(5)); empty where
// there is none, and owners and modes are to be looked at.
func hiding(err error) string {
	var path string
	var one *fs.PathError
	var two *os.LinkError
	switch {
	case errors.As(err, &one):
		path = one.Path
	case errors.As(err, &two):
		path = two.New
	}
	for dir := filepath.Dir(path); len(dir) > 1; dir = filepath.Dir(dir) {
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() && fi.Mode().Perm() == 0 {
			return dir
		}
	}
	return ""
}
