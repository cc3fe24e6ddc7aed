package report

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// ReplaceFile puts text at path, where the agent keeps what must outlive it: all
// of it or none, whatever happens meanwhile, and on disk when it returns. The
// file is for the user of its directory alone, also when a command of root's
// makes it. A temporary file that a kill leaves has a name that the next start
// of the agent removes.
func ReplaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-"+filepath.Base(path)) // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if os.Geteuid() == 0 {
		err = errors.Join(err, giveToOwner(f, filepath.Dir(path)))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	// The rename itself must reach the disk (fsync(2)).
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// giveToOwner gives f to whom its directory belongs.
func giveToOwner(f *os.File, dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	return f.Chown(int(owner.Uid), int(owner.Gid))
}
