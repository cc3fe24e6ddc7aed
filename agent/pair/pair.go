package pair

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"redis-cert-agent/agent/cert"
)

var (
	// ErrLocked says that another process looks after the directory.
	ErrLocked = errors.New("another redis-cert-agent looks after this directory")
	// ErrChanged says that another hand changed the files since they were
	// read. Nothing was done; the remedy is to load again.
	ErrChanged = errors.New("the files changed since they were read: look again")
)

// Paths are the files that an existing redis.conf names, as absolute paths.
// Cert and Key are both set or both empty. CA may be empty.
type Paths struct{ Cert, Key, CA string }

// Options say where a pair lives and who may read it.
type Options struct {
	Dir   string      // the directory of this pair alone; made with mode 0750 when missing
	Paths Paths       // plain files that lead into Dir; may be empty
	UID   int         // owner of the files; -1: the agent's user, or the owner of Dir when the agent is root
	GID   int         // group of files and directories; -1: left to the system
	Mode  fs.FileMode // of the files; 0 means 0640; others never get access
	Keep  int         // how many previous generations Prune leaves

	// Theirs says that another hand renews the files of Paths: the store shows
	// and watches them and changes none. See theirs.go.
	Theirs bool
}

// Adopted is the Method of a pair that another hand made.
const Adopted = "adopted"

// An Origin says who made a generation and when.
type Origin struct {
	Issuer string    // the CA's name or URL
	Method string    // sign, rekey, renew, renew-token, or Adopted
	Names  []string  // the names that were asked for; nil when another hand made it
	Roots  []string  // fingerprints of the roots that the CA named, which are in the pair's CA
	Time   time.Time // when the agent got it
}

// Adopted says whether another hand made the generation.
func (o Origin) Adopted() bool { return o.Method == Adopted }

// A Generation is one pair on disk.
type Generation struct {
	ID     int
	Pair   *cert.Pair       // nil when Err is not
	Origin Origin           // zero when origin.json cannot be read
	Leaf   cert.Fingerprint // of the leaf it was made with, also when its files were damaged since; zero when origin.json cannot be read
	Err    error            // why it is no candidate: unreadable, mismatched, or changed since it was made

	// Of another hand's files only (Options.Theirs), where ID is 0.
	KeyErr error     // why the key could not be read, and what to do; Pair.Key is nil then
	Since  time.Time // when they were first seen as they are now

	dir    string
	text   texts    // the files' content
	errs   [3]error // what is wrong with each file
	record []byte   // the content of origin.json
}

// State is what is on disk.
type State struct {
	Current  *Generation         // what `current` leads to; nil when there is none
	All      []*Generation       // ascending by ID; Current is one of them
	Foreign  *Foreign            // a pair put there by another hand and not adopted; nil when there is none
	Unlinked []string            // plain paths that do not lead through `current`: Link is due
	CA       []*x509.Certificate // what tls-ca-cert-file holds now, whoever put it there; nil when nothing or unreadable
}

// Foreign is what redis would read at its next reload, when that is not the
// current generation as the agent made it.
type Foreign struct {
	Pair  *cert.Pair // nil when Err is not
	Err   error      // names the file and the fault: mismatch, truncated, encrypted key
	Files []string   // the files that differ from the current generation
}

// The three files of a generation, and of Paths.
type role int

const (
	certRole role = iota
	keyRole
	caRole
)

var fileNames = [...]string{certRole: "redis.crt", keyRole: "redis.key", caRole: "ca.crt"}

// texts is the PEM text of each file; nil when there is no such file.
type texts [3][]byte

// A Store is one pair's directory. Its methods may be called concurrently.
type Store struct {
	dir      string // as configured, absolute; symbolic links are made with it
	real     string // the same without symbolic links
	paths    [3]string
	fileUID  int
	dirUID   int
	gid      int
	mode     fs.FileMode
	keep     int
	lockFile *os.File
	theirs   *theirs // nil: the files are the agent's own; else paths is empty

	mu    sync.Mutex          // one change at a time
	whole map[int]*Generation // those without a fault, as they were read last
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
	if err := s.makeDir(); err != nil {
		return nil, err
	}
	if err := s.lock(); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		s.Close()
		return nil, err
	}
	if s.theirs != nil {
		s.recall()
	}
	return s, nil
}

// Read returns what is on disk without taking the lock and without changing
// anything, for commands that only look.
func Read(o Options) (State, error) {
	s, err := newStore(o)
	if err != nil {
		return State{}, err
	}
	s.real, err = filepath.EvalSymlinks(s.dir)
	if err != nil && !(s.theirs != nil && errors.Is(err, fs.ErrNotExist)) {
		return State{}, explain("read", err)
	}
	return s.Load()
}

// Close gives the lock back.
func (s *Store) Close() error { return s.lockFile.Close() }

func newStore(o Options) (*Store, error) {
	s := &Store{
		paths:   [3]string{o.Paths.Cert, o.Paths.Key, o.Paths.CA},
		fileUID: o.UID, dirUID: -1, gid: o.GID, mode: o.Mode, keep: o.Keep,
		whole: map[int]*Generation{},
	}
	if s.mode == 0 {
		s.mode = 0o640
	}
	if s.mode&^fs.ModePerm != 0 || s.mode&0o007 != 0 {
		return nil, fmt.Errorf("mode %#o: the key would be open to every user of this host: use 0640 or 0600", uint32(s.mode))
	}
	if !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("directory %q: write an absolute path", o.Dir)
	}
	s.dir = filepath.Clean(o.Dir)
	if err := s.cleanPaths(o.Theirs); err != nil {
		return nil, err
	}
	if o.Theirs {
		if s.paths[certRole] == "" {
			return nil, errors.New("paths: name the certificate and the key that another hand renews")
		}
		s.theirs, s.paths = &theirs{paths: s.paths}, [3]string{}
	}
	return s, nil
}

// cleanPaths checks the plain paths. One file for all, as other programs want
// it, is good where it is only read.
func (s *Store) cleanPaths(theirs bool) error {
	if (s.paths[certRole] == "") != (s.paths[keyRole] == "") {
		return errors.New("paths: cert and key go together: name both, or neither")
	}
	seen := map[string]bool{}
	for r, p := range s.paths {
		if p == "" {
			continue
		}
		if !filepath.IsAbs(p) {
			return fmt.Errorf("path %q: write an absolute path", p)
		}
		p = filepath.Clean(p)
		if seen[p] && !theirs {
			return fmt.Errorf("path %s stands for two files: give certificate, key and CA a file each, in redis.conf too", p)
		}
		seen[p] = true
		s.paths[r] = p
	}
	return nil
}

// CertPath returns the path of the certificate for redis.conf: the plain path
// where there is one, else the one through `current`.
func (s *Store) CertPath() string {
	if s.theirs != nil {
		return s.theirs.paths[certRole]
	}
	if s.paths[certRole] != "" {
		return s.paths[certRole]
	}
	return filepath.Join(s.current(), fileNames[certRole])
}

// Serves says whether a server whose tls-cert-file is path reads the current
// certificate of this store, through whatever links.
func (s *Store) Serves(path string) bool {
	if !filepath.IsAbs(path) {
		return false
	}
	if s.theirs != nil {
		return s.theirs.serves(path)
	}
	t, err := s.follow(filepath.Clean(path), fileNames[certRole])
	return err == nil && t.linked
}

// Equal says whether redis would make the same of both: they hold the same chain
// and the same CA certificates.
func (g *Generation) Equal(o *Generation) bool {
	return g == o || g.Pair != nil && o.Pair != nil && equal(g.Pair, o.Pair)
}

func (s *Store) current() string         { return filepath.Join(s.dir, "current") }
func (s *Store) generationsDir() string  { return filepath.Join(s.dir, "generations") }
func (s *Store) foundDir() string        { return filepath.Join(s.dir, "found") }
func (s *Store) generation(i int) string { return filepath.Join(s.generationsDir(), dirName(i)) }
func dirName(id int) string              { return fmt.Sprintf("%06d", id) }
