package pair

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/option"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/secret"
)

// An External is a pair that another program renews: its files are read and
// watched, and left as they are. No copy of the key is made.
//
// What it writes, in Dir, is the lock and the fingerprints of the leaves that
// were there, in the file `seen`. Its methods may be called concurrently.
type External struct {
	directory
	paths      [3]string
	passphrase secret.Secret

	mu   sync.Mutex
	last *Generation // the files at the last look
	seen leaves

	distrust Distrust // of the time when the agent renewed the pair itself
}

// OpenExternal returns the pair of o.Paths. It makes o.Dir when it is missing,
// and takes the lock that makes this process its only owner. The error is
// [ErrLocked] when another process has it.
func OpenExternal(o ExternalOptions) (*External, error) {
	x, err := newExternal(o)
	if err != nil {
		return nil, err
	}
	if err := x.open(); err != nil {
		return nil, err
	}
	if err := sweep(x.dir); err != nil {
		x.Close()
		return nil, err
	}
	x.recall()
	return x, nil
}

// ReadExternal returns what the files hold without making or locking o.Dir, for
// commands that only look.
func ReadExternal(o ExternalOptions) (State, error) {
	x, err := newExternal(o)
	if err != nil {
		return State{}, err
	}
	return x.Load()
}

func newExternal(o ExternalOptions) (*External, error) {
	if err := option.Err(o.Faults); err != nil {
		return nil, err
	}
	return &External{directory: newDirectory(o.Dir, o.GID, o.OpenParent), paths: o.Paths.byRole(), passphrase: o.Passphrase}, nil
}

// Load reads the files. The state's only generation, Current, holds what can be
// loaded, or says in its Err why nothing can. It is the same generation as long
// as nothing changes. The error is always nil.
func (x *External) Load() (State, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	g := x.read()
	if x.last != nil && g.sameFiles(x.last) {
		g = x.last
	} else {
		g.Since = time.Now()
		g.judge(x.paths, x.passphrase)
		x.last = g
	}
	st := State{Current: g, All: []*Generation{g}}
	if g.Err == nil {
		x.seen.note(g.Leaf)
		st.CA = g.Pair.CA
	}
	st.Known, st.Distrust = slices.Clone(x.seen.list), x.distrust
	st.Distrust.Rotation = nil
	return st, nil
}

func (x *External) read() *Generation {
	g := &Generation{Origin: Origin{Method: Adopted}}
	for r, path := range x.paths {
		if path != "" {
			g.text[r], g.errs[r] = readFile(path)
		}
	}
	if fi, err := os.Stat(x.paths[certRole]); err == nil {
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
func (g *Generation) judge(paths [3]string, passphrase secret.Secret) {
	chain, key, ca, errs := parse(g.text, g.errs, passphrase)
	// Redis may read a key that the agent may not: for the user redis alone, with a
	// passphrase (tls-key-file-pass), or of a kind that Go does not have.
	if err := errs[keyRole]; errors.Is(err, fs.ErrPermission) || errors.Is(err, cert.ErrEncryptedKey) || errors.Is(err, cert.ErrPassphrase) || errors.Is(err, cert.ErrForeignKey) {
		g.KeyErr, errs[keyRole] = externalFault(paths[keyRole], err), nil
	}
	for _, r := range []role{certRole, caRole} {
		for _, text := range cert.UnreadIn(g.text[r]) {
			g.Unread = append(g.Unread, paths[r]+": "+text)
		}
	}
	var faults []error
	for r, err := range errs {
		if err != nil {
			faults = append(faults, externalFault(paths[r], err))
		}
	}
	if len(faults) == 0 && g.KeyErr == nil {
		if _, err := cert.New(chain, key, nil); errors.Is(err, cert.ErrForeignCertificate) {
			g.KeyErr = externalFault(paths[certRole], err)
		} else if err != nil {
			faults = []error{fmt.Errorf("%s: %w in %s", paths[keyRole], err, paths[certRole])}
		}
	}
	if g.Err = plain.Join(faults...); g.Err != nil {
		return
	}
	g.Pair = &cert.Pair{Chain: chain, Key: key, CA: ca}
	g.Leaf = g.Pair.Fingerprint()
}

// externalFault says what is wrong with a file that another program renews,
// naming it once, and what to do when it may not be read.
func externalFault(path string, err error) error {
	switch {
	case errors.Is(err, cert.ErrEncryptedKey): // to decrypt it is for whoever renews it
		err = errors.New("the key is encrypted, and no passphrase is configured (key.passphrase_file)")
	case errors.Is(err, fs.ErrPermission) && hiding(err) != "":
		err = fmt.Errorf("%w: %s", err, remedy(err))
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w: let the agent's user (uid %d) read it and pass its directories, by the group or by an ACL (setfacl); under systemd /etc/redis needs a drop-in (examples/etc-redis-tls-read.conf)", err, os.Geteuid())
	}
	if !strings.Contains(err.Error(), path) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return err
}

// Remember writes down which leaves have been there, so that the next start
// knows them. It does nothing when all are on disk. A failure costs only that.
func (x *External) Remember() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.seen.save(x.seenPath())
}

// recall reads what an earlier process remembered, and the leaves of the
// agent's own pairs from before it was told to leave the renewal to another
// program.
func (x *External) recall() {
	x.distrust = x.recallDistrust()
	x.seen.recall(x.seenPath())
	ids, _ := x.ids()
	var own []cert.Fingerprint
	for _, id := range ids {
		text, _ := readFile(filepath.Join(x.generation(id), recordName))
		if rec, err := parseRecord(text); err == nil {
			own = append(own, rec.leaf())
		}
	}
	x.seen.noteNew(own)
}

// CertPath returns the path of the certificate.
func (x *External) CertPath() string { return x.paths[certRole] }

// Serves says whether path, a server's tls-cert-file, leads to the certificate.
func (x *External) Serves(path string) bool {
	if !filepath.IsAbs(path) {
		return false
	}
	if filepath.Clean(path) == x.paths[certRole] {
		return true
	}
	a, errA := os.Stat(path)
	b, errB := os.Stat(x.paths[certRole])
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// Watch watches the files. Where the directories on the way to the certificate
// cannot be watched it gives a hint every minute. No key changes without its
// certificate, and its directory is often closed.
func (x *External) Watch() (*Watcher, error) { return newWatcher(x.ways) }

func (x *External) ways() ways {
	w := newWays()
	for _, path := range x.paths {
		if path != "" {
			w.add(path, "")
		}
	}
	for dir, needed := range w.dirs {
		w.dirs[dir] = needed && readable(dir)
	}
	t, err := follow(x.paths[certRole], "")
	if err != nil || slices.ContainsFunc(t.need, func(dir string) bool { return !readable(dir) }) {
		w.poll = time.Minute
	}
	return w
}

// readable says whether a directory can be watched, which takes the right to
// read it (inotify_add_watch(2)).
func readable(dir string) bool { return unix.Access(dir, unix.R_OK) == nil }
