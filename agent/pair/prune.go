package pair

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"redis-cert-agent/agent/disk"
)

// Prune removes old generations. It leaves the current one, the newest (its
// number is not given twice), those named in keep, and the newest Options.Keep
// of the rest. Damaged ones do not count among these and go; what another
// program wrote into one of them, and is nowhere else, goes to Dir/found.
func (s *Store) Prune(keep ...int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.generations()
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	current, err := s.currentID()
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	previous := 0
	for i, g := range slices.Backward(all) {
		if g.ID == current || i == len(all)-1 || slices.Contains(keep, g.ID) {
			continue
		}
		if g.Err == nil {
			if previous++; previous <= s.keep {
				continue
			}
		}
		if err := s.retire(g, all); err != nil {
			return explain(fmt.Sprintf("prune generation %d", g.ID), err)
		}
	}
	return nil
}

// retire takes a generation away, by a rename first, so that nobody sees it
// half removed.
func (s *Store) retire(g *Generation, all []*Generation) error {
	if g.Err != nil && !elsewhere(g, all) {
		return s.toFound(g)
	}
	tmp := filepath.Join(s.generationsDir(), disk.TemporaryPrefix+dirName(g.ID))
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Rename(g.dir, tmp); err != nil {
		return err
	}
	return os.RemoveAll(tmp)
}

// toFound moves a whole directory, with its modes, to Dir/found.
//
// One whose key is distrusted is destroyed.
func (s *Store) toFound(g *Generation) error {
	if s.holdsDistrusted(g.text[keyRole]) {
		return s.destroy(g)
	}
	if err := makeDirs(s.foundDir(), s.mkdir); err != nil {
		return err
	}
	path, err := s.freeName("generation-" + dirName(g.ID) + "-" + stamp(written(g)))
	if err != nil {
		return err
	}
	if err := os.Rename(g.dir, path); err != nil {
		return err
	}
	if err := disk.SyncDir(s.foundDir()); err != nil {
		return err
	}
	return disk.SyncDir(s.generationsDir())
}

// elsewhere says whether each file of a damaged generation is in a whole one.
func elsewhere(g *Generation, all []*Generation) bool {
	for r := range fileNames {
		if len(g.text[r]) > 0 && !hold(all, role(r), g.text[r]) {
			return false
		}
	}
	return true
}

// hold says whether a whole generation of all has text as its file.
func hold(all []*Generation, r role, text []byte) bool {
	return slices.ContainsFunc(all, func(g *Generation) bool { return g.Err == nil && bytes.Equal(g.text[r], text) })
}

// written is when another program was last in the generation.
func written(g *Generation) (last time.Time) {
	for _, name := range append(fileNames[:], "") {
		if fi, err := os.Lstat(filepath.Join(g.dir, name)); err == nil && fi.ModTime().After(last) {
			last = fi.ModTime()
		}
	}
	return last
}
