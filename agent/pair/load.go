package pair

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"
)

// Load reads what is on disk and changes nothing.
//
// It reports as [Foreign] what another program did, whichever way it was done: a
// plain path replaced by a file or pointed elsewhere, a file written in place
// through the link, the certificate alone replaced for the same key. What is
// compared is what redis would read now, with what the agent wrote. The error
// is about the directory itself; a broken pair is no error but State's content.
func (s *Store) Load() (State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.look()
	if err != nil {
		return State{}, fmt.Errorf("load: %w", err)
	}
	return v.State, nil
}

// A part is one of the three files that redis reads.
type part struct {
	plain   string // the plain path; "" when there is none
	from    string // the path that its text was read from
	linked  bool   // the plain path leads through current
	through bool   // the text is current's: linked, or there is nothing at a plain path
	err     error  // reading
}

// A view is the state, and what it was concluded from.
type view struct {
	State
	parts [3]part

	passphrase secret.Secret
	text       texts      // what redis would read now
	matched    *cert.Pair // certificate and key of text, when they match; without CA
}

func (s *Store) look() (*view, error) {
	all, err := s.generations()
	if err != nil {
		return nil, err
	}
	v := &view{State: State{All: all}, passphrase: s.passphrase}
	if err := s.findCurrent(v); err != nil {
		return nil, err
	}
	v.Known, v.Distrust = s.known(v), s.distrust
	for r := range fileNames {
		v.parts[r], v.text[r] = s.read(role(r), v.Current)
		if p := v.parts[r]; p.plain != "" && !p.linked {
			v.Unlinked = append(v.Unlinked, p.plain)
		}
	}
	v.judge()
	if !s.peeks {
		err = v.sealed()
	}
	return v, err
}

// sealed returns why nothing can be decided on what is there: the pair that is current, or
// the newest one, or the one that was there before the agent, has a key that only another
// passphrase opens. Another certificate would not mend that, and redis could not load it.
func (v *view) sealed() error {
	for i, g := range v.All {
		if (i == len(v.All)-1 || g == v.Current) && sealed(g.errs[keyRole]) {
			return fmt.Errorf("%s: %w", filepath.Join(g.dir, fileNames[keyRole]), withRemedy(g.errs[keyRole]))
		}
	}
	if f := v.Foreign; f != nil && (errors.Is(f.Err, cert.ErrPassphrase) || len(v.All) == 0 && sealed(f.Err)) {
		return withRemedy(f.Err)
	}
	return nil
}

// withRemedy says what to do about a passphrase that does not open a key.
func withRemedy(err error) error {
	if errors.Is(err, cert.ErrPassphrase) {
		return fmt.Errorf("%w: key.passphrase_file has to hold the passphrase that it was encrypted with, the tls-key-file-pass of redis; nothing was changed", err)
	}
	return fmt.Errorf("%w; nothing was changed", err)
}

// known returns the leaves by which a server is recognised whatever the clock says: the
// last ones that were here, and of those on disk the latest, as many, and the current one.
func (s *Store) known(v *view) []cert.Fingerprint {
	var all []cert.Fingerprint
	for _, g := range v.All {
		if g.Leaf != (cert.Fingerprint{}) && !g.Origin.Kept() {
			all = append(all, g.Leaf)
		}
	}
	s.seen.noteNew(all)
	known := slices.Clone(s.seen.list)
	latest := all[max(0, len(all)-mostSeen):]
	if v.Current != nil && slices.Contains(all, v.Current.Leaf) {
		latest = append(slices.Clone(latest), v.Current.Leaf)
	}
	for _, leaf := range latest {
		if !slices.Contains(known, leaf) {
			known = append(known, leaf)
		}
	}
	return known
}

// Remember writes down which leaves have been here, so that the next start knows them
// when their pairs are gone. It does nothing when all are on disk. A failure costs only
// that.
func (s *Store) Remember() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.save(s.seenPath())
}

// currentID returns the ID of the generation that `current` leads to; 0 when
// there is no `current`, or it leads elsewhere.
func (s *Store) currentID() (int, error) {
	target, err := os.Readlink(s.current())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %s must be a symbolic link that the agent makes: move away what is there", err, s.current())
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(s.real, target)
	}
	dir, name := filepath.Split(filepath.Clean(target))
	if id, ok := parseID(name); ok {
		if filepath.Clean(dir) == s.generationsDir() || filepath.Clean(dir) == filepath.Join(s.real, "generations") {
			return id, nil
		}
	}
	return 0, nil
}

func (s *Store) findCurrent(v *view) error {
	id, err := s.currentID()
	if err != nil || id == 0 {
		return err
	}
	v.Current = find(v.All, id)
	if v.Current == nil { // removed by another program
		v.Current = s.readGeneration(id)
		v.All = append(v.All, v.Current)
		sort.Slice(v.All, func(i, j int) bool { return v.All[i].ID < v.All[j].ID })
	}
	return nil
}

func find(all []*Generation, id int) *Generation {
	i := slices.IndexFunc(all, func(g *Generation) bool { return g.ID == id })
	if i < 0 {
		return nil
	}
	return all[i]
}

// read reads one file from where redis would find it.
func (s *Store) read(r role, current *Generation) (p part, text []byte) {
	p.plain = s.paths[r]
	if p.plain != "" {
		t, err := follow(p.plain, s.inCurrent(r))
		if err == nil && !t.stopped && t.exists {
			text, err = s.readPlain(r)
		}
		if err != nil || text != nil {
			p.from, p.err = p.plain, err
			return p, text
		}
		p.linked = t.stopped
	}
	p.through = true
	p.from = filepath.Join(s.current(), fileNames[r])
	if current != nil {
		if err := current.errs[r]; current.text[r] == nil && !errors.Is(err, fs.ErrNotExist) {
			p.err = err
		}
		return p, current.text[r]
	}
	text, p.err = readFile(p.from)
	if errors.Is(p.err, fs.ErrNotExist) {
		text, p.err = nil, nil
	}
	return p, text
}
