package disk

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// trial is what TryWrite writes: more than a pair with its CA certificates mostly has, so
// that a full disk shows.
var trial [64 << 10]byte

// TryWrite makes a file in dir, writes it to the disk, and removes it: what every change
// of a pair needs. The file has a temporary name, which whoever sweeps dir knows.
func TryWrite(dir string) (err error) {
	f, err := os.CreateTemp(dir, TemporaryPrefix+"rehearsal-")
	if err != nil {
		return err
	}
	defer func() {
		if rerr := os.Remove(f.Name()); err == nil {
			err = rerr
		}
		if err == nil {
			err = SyncDir(dir)
		}
	}()
	if _, err = f.Write(trial[:]); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write in %s: %w", dir, err)
	}
	return nil
}

// A Space is what is free on the file system of a path for who is not root.
type Space struct {
	Bytes, Inodes uint64
	AnyInodes     bool // this kind of file system makes inodes as it needs them
}

// SpaceAt returns what is free where path lies, or where it would lie.
func SpaceAt(path string) (Space, error) {
	for {
		var fs unix.Statfs_t
		err := unix.Statfs(path, &fs)
		if err == nil {
			return Space{Bytes: fs.Bavail * uint64(fs.Bsize), Inodes: fs.Ffree, AnyInodes: fs.Files == 0}, nil
		}
		up := filepath.Dir(path)
		if !os.IsNotExist(err) || up == path {
			return Space{}, &os.PathError{Op: "statfs", Path: path, Err: err}
		}
		path = up
	}
}
