// Package disk writes a file whole or not at all, makes the names in a directory
// durable, and reads files that others write.
package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// TemporaryPrefix begins the names of files that are not finished. The next start
// of the agent removes them from its directory.
const TemporaryPrefix = ".tmp-"

// Replace puts text at path, where the agent keeps what must outlive it: all of it
// or none, whatever happens meanwhile, and on disk when Replace returns. The file
// has mode 0600 and belongs to the owner of its directory, also when a command
// that root runs makes it. An error names path.
func Replace(path string, text []byte) error { return replace(path, text, 0o600) }

// Share is [Replace] for a file that everybody may read: its mode is 0644.
func Share(path string, text []byte) error { return replace(path, text, 0o644) }

func replace(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), TemporaryPrefix+filepath.Base(path)) // mode 0600
	if err != nil {
		return renamed(err, path)
	}
	_, err = f.Write(text)
	if os.Geteuid() == 0 {
		err = errors.Join(err, giveToOwner(f, filepath.Dir(path)))
	}
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return renamed(err, path)
	}
	return SyncDir(filepath.Dir(path))
}

// renamed returns err about path instead of a temporary file: a name that is
// another each time tells people nothing, and makes the same failure look new.
func renamed(err error, path string) error {
	var file *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &file):
		err = file.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return &fs.PathError{Op: "replace", Path: path, Err: err}
}

// SyncDir makes what was made, renamed or removed in a directory durable. fsync(2):
// "Calling fsync() does not necessarily ensure that the entry in the directory
// containing the file has also reached disk. For that an explicit fsync() on a file
// descriptor for the directory is also needed."
func SyncDir(path string) error {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// giveToOwner gives f to the owner of dir.
func giveToOwner(f *os.File, dir string) error {
	uid, gid, err := owner(dir)
	if err != nil {
		return err
	}
	return f.Chown(uid, gid)
}

// MakeDir makes a directory of mode 0700, unless it is there. Made by root, it
// belongs to the owner of its parent.
func MakeDir(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(GiveToOwner(path), SyncDir(filepath.Dir(path)))
}

// GiveToOwner gives what root has made at path to the owner of its directory. It
// does nothing when another user runs it: what that user makes is its own.
func GiveToOwner(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := owner(filepath.Dir(path))
	if err != nil {
		return err
	}
	return os.Lchown(path, uid, gid)
}

// owner returns the user and the group of a file or directory.
func owner(path string) (uid, gid int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	return int(stat.Uid), int(stat.Gid), nil
}
