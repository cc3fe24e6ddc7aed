package pair

import (
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload/redistest"
)

// A fixture is a directory of the agent's beside a directory with plain files.
type fixture struct {
	t      testing.TB
	root   string
	opts   Options
	store  *Store
	loader interface { // the store, or an External
		Load() (State, error)
		Watch() (*Watcher, error)
	}
}

// newFixture makes an empty one; plain says whether redis.conf names plain paths.
func newFixture(t testing.TB, plain bool) *fixture {
	t.Helper()
	return newFixtureAt(t, tempDir(t), plain)
}

func newFixtureAt(t testing.TB, root string, plain bool) *fixture {
	t.Helper()
	h := &fixture{t: t, root: root, opts: Options{Dir: filepath.Join(root, "agent"), UID: -1, GID: -1, Keep: 3}}
	if plain {
		tls := filepath.Join(root, "tls")
		h.must(os.Mkdir(tls, 0o750))
		h.opts.Paths = Paths{filepath.Join(tls, "my.crt"), filepath.Join(tls, "my.key"), filepath.Join(tls, "my-ca.crt")}
	}
	return h
}

const memory = "/dev/shm"

// tempDir makes a directory in memory where there is such a place: a killed
// process cannot tell that from a disk, and a thousand of them sync their files.
// TestSyncs holds the order of the syncs.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(memory, "pair")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// open opens the store until the test ends or close is called.
func (h *fixture) open() *Store {
	h.t.Helper()
	s, err := Open(h.opts)
	h.must(err)
	h.store, h.loader = s, s
	h.t.Cleanup(func() { s.Close() })
	return s
}

func (h *fixture) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *fixture) files() redistest.Files { return redistest.Files(h.opts.Paths) }

// through is the paths by way of current.
func (h *fixture) through() redistest.Files {
	d := filepath.Join(h.opts.Dir, "current")
	return redistest.Files{Cert: filepath.Join(d, "redis.crt"), Key: filepath.Join(d, "redis.key"), CA: filepath.Join(d, "ca.crt")}
}

// put makes p a generation and switches to it.
func (h *fixture) put(p *cert.Pair) *Generation {
	h.t.Helper()
	g, err := h.store.Put(p, Origin{Issuer: "test", Method: "sign", Names: []string{"localhost"}, Time: time.Now()})
	h.must(err)
	h.must(h.store.Switch(g.ID))
	return g
}

// linked makes a fixture in which p is current and linked.
func linked(t testing.TB, p *cert.Pair) *fixture {
	t.Helper()
	h := newFixture(t, true)
	h.open()
	h.put(p)
	h.must(relink(h.store))
	return h
}

// relink links as after a look.
func relink(s *Store) error {
	seen, err := s.Load()
	if err != nil {
		return err
	}
	return s.Link(seen)
}

func (h *fixture) load() State {
	h.t.Helper()
	st, err := h.loader.Load()
	h.must(err)
	return st
}

// wantLinked fails unless all is as the agent made it and p is what redis
// reads, by both ways.
func (h *fixture) wantLinked(p *cert.Pair) {
	h.t.Helper()
	st := h.load()
	if st.Foreign != nil || len(st.Unlinked) > 0 {
		h.t.Fatalf("foreign %+v, unlinked %v", st.Foreign, st.Unlinked)
	}
	if st.Current == nil || st.Current.Err != nil || st.Current.Pair.Fingerprint() != p.Fingerprint() {
		h.t.Fatalf("current is %+v, want %s", st.Current, p.Fingerprint())
	}
	ways := []redistest.Files{h.through()}
	if h.opts.Paths.Cert != "" {
		ways = append(ways, h.files())
	}
	for _, f := range ways {
		if got := h.parse(f); got.Fingerprint() != p.Fingerprint() {
			h.t.Fatalf("%s holds %s, want %s", f.Cert, got.Fingerprint(), p.Fingerprint())
		}
	}
	h.noLeftovers()
}

func (h *fixture) parse(f redistest.Files) *cert.Pair {
	h.t.Helper()
	p, err := parseFiles(f)
	h.must(err)
	return p
}

func parseFiles(f redistest.Files) (*cert.Pair, error) {
	var t texts
	for r, path := range []string{f.Cert, f.Key, f.CA} {
		var err error
		if t[r], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return cert.Parse(t[0], t[1], t[2])
}

// noLeftovers fails when a temporary name is left.
func (h *fixture) noLeftovers() {
	h.t.Helper()
	for _, path := range tree(h.t, h.root) {
		if base := filepath.Base(path); strings.HasPrefix(base, ".") {
			h.t.Fatalf("left over: %s", path)
		}
	}
}

func tree(t testing.TB, root string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// found returns the texts of the files under Dir/found.
func (h *fixture) found() map[string]bool {
	h.t.Helper()
	have := map[string]bool{}
	if _, err := os.Stat(filepath.Join(h.opts.Dir, "found")); err != nil {
		return have
	}
	for _, path := range tree(h.t, filepath.Join(h.opts.Dir, "found")) {
		fi, err := os.Lstat(path)
		h.must(err)
		if !fi.Mode().IsRegular() {
			continue
		}
		text, err := os.ReadFile(path)
		h.must(err)
		have[string(text)] = true
		if fi.Mode().Perm()&0o037 != 0 {
			h.t.Errorf("%s has mode %v", path, fi.Mode())
		}
	}
	return have
}

var testCA = sync.OnceValue(func() func(testing.TB) *redistest.CA {
	var once sync.Once
	var ca *redistest.CA
	return func(t testing.TB) *redistest.CA {
		once.Do(func() { ca = redistest.NewRoot(t) })
		return ca
	}
})()

// issue makes a pair with a key of its own.
func issue(t testing.TB) *cert.Pair {
	t.Helper()
	ca := testCA(t)
	p := ca.Issue(t, redistest.Leaf{})
	return pairOf(t, p.Chain, p, ca)
}

func pairOf(t testing.TB, chain []*x509.Certificate, p *redistest.Pair, ca *redistest.CA) *cert.Pair {
	t.Helper()
	out, err := cert.New(chain, p.Key, []*x509.Certificate{ca.Cert})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// reissue makes a certificate for the key of p.
func reissue(t testing.TB, p *cert.Pair) *cert.Pair {
	t.Helper()
	ca := testCA(t)
	template := *p.Leaf()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	der, err := x509.CreateCertificate(rand.Reader, &template, ca.Cert, p.Key.Public(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return pairOf(t, []*x509.Certificate{leaf}, &redistest.Pair{Key: p.Key}, ca)
}

func keyPEM(t testing.TB, p *cert.Pair) []byte {
	t.Helper()
	text, err := p.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// write writes text at path in place, through links.
func write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// overwrite renames a new file over path, as certbot and the step CLI do.
func overwrite(t testing.TB, path string, text []byte) {
	t.Helper()
	tmp := path + ".other"
	write(t, tmp, text)
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

// lay writes p as files at f.
func lay(t testing.TB, f redistest.Files, p *cert.Pair) {
	t.Helper()
	overwrite(t, f.Cert, p.CertPEM())
	overwrite(t, f.Key, keyPEM(t, p))
	overwrite(t, f.CA, p.CAPEM())
}

// wantErr fails unless err is one line with every part in it.
func wantErr(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q lacks %q", err, p)
		}
	}
}
