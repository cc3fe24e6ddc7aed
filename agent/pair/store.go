package pair

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"redis-cert-agent/agent/option"
	"redis-cert-agent/agent/secret"

	"golang.org/x/sys/unix"
)

// A Store is the agent's own pair in its directory. Its methods may be called
// concurrently.
type Store struct {
	directory
	paths   [3]string
	fileUID int
	mode    fs.FileMode
	keep    int

	passphrase secret.Secret
	peeks      bool // it changes nothing, see Peek

	mu    sync.Mutex          // one change at a time
	whole map[int]*Generation // those without a fault, as they were read last
	seen  leaves

	distrust Distrust
	shared   int // the generation whose CA certificates are at Dir/ca.crt
}

// Open returns the store of o.Dir, which it makes when it is missing, and
// takes the lock that makes this process its only owner. The error is
// [ErrLocked] when another process has it. Open removes temporary files that a
// crash left.
func Open(o Options) (*Store, error) {
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	if s.fileUID == -1 {
		s.fileUID = s.dirUID
	}
	s.distrust = s.recallDistrust()
	if err := s.prepare(); err != nil {
		s.Close()
		return nil, err
	}
	s.seen.recall(s.seenPath())
	return s, nil
}

// Read returns what is on disk without taking the lock and without changing
// anything, for commands that only look.
func Read(o Options) (State, error) {
	s, err := newStore(o)
	if err != nil {
		return State{}, err
	}
	if s.real, err = filepath.EvalSymlinks(s.dir); err != nil {
		return State{}, explain("read", err)
	}
	s.peeks, s.distrust = true, s.recallDistrust()
	s.seen.recall(s.seenPath())
	return s.Load()
}

func newStore(o Options) (*Store, error) {
	s := &Store{fileUID: o.UID, mode: o.Mode, keep: o.Keep, passphrase: o.Passphrase, whole: map[int]*Generation{}}
	if s.mode == 0 {
		s.mode = defaultMode
	}
	if err := option.Err(o.Faults); err != nil {
		return nil, err
	}
	s.directory, s.paths = newDirectory(o.Dir, o.GID, o.OpenParent), o.Paths.byRole()
	return s, nil
}

// prepare makes the directory of generations and sweeps.
func (s *Store) prepare() error {
	if err := makeDirs(s.generationsDir(), s.mkdir); err != nil {
		return explain("make directory", err)
	}
	fi, err := os.Lstat(s.generationsDir())
	if err != nil {
		return explain("open directory", err)
	}
	if !fi.IsDir() {
		return fmt.Errorf("%s is not a directory: move it away", s.generationsDir())
	}
	if err := unix.Access(s.generationsDir(), unix.W_OK|unix.X_OK); err != nil {
		return explain("open directory", &fs.PathError{Op: "write to", Path: s.generationsDir(), Err: err})
	}
	for _, dir := range []string{s.dir, s.generationsDir(), s.foundDir()} {
		if err := sweep(dir); err != nil {
			return err
		}
	}
	s.sweepLinks()
	_ = s.setAside() // what a crash left; else the next Switch does it
	return nil
}

// sweepLinks removes the temporary links that a crash left beside plain paths,
// where only links are ever made. One that cannot be removed is in nobody's way;
// a new one will say why when it is due.
func (s *Store) sweepLinks() {
	for _, p := range s.paths {
		if p == "" {
			continue
		}
		for n := range spares {
			tmp := spare(tmpLink(p), n)
			if fi, err := os.Lstat(tmp); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
				_ = os.Remove(tmp)
			}
		}
	}
}

// CertPath returns the path of the certificate for redis.conf: the plain path
// where there is one, else the one through `current`.
func (s *Store) CertPath() string { return s.pathOf(certRole) }

// CAPath returns the path of the CA certificates for redis.conf.
func (s *Store) CAPath() string { return s.pathOf(caRole) }

// NeedsCA says that redis.conf names a file of CA certificates, without which it does not
// start: each generation must have some.
func (s *Store) NeedsCA() bool { return s.paths[caRole] != "" }

func (s *Store) pathOf(r role) string {
	if s.paths[r] != "" {
		return s.paths[r]
	}
	return filepath.Join(s.current(), fileNames[r])
}

// Serves says whether a server whose tls-cert-file is path reads the current
// certificate of this store, through whatever links.
func (s *Store) Serves(path string) bool {
	if !filepath.IsAbs(path) {
		return false
	}
	return s.leadsTo(path, certRole)
}

// ServesCA says whether a server whose tls-ca-cert-file is path reads the current CA
// certificates, or the copy of them for the clients of this host.
func (s *Store) ServesCA(path string) bool {
	return filepath.IsAbs(path) && s.leadsTo(path, caRole) || filepath.Clean(path) == filepath.Join(s.dir, fileNames[caRole])
}

func (s *Store) leadsTo(path string, r role) bool {
	t, err := follow(filepath.Clean(path), s.inCurrent(r))
	return err == nil && t.stopped
}

// Watch watches what redis reads: the files through `current`, and the plain
// paths.
func (s *Store) Watch() (*Watcher, error) { return newWatcher(s.ways) }

func (s *Store) ways() ways {
	w := newWays()
	for r, name := range fileNames {
		w.add(filepath.Join(s.current(), name), "")
		if s.paths[r] != "" {
			w.add(s.paths[r], s.inCurrent(role(r)))
		}
	}
	return w
}

// inCurrent is where a file of the current generation is for the kernel, which
// follows links.
func (s *Store) inCurrent(r role) string { return filepath.Join(s.real, "current", fileNames[r]) }

func (s *Store) current() string  { return filepath.Join(s.dir, "current") }
func (s *Store) foundDir() string { return filepath.Join(s.dir, "found") }
