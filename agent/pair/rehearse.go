package pair

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/plain"
)

// Rehearse tries on the disk what a new generation needs: in each directory that is
// written to, a file is made, synced and removed, and the plain paths that are not links
// yet can be replaced. Nothing that redis reads changes. Found says in one line what there is.
func (s *Store) Rehearse() (found string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peeks {
		if _, err := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
			return "it is not there yet: the agent makes it, or its unit (StateDirectory=)", nil
		}
	}
	v, err := s.look()
	if err != nil {
		return "", err
	}
	if s.passphrase.Set() && !s.peeks {
		if _, err := s.passphrase.Read(); err != nil {
			return "", fmt.Errorf("the passphrase for the key: %w", err)
		}
	}
	for _, dir := range []string{s.dir, s.generationsDir()} {
		if err := disk.TryWrite(dir); err != nil {
			return "", explain("write", err)
		}
	}
	if err := s.replaceable(v); err != nil {
		return "", err
	}
	found = "a file can be written to " + s.dir
	if links := s.plainPaths(); links != "" {
		found += ", " + links + " lead to it or can be replaced"
	}
	return found + room(s.dir), nil
}

func (s *Store) plainPaths() string {
	var all []string
	for _, p := range s.paths {
		if p != "" {
			all = append(all, p)
		}
	}
	return strings.Join(all, ", ")
}

// Rehearse tries whether the agent can note the leaves that it saw; it writes nothing else.
func (x *External) Rehearse() (found string, err error) {
	if err := disk.TryWrite(x.dir); err != nil {
		return "", explain("write", err)
	}
	return "a file can be written to " + x.dir + room(x.dir), nil
}

// room says how much is free.
func room(dir string) string {
	space, err := disk.SpaceAt(dir)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(", %s free", plain.Bytes(space.Bytes))
}

// Peek returns the store of o.Dir for a command that only looks: it takes no lock, makes
// nothing, and must not be asked for a change. The directory may be missing.
func Peek(o Options) (*Store, error) {
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	if s.real, err = filepath.EvalSymlinks(s.dir); errors.Is(err, fs.ErrNotExist) {
		s.real = s.dir
	} else if err != nil {
		return nil, explain("read", err)
	}
	s.peeks, s.distrust = true, s.recallDistrust()
	s.lockFile, err = os.Open(os.DevNull) // for Close
	return s, err
}

// PeekExternal is Peek for a pair that another program renews.
func PeekExternal(o ExternalOptions) (*External, error) {
	x, err := newExternal(o)
	if err != nil {
		return nil, err
	}
	x.distrust = x.recallDistrust()
	x.lockFile, err = os.Open(os.DevNull)
	return x, err
}
