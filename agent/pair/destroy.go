package pair

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
)

// Destroy removes the keys of distrusted certificates: every generation but the current one
// and the newest, and of Dir/found the files that hold such a key. It returns how many keys
// that were. A generation whose own key is distrusted and that is current stays, since
// servers load it.
//
// Each file is overwritten before it is removed. A copy-on-write file system, a snapshot
// or a flash disk may keep the old blocks all the same: that the key is of no use any more
// is for the revocation to see to.
func (s *Store) Destroy() (keys int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.generations()
	if err != nil {
		return 0, fmt.Errorf("destroy old keys: %w", err)
	}
	current, err := s.currentID()
	if err != nil {
		return 0, fmt.Errorf("destroy old keys: %w", err)
	}
	for i, g := range all {
		if g.ID == current || i == len(all)-1 {
			continue
		}
		if err := s.destroy(g); err != nil {
			return keys, explain("destroy old keys", err)
		}
		keys++
	}
	if err := sweep(s.generationsDir()); err != nil {
		return keys, err
	}
	found, err := s.destroyFound()
	if err != nil {
		return keys + found, explain("destroy old keys", err)
	}
	return keys + found, nil
}

// destroy takes a generation away, its key overwritten. What another program wrote into it
// is not kept.
func (s *Store) destroy(g *Generation) error {
	tmp := filepath.Join(s.generationsDir(), disk.TemporaryPrefix+dirName(g.ID))
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Rename(g.dir, tmp); err != nil {
		return err
	}
	if err := disk.SyncDir(s.generationsDir()); err != nil {
		return err
	}
	if err := wipe(filepath.Join(tmp, fileNames[keyRole])); err != nil {
		return err
	}
	return os.RemoveAll(tmp)
}

// destroyFound removes from Dir/found what holds a distrusted key.
func (s *Store) destroyFound() (keys int, err error) {
	err = filepath.WalkDir(s.foundDir(), func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !e.Type().IsRegular():
			return nil
		}
		text, err := readFile(path)
		if err != nil || !s.holdsDistrusted(text) {
			return nil // what cannot be read is no key of the agent's
		}
		if err := wipe(path); err != nil {
			return err
		}
		keys++
		return os.Remove(path)
	})
	if err == nil && keys > 0 {
		err = disk.SyncDir(s.foundDir())
	}
	return keys, err
}

// holdsDistrusted says whether a text holds the key of a distrusted certificate.
func (s *Store) holdsDistrusted(text []byte) bool {
	if len(s.distrust.Leaves) == 0 || !strings.Contains(string(text), "PRIVATE KEY") {
		return false
	}
	key, err := cert.OpenKey(text, opener(s.passphrase))
	return err == nil && s.distrust.distrustsKey(key)
}

// wipe puts zeros in the place of what is in a file, on disk when it returns.
func wipe(path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !fi.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, zeros{}, fi.Size())
	return errors.Join(err, f.Sync(), f.Close())
}

// zeros is an endless file of them.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
