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
	"sort"
	"strings"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/plain"
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
	v.Known = s.known(v)
	for r := range fileNames {
		v.parts[r], v.text[r] = s.read(role(r), v.Current)
		if p := v.parts[r]; p.plain != "" && !p.linked {
			v.Unlinked = append(v.Unlinked, p.plain)
		}
	}
	v.judge()
	return v, nil
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

// parse parses what there is, and adds what is wrong with it to errs, the faults
// of reading. A missing text is no error here.
func parse(t texts, errs [3]error) (chain []*x509.Certificate, key crypto.Signer, ca []*x509.Certificate, _ [3]error) {
	if t[certRole] != nil && errs[certRole] == nil {
		chain, errs[certRole] = cert.ParseChain(t[certRole])
	}
	if t[keyRole] != nil && errs[keyRole] == nil {
		key, errs[keyRole] = cert.ParseKey(t[keyRole])
	}
	switch {
	case t[caRole] == nil || errs[caRole] != nil:
	case len(bytes.TrimSpace(t[caRole])) == 0:
		errs[caRole] = errNoCA
	default:
		ca, errs[caRole] = cert.ParseCertificates(t[caRole])
	}
	return chain, key, ca, errs
}

// errNoCA says what cert-manager leaves in ca.crt where the issuer is an ACME CA.
var errNoCA = errors.New("it is empty, and redis does not load an empty file: put the root of the issuer there, " +
	"or take it out of paths and redis.conf and name roots.file")

// judge concludes whether another program was there.
func (v *view) judge() {
	if v.asWritten() {
		c := v.Current.Pair
		v.CA, v.matched = c.CA, &cert.Pair{Chain: c.Chain, Key: c.Key}
		return
	}
	errs := v.match()
	if v.text[certRole] == nil && v.text[keyRole] == nil && errs[certRole] == nil && errs[keyRole] == nil {
		return // there is no pair; a CA alone is none
	}
	if err := v.faults(errs); err != nil {
		v.Foreign = &Foreign{Err: err, Files: v.changed()}
		return
	}
	p := &cert.Pair{Chain: v.matched.Chain, Key: v.matched.Key, CA: v.CA}
	if v.Current == nil || v.Current.Err != nil || !equal(p, v.Current.Pair) {
		v.Foreign = &Foreign{Pair: p, Files: v.changed()}
	}
}

// asWritten says whether redis reads the current generation and that is whole.
func (v *view) asWritten() bool {
	if v.Current == nil || v.Current.Err != nil {
		return false
	}
	for _, p := range v.parts {
		if !p.through {
			return false
		}
	}
	return true
}

// match parses what redis would read and holds certificate and key against each
// other. It returns what is wrong with each file.
func (v *view) match() [3]error {
	var reading [3]error
	for r, p := range v.parts {
		reading[r] = p.err
	}
	chain, key, ca, errs := parse(v.text, reading)
	v.CA = ca
	if chain != nil && key != nil {
		if p, err := cert.New(chain, key, nil); err == nil {
			v.matched = p
		} else {
			errs[keyRole] = fmt.Errorf("%s: %w in %s: replace the one that is old, or remove both", v.parts[keyRole].from, err, v.parts[certRole].from)
		}
	}
	v.missing(&errs)
	return errs
}

// faults returns one error for those of errs that are not nil.
func (v *view) faults(errs [3]error) error {
	for r, err := range errs {
		if err != nil {
			errs[r] = fault(v.parts[r].from, err)
		}
	}
	return plain.Join(errs[:]...)
}

// fault says what is wrong with a file, naming it once, and what to do when it
// may not be read.
func fault(path string, err error) error {
	if !strings.Contains(err.Error(), path) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: %s", err, remedy(err))
	}
	return err
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
		files = []string{filepath.Join(v.Current.dir, recordName)}
	}
	return files
}

// equal compares what redis would make of two pairs. Equal leaves have equal
// keys, because both pairs match.
func equal(a, b *cert.Pair) bool {
	return digest(a.Chain) == digest(b.Chain) && digest(a.CA) == digest(b.CA)
}
