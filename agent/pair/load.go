package pair

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"redis-cert-agent/agent/cert"
)

// Load reads what is on disk and changes nothing.
//
// It reports as [Foreign] what another hand did, whichever way it was done: a
// plain path replaced by a file or pointed elsewhere, a file written in place
// through the link, the certificate alone replaced for the same key. What is
// compared is what redis would read now, with what the agent wrote. The error
// is about the directory itself; a broken pair is no error but State's content.
func (s *Store) Load() (State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.theirs != nil {
		return s.lookAt(), nil
	}
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
	parts   [3]part
	text    texts      // what redis would read now
	matched *cert.Pair // certificate and key of text, when they match; without CA
}

func (s *Store) look() (*view, error) {
	all, err := s.generations()
	if err != nil {
		return nil, err
	}
	v := &view{State: State{All: all}}
	if err := s.findCurrent(v); err != nil {
		return nil, err
	}
	for r := range fileNames {
		v.parts[r], v.text[r] = s.read(role(r), v.Current)
		if p := v.parts[r]; p.plain != "" && !p.linked {
			v.Unlinked = append(v.Unlinked, p.plain)
		}
	}
	v.judge()
	return v, nil
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
	if v.Current == nil { // removed by another hand
		v.Current = s.readGeneration(id)
		v.All = append(v.All, v.Current)
		slices.SortFunc(v.All, func(a, b *Generation) int { return a.ID - b.ID })
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
		t, err := s.follow(p.plain, fileNames[r])
		if err == nil && !t.linked && t.exists {
			text, err = readFile(p.plain)
		}
		if err != nil || text != nil {
			p.from, p.err = p.plain, err
			return p, text
		}
		p.linked = t.linked
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

// parse parses what there is. A missing text is no error here.
func parse(t texts) (chain []*x509.Certificate, key crypto.Signer, ca []*x509.Certificate, errs [3]error) {
	if t[certRole] != nil {
		chain, errs[certRole] = cert.ParseCertificates(t[certRole])
	}
	if t[keyRole] != nil {
		key, errs[keyRole] = cert.ParseKey(t[keyRole])
	}
	if t[caRole] != nil {
		ca, errs[caRole] = cert.ParseCertificates(t[caRole])
	}
	return chain, key, ca, errs
}

// judge concludes whether another hand was there.
func (v *view) judge() {
	if c := v.Current; c != nil && c.Err == nil && v.parts[certRole].through && v.parts[keyRole].through && v.parts[caRole].through {
		v.CA, v.matched = c.Pair.CA, &cert.Pair{Chain: c.Pair.Chain, Key: c.Pair.Key}
		return // what redis reads is what the agent wrote
	}
	chain, key, ca, errs := parse(v.text)
	v.CA = ca
	if chain != nil && key != nil {
		if p, err := cert.New(chain, key, nil); err == nil {
			v.matched = p
		} else {
			errs[keyRole] = fmt.Errorf("%s: %w in %s: replace the one that is old, or remove both", v.parts[keyRole].from, err, v.parts[certRole].from)
		}
	}
	for r := range errs {
		if v.parts[r].err != nil {
			errs[r] = v.parts[r].err
		}
	}
	v.missing(&errs)
	if v.text[certRole] == nil && v.text[keyRole] == nil && errs[certRole] == nil && errs[keyRole] == nil {
		return // there is no pair; a CA alone is none
	}
	var faults []string
	for r, err := range errs {
		if err == nil {
			continue
		}
		faults = append(faults, fault(v.parts[r].from, err))
	}
	if len(faults) > 0 {
		v.Foreign = &Foreign{Err: errors.New(strings.Join(faults, "; ")), Files: v.changed()}
		return
	}
	p := &cert.Pair{Chain: v.matched.Chain, Key: v.matched.Key, CA: ca}
	if v.Current == nil || v.Current.Err != nil || !equal(p, v.Current.Pair) {
		v.Foreign = &Foreign{Pair: p, Files: v.changed()}
	}
}

// fault says what is wrong with a file, naming it once.
func fault(path string, err error) string {
	text := err.Error()
	if !strings.Contains(text, path) {
		text = path + ": " + text
	}
	if errors.Is(err, fs.ErrPermission) {
		text += ": " + remedy(err)
	}
	return text
}

// missing adds the fault of half a pair.
func (v *view) missing(errs *[3]error) {
	for r, other := range map[role]role{certRole: keyRole, keyRole: certRole} {
		if v.text[r] == nil && errs[r] == nil && v.text[other] != nil {
			errs[r] = fmt.Errorf("missing, while %s is there: put it beside it, or remove both", v.parts[other].from)
		}
	}
}

// changed lists the files that are not as the agent wrote them.
func (v *view) changed() []string {
	var files []string
	for r, p := range v.parts {
		switch {
		case v.Current == nil:
			if v.text[r] != nil || p.err != nil {
				files = append(files, p.from)
			}
		case p.through && v.Current.errs[r] != nil:
			files = append(files, p.from)
		case !p.through && (p.err != nil || !bytes.Equal(v.text[r], v.Current.text[r])):
			files = append(files, p.from)
		}
	}
	if len(files) == 0 && v.Current != nil && v.Current.Err != nil {
		files = []string{filepath.Join(v.Current.dir, "origin.json")}
	}
	return files
}

// equal compares what redis would make of two pairs. Equal leaves have equal
// keys, because both pairs match.
func equal(a, b *cert.Pair) bool {
	return digest(a.Chain) == digest(b.Chain) && digest(a.CA) == digest(b.CA)
}
