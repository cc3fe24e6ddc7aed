package pair

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/secret"
)

// parseID returns the ID that a directory name stands for.
func parseID(name string) (int, bool) {
	id, err := strconv.Atoi(name)
	return id, err == nil && id > 0 && dirName(id) == name
}

// generations reads every generation, ascending by ID.
func (s *Store) generations() ([]*Generation, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(s.whole, func(id int, _ *Generation) bool { return !slices.Contains(ids, id) })
	all := make([]*Generation, len(ids))
	for i, id := range ids {
		all[i] = s.readGeneration(id)
	}
	return all, nil
}

func (d *directory) generationsDir() string  { return filepath.Join(d.dir, "generations") }
func (d *directory) generation(i int) string { return filepath.Join(d.generationsDir(), dirName(i)) }
func dirName(id int) string                  { return fmt.Sprintf("%06d", id) }

func (d *directory) ids() ([]int, error) {
	entries, err := os.ReadDir(d.generationsDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, explain("read generations", err)
	}
	var ids []int
	for _, e := range entries {
		if id, ok := parseID(e.Name()); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// readGeneration reads one generation. What is wrong with it is in its Err. A whole
// one whose files have not changed since they were read last is not read anew, nor one
// whose bytes are the same parsed, which for a large RSA key takes milliseconds.
func (s *Store) readGeneration(id int) *Generation {
	dir := s.generation(id)
	started, stamps, last := time.Now(), stampGeneration(dir), s.whole[id]
	if last != nil && last.rested && stamps == last.stamps {
		return last
	}
	g := s.readFiles(id, dir, last)
	g.stamps, g.rested = stamps, stamps.atRest(started)
	if g.Err == nil {
		s.whole[id] = g
	}
	return g
}

// readFiles reads the files of a generation. It returns last, the whole generation that
// was there before, where they hold the same.
func (s *Store) readFiles(id int, dir string, last *Generation) *Generation {
	g := &Generation{ID: id, dir: dir}
	for r, name := range fileNames {
		g.text[r], g.errs[r] = readFile(filepath.Join(dir, name))
		if errors.Is(g.errs[r], fs.ErrNotExist) {
			g.text[r] = nil
			if role(r) == caRole {
				g.errs[r] = nil
			}
		}
	}
	var rec record
	var err error
	g.record, err = readFile(filepath.Join(dir, recordName))
	if err == nil && last != nil && g.reads(last) {
		return last
	}
	if err == nil {
		rec, err = parseRecord(g.record)
	}
	if err != nil {
		g.Err = fmt.Errorf("generation %d: origin.json: %w", id, err)
		return g
	}
	g.Origin, g.Leaf = rec.origin(), rec.leaf()
	g.Pair, g.errs = check(g.text, g.errs, rec, s.passphrase)
	if s.peeks && g.errs[keyRole] != nil && sealed(g.errs[keyRole]) && g.errs[certRole] == nil && g.errs[caRole] == nil {
		// Who only looks often has no passphrase, and needs no key.
		g.KeyErr, g.errs[keyRole] = g.errs[keyRole], nil
		g.Pair = g.keyless()
	}
	for r, err := range g.errs {
		if err != nil {
			g.Pair, g.Err = nil, fmt.Errorf("generation %d: %s: %w", id, fileNames[r], err)
			return g
		}
	}
	return g
}

// sealed says that a key could not be opened for want of the right passphrase.
func sealed(err error) bool {
	return errors.Is(err, cert.ErrPassphrase) || errors.Is(err, cert.ErrEncryptedKey)
}

// keyless returns the pair without its key.
func (g *Generation) keyless() *cert.Pair {
	t := g.text
	t[keyRole] = nil
	chain, _, ca, _ := parse(t, [3]error{}, secret.Secret{})
	return &cert.Pair{Chain: chain, CA: ca}
}

// reads says whether g's files were read without a fault and hold what those
// of o held.
func (g *Generation) reads(o *Generation) bool {
	same := bytes.Equal(g.record, o.record)
	for r := range fileNames {
		same = same && g.errs[r] == nil && bytes.Equal(g.text[r], o.text[r])
	}
	return same
}

var errInPlace = errors.New("changed in place since the agent wrote it")

// check parses a generation's files, holds them against the record, and says
// for each file what is wrong with it.
func check(t texts, errs [3]error, rec record, passphrase secret.Secret) (*cert.Pair, [3]error) {
	chain, key, ca, errs := parse(t, errs, passphrase)
	if errs[certRole] == nil && (cert.FingerprintOf(chain[0]).String() != rec.Leaf || digest(chain) != rec.Chain) {
		errs[certRole] = errInPlace
	}
	if errs[caRole] == nil && digest(ca) != rec.CA {
		errs[caRole] = errInPlace
	}
	if errs[certRole] != nil || errs[keyRole] != nil {
		return nil, errs
	}
	p, err := cert.New(chain, key, ca)
	errs[keyRole] = err
	return p, errs
}

// Put writes p as a new generation, complete and fsynced but not yet current.
// On error nothing has changed.
func (s *Store) Put(p *cert.Pair, o Origin) (*Generation, error) {
	key, err := s.keyPEM(p)
	if err != nil {
		return nil, fmt.Errorf("put: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(texts{p.CertPEM(), key, p.CAPEM()}, p, o)
}

// keyPEM returns the key of p as it is kept.
func (s *Store) keyPEM(p *cert.Pair) ([]byte, error) {
	if !s.passphrase.Set() {
		return p.KeyPEM()
	}
	passphrase, err := s.passphrase.Read()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", cert.ErrPassphrase, err)
	}
	defer clear(passphrase)
	return p.EncryptedKeyPEM(passphrase)
}

// put writes t, the texts of p, as a new generation.
func (s *Store) put(t texts, p *cert.Pair, o Origin) (*Generation, error) {
	if s.NeedsCA() && len(p.CA) == 0 {
		return nil, fmt.Errorf("put: redis.conf names %s and the pair has no CA certificate: redis would not start: give the pair the root of its issuer", s.paths[caRole])
	}
	ids, err := s.ids()
	if err != nil {
		return nil, fmt.Errorf("put: %w", err)
	}
	// Also counts a current that leads to a generation somebody removed: its
	// number must not come to life again with another content.
	id, _ := s.currentID()
	if len(ids) > 0 {
		id = max(id, ids[len(ids)-1])
	}
	id++
	if err := s.write(id, t, newRecord(p, o)); err != nil {
		return nil, explain("put", err)
	}
	g := s.readGeneration(id)
	if g.Err != nil {
		return nil, fmt.Errorf("put: what was written does not read back: %w", g.Err)
	}
	return g, nil
}

// write makes the directory of a generation: complete under a temporary name,
// on disk, and then renamed.
func (s *Store) write(id int, t texts, rec record) (err error) {
	tmp := filepath.Join(s.generationsDir(), disk.TemporaryPrefix+dirName(id))
	if err := os.RemoveAll(tmp); err != nil { // of a failed removal below
		return err
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	at := tmp
	defer func() {
		if err != nil {
			_ = os.RemoveAll(at) // if that fails too, the next Open does it
		}
	}()
	if err := s.fill(tmp, t, rec); err != nil {
		return err
	}
	if err := s.publish(tmp, 0o750); err != nil {
		return err
	}
	if err := disk.SyncDir(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, s.generation(id)); err != nil {
		return err
	}
	at = s.generation(id)
	return disk.SyncDir(s.generationsDir())
}

func (s *Store) fill(dir string, t texts, rec record) error {
	var files []newFile
	for r, name := range fileNames {
		if len(bytes.TrimSpace(t[r])) == 0 {
			continue // redis refuses an empty file, and says more about a missing one
		}
		files = append(files, newFile{filepath.Join(dir, name), t[r], s.fileUID, s.gid, s.mode})
	}
	text, err := rec.encode()
	if err != nil {
		return err
	}
	return writeFiles(append(files, newFile{filepath.Join(dir, recordName), text, s.dirUID, s.gid, s.mode})...)
}

// same returns the whole generation that holds exactly t, or nil.
func same(all []*Generation, t texts) *Generation {
	for _, g := range slices.Backward(all) {
		if g.Err == nil && bytes.Equal(g.text[0], t[0]) && bytes.Equal(g.text[1], t[1]) && bytes.Equal(g.text[2], t[2]) {
			return g
		}
	}
	return nil
}
