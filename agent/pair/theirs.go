package pair

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/cert"
)

// A store with [Options.Theirs] shows files that another hand renews as its one
// generation, watches them, and leaves them alone: their paths are kept apart
// from those that Link, Adopt and Switch replace, so that nothing which writes
// has their names. No copy of the key is made.
//
// What it writes, in Dir, is the lock and the fingerprints of the leaves that
// were there, in a file `seen`: a server that still shows one of them, expired
// and of an issuer that is trusted no more, is known by it.

// errReplaced is the Err of a generation of which only the leaf is remembered.
var errReplaced = errors.New("another hand has replaced it")

// mostSeen bounds what is remembered: years of a monthly renewal.
const mostSeen = 32

// theirs is what a store knows of another hand's files.
type theirs struct {
	paths [3]string
	last  *Generation        // the files at the last look
	seen  []cert.Fingerprint // of the leaves, the latest last
	saved int                // how many of seen are on disk, counted from the first
}

// lookAt reads the files of the other hand. The state has one generation that
// can be loaded, or says in its Err why there is none, and before it the leaves
// that were there earlier.
func (s *Store) lookAt() State {
	g := s.theirs.read()
	if l := s.theirs.last; l != nil && g.sameFiles(l) {
		g = l
	} else {
		g.Since = time.Now()
		g.judge(s.theirs.paths)
		s.theirs.last = g
	}
	if g.Err == nil {
		s.theirs.note(g.Leaf)
	}
	st := State{Current: g}
	for _, leaf := range s.theirs.seen {
		if g.Err != nil || leaf != g.Leaf {
			st.All = append(st.All, &Generation{Leaf: leaf, Err: errReplaced})
		}
	}
	st.All = append(st.All, g)
	if g.Pair != nil {
		st.CA = g.Pair.CA
	}
	return st
}

func (t *theirs) read() *Generation {
	g := &Generation{Origin: Origin{Method: Adopted}}
	for r, path := range t.paths {
		if path != "" {
			g.text[r], g.errs[r] = readFile(path)
		}
	}
	if fi, err := os.Stat(t.paths[certRole]); err == nil {
		g.Origin.Time = fi.ModTime()
	}
	return g
}

// sameFiles says whether two looks found the same bytes and the same troubles.
// Of errors only the texts can be compared.
func (g *Generation) sameFiles(o *Generation) bool {
	for r := range g.text {
		if !bytes.Equal(g.text[r], o.text[r]) || fmt.Sprint(g.errs[r]) != fmt.Sprint(o.errs[r]) {
			return false
		}
	}
	return true
}

// judge parses what was read.
func (g *Generation) judge(paths [3]string) {
	chain, key, ca, errs := parse(g.text)
	for r := range errs {
		if g.errs[r] != nil {
			errs[r] = g.errs[r]
		}
	}
	// Redis may read a key that the agent may not: for the user redis alone, or
	// with a passphrase (tls-key-file-pass).
	if err := errs[keyRole]; errors.Is(err, fs.ErrPermission) || errors.Is(err, cert.ErrEncryptedKey) {
		g.KeyErr, errs[keyRole] = errors.New(theirFault(paths[keyRole], err)), nil
	}
	var texts []string
	for r, err := range errs {
		if err != nil {
			texts = append(texts, theirFault(paths[r], err))
		}
	}
	if len(texts) == 0 && g.KeyErr == nil {
		if _, err := cert.New(chain, key, nil); err != nil {
			texts = []string{fmt.Sprintf("%s: %v in %s", paths[keyRole], err, paths[certRole])}
		}
	}
	if len(texts) > 0 {
		g.Err = &faults{strings.Join(texts, "; "), errors.Join(errs[:]...)}
		return
	}
	g.Pair = &cert.Pair{Chain: chain, Key: key, CA: ca}
	g.Leaf = g.Pair.Fingerprint()
}

// faults is what is wrong with the files, in one line.
type faults struct {
	text  string
	cause error
}

func (f *faults) Error() string { return f.text }
func (f *faults) Unwrap() error { return f.cause }

// theirFault says what is wrong with a file of the other hand, naming it once,
// and what to do when it may not be read.
func theirFault(path string, err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, cert.ErrEncryptedKey):
		text = "the key is encrypted"
	case errors.Is(err, fs.ErrPermission):
		text += fmt.Sprintf(": let the agent's user (uid %d) read it and pass its directories, by the group or by an ACL (setfacl); under systemd /etc/redis needs a drop-in (examples/etc-redis-tls-read.conf)", os.Geteuid())
	}
	if !strings.Contains(text, path) {
		text = path + ": " + text
	}
	return text
}

// note remembers a leaf, until Remember only for this process.
func (t *theirs) note(leaf cert.Fingerprint) {
	if slices.Contains(t.seen, leaf) {
		return
	}
	t.seen = append(t.seen, leaf)
	if over := len(t.seen) - mostSeen; over > 0 {
		t.seen = slices.Delete(t.seen, 0, over)
		t.saved = max(0, t.saved-over)
	}
}

// Remember writes down which leaves the store has shown, so that the next start
// knows them. It does nothing when all are on disk, and in a store of the
// agent's own files, whose generations are the memory. A failure costs only
// that.
func (s *Store) Remember() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.theirs == nil || s.theirs.saved == len(s.theirs.seen) {
		return nil
	}
	if err := s.writeSeen(); err != nil {
		return explain("remember which certificates were there", err)
	}
	s.theirs.saved = len(s.theirs.seen)
	return nil
}

func (s *Store) writeSeen() error {
	var text bytes.Buffer
	for _, leaf := range s.theirs.seen {
		fmt.Fprintln(&text, leaf)
	}
	tmp := filepath.Join(s.dir, tmpPrefix+"seen")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := writeFiles(newFile{tmp, text.Bytes(), s.dirUID, -1, 0o600})
	if err == nil {
		err = os.Rename(tmp, s.seenPath())
	}
	if err != nil {
		_ = os.Remove(tmp) // if that fails too, the next Open does it
		return err
	}
	return syncDir(s.dir)
}

// recall reads what an earlier process remembered, and the leaves of the
// agent's own pairs from before it was told to leave the renewal to another
// hand. What cannot be read is as good as nothing.
func (s *Store) recall() {
	text, _ := readFile(s.seenPath())
	for line := range strings.Lines(string(text)) {
		if raw, err := hex.DecodeString(strings.TrimSpace(line)); err == nil && len(raw) == len(cert.Fingerprint{}) {
			s.theirs.note(cert.Fingerprint(raw))
		}
	}
	s.theirs.saved = len(s.theirs.seen)
	all, _ := s.generations()
	for _, g := range all {
		if g.Leaf != (cert.Fingerprint{}) {
			s.theirs.note(g.Leaf)
		}
	}
}

func (s *Store) seenPath() string { return filepath.Join(s.dir, "seen") }

// serves says whether path leads to the certificate of the other hand.
func (t *theirs) serves(path string) bool {
	if filepath.Clean(path) == t.paths[certRole] {
		return true
	}
	a, errA := os.Stat(path)
	b, errB := os.Stat(t.paths[certRole])
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// pollEvery returns how often the files are to be looked at without an event: 0
// where the directories on the way to the certificate can be watched. No key
// changes without its certificate, and its directory is often closed.
func (s *Store) pollEvery() time.Duration {
	if s.theirs == nil {
		return 0
	}
	t, err := s.follow(s.theirs.paths[certRole], "")
	if err != nil || slices.ContainsFunc(t.need, func(dir string) bool { return !readable(dir) }) {
		return time.Minute
	}
	return 0
}

// readable says whether a directory can be watched, which takes the right to
// read it (inotify_add_watch(2)).
func readable(dir string) bool { return unix.Access(dir, unix.R_OK) == nil }
