package pair

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"redis-cert-agent/agent/disk"
)

// SharedCA returns where [Store.Share] puts the CA certificates.
func (o Options) SharedCA() string { return filepath.Join(o.Dir, fileNames[caRole]) }

// Share keeps a copy of the current CA certificates at Dir/ca.crt, where the clients
// of this host may read them: those at `current` are for redis alone. It writes only
// when they have changed.
func (s *Store) Share() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := s.currentID()
	if err != nil || id == s.shared {
		return nil // without a current generation there is nothing to share yet
	}
	text, err := readFile(filepath.Join(s.generation(id), fileNames[caRole]))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // what an earlier one had still stands there
	}
	path := filepath.Join(s.dir, fileNames[caRole])
	if old, unread := readFile(path); err == nil && (unread != nil || !bytes.Equal(old, text)) {
		err = disk.Share(path, text)
	}
	if err != nil {
		return fmt.Errorf("share the CA certificates: %w", err)
	}
	s.shared = id
	return nil
}
