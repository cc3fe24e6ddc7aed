package pair

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
)

// Switch makes generation id the current one by one rename, and returns when
// that is on disk. Going back to a previous generation is the same. When one
// plain path is linked and the other is not, Switch links first, so that both
// move together. On error `current` is as it was.
func (s *Store) Switch(id int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.switchTo(id); err != nil {
		return fmt.Errorf("switch to generation %d: %w", id, err)
	}
	return nil
}

func (s *Store) switchTo(id int) error {
	v, err := s.look()
	if err != nil {
		return err
	}
	g := find(v.All, id)
	if g == nil {
		return errors.New("there is no such generation")
	}
	if g.Err != nil {
		return g.Err
	}
	if v.parts[caRole].linked && len(g.Pair.CA) == 0 {
		return fmt.Errorf("it has no CA certificate, and redis.conf names %s: redis would not start", v.parts[caRole].plain)
	}
	captured := slices.ContainsFunc(v.All, func(g *Generation) bool { return g.Origin.Kept() })
	if v.matched != nil && !v.stillMatches(g) {
		captured = true
		if err := s.link(v); err != nil {
			return fmt.Errorf("only one of the plain paths leads through current, and a switch would part it from the other: %w", err)
		}
	}
	if err := s.point(id); err != nil {
		return err
	}
	if captured {
		_ = s.setAside() // else the next one does it, or the next Open
	}
	return nil
}

// stillMatches says whether redis would read a matching pair after a switch to
// g and nothing else.
func (v *view) stillMatches(g *Generation) bool {
	chain, key := v.matched.Chain, v.matched.Key
	if v.parts[certRole].through {
		chain = g.Pair.Chain
	}
	if v.parts[keyRole].through {
		key = g.Pair.Key
	}
	_, err := cert.New(chain, key, nil)
	return err == nil
}

// point renames a link to generation id over `current` and syncs Dir. When the
// sync fails it puts back what was there.
func (s *Store) point(id int) error {
	before, err := os.Readlink(s.current())
	if err != nil && !os.IsNotExist(err) {
		return explain("read current", err)
	}
	if err := s.linkCurrent(filepath.Join("generations", dirName(id))); err != nil {
		return explain("point current", err)
	}
	if err := disk.SyncDir(s.dir); err != nil {
		if before == "" {
			err = errors.Join(err, os.Remove(s.current()))
		} else {
			err = errors.Join(err, s.linkCurrent(before))
		}
		return explain("point current", err)
	}
	return nil
}

func (s *Store) linkCurrent(target string) error {
	tmp, err := makeLink(target, filepath.Join(s.dir, disk.TemporaryPrefix+"current"))
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, s.current()); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return nil
}
