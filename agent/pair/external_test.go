package pair

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/cert"
)

// external makes a fixture whose plain files hold p, which another program renews.
func external(t *testing.T, p *cert.Pair) (*fixture, *External) {
	t.Helper()
	h := newFixture(t, true)
	lay(t, h.files(), p)
	return h, h.openExternal()
}

func (h *fixture) externalOptions() ExternalOptions {
	return ExternalOptions{Dir: h.opts.Dir, GID: h.opts.GID, Paths: h.opts.Paths}
}

// openExternal opens the plain files until the test ends or they are closed.
func (h *fixture) openExternal() *External {
	h.t.Helper()
	x, err := OpenExternal(h.externalOptions())
	h.must(err)
	h.loader = x
	h.t.Cleanup(func() { x.Close() })
	return x
}

// prints lists everything about the files that must not change.
func (h *fixture) prints() []string {
	h.t.Helper()
	var all []string
	for _, path := range tree(h.t, filepath.Dir(h.opts.Paths.Cert)) {
		fi, err := os.Lstat(path)
		h.must(err)
		st := fi.Sys().(*syscall.Stat_t)
		all = append(all, fmt.Sprint(path, fi.Mode(), st.Ino, st.Uid, st.Gid, st.Size, st.Mtim, st.Ctim))
	}
	return all
}

func TestExternal(t *testing.T) {
	p, other := issue(t), issue(t)
	key := keyPEM(t, p)
	block, _ := pem.Decode(key)
	//lint:ignore SA1019 what people have is what must be named
	locked, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", block.Bytes, []byte("x"), x509.PEMCipherAES256)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(h *fixture)
		err    []string // parts of Err; none: it can be loaded
		keyErr string
	}{
		"whole":        {change: func(*fixture) {}},
		"without a CA": {change: func(h *fixture) { h.opts.Paths.CA = "" }},
		"one file": {change: func(h *fixture) {
			write(t, h.opts.Paths.Key, append(p.CertPEM(), key...))
			h.opts.Paths.Cert = h.opts.Paths.Key
		}},
		"through a link": {change: func(h *fixture) { h.moveBehindLinks() }},
		"mismatch": {change: func(h *fixture) { overwrite(t, h.opts.Paths.Cert, other.CertPEM()) },
			err: []string{"my.key: ", "does not belong", "my.crt"}},
		"half a certificate": {change: func(h *fixture) { write(t, h.opts.Paths.Cert, p.CertPEM()[:300]) },
			err: []string{"my.crt: ", "is damaged"}},
		"an empty key":          {change: func(h *fixture) { write(t, h.opts.Paths.Key, nil) }, err: []string{"my.key: it is empty"}},
		"no certificate":        {change: func(h *fixture) { h.must(os.Remove(h.opts.Paths.Cert)) }, err: []string{"my.crt: no such file"}},
		"no key":                {change: func(h *fixture) { h.must(os.Remove(h.opts.Paths.Key)) }, err: []string{"my.key: no such file"}},
		"no CA":                 {change: func(h *fixture) { h.must(os.Remove(h.opts.Paths.CA)) }, err: []string{"my-ca.crt: no such file"}},
		"nothing":               {change: func(h *fixture) { h.must(os.RemoveAll(filepath.Dir(h.opts.Paths.Cert))) }, err: []string{"my.crt", "my.key", "my-ca.crt"}},
		"a CA that is none":     {change: func(h *fixture) { write(t, h.opts.Paths.CA, []byte("x")) }, err: []string{"my-ca.crt: no CERTIFICATE"}},
		"a pipe for a key":      {change: func(h *fixture) { h.pipe(h.opts.Paths.Key) }, err: []string{"my.key: it is not a regular file"}},
		"a key with passphrase": {change: func(h *fixture) { write(t, h.opts.Paths.Key, pem.EncodeToMemory(locked)) }, keyErr: "my.key: the key is encrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, true)
			lay(t, h.files(), p)
			tt.change(h)
			h.openExternal()
			st := h.load()
			g := st.Current
			if n := len(st.All); g == nil || n != 1 || st.All[0] != g || st.Foreign != nil || st.Unlinked != nil {
				t.Fatalf("state %+v", st)
			}
			if !g.Origin.Adopted() {
				t.Errorf("it is said to come from %+v", g.Origin)
			}
			if tt.err != nil {
				wantErr(t, g.Err, tt.err...)
				if g.Pair != nil {
					t.Error("there is a pair all the same")
				}
				return
			}
			h.must(g.Err)
			if g.Leaf != p.Fingerprint() || g.Pair.Fingerprint() != p.Fingerprint() {
				t.Errorf("leaf %s, want %s", g.Leaf, p.Fingerprint())
			}
			if (g.Pair.Key == nil) != (tt.keyErr != "") {
				t.Errorf("the key is %T", g.Pair.Key)
			}
			if tt.keyErr != "" {
				wantErr(t, g.KeyErr, tt.keyErr)
			}
		})
	}
}

// moveBehindLinks makes of the plain files links, as certbot has them.
func (h *fixture) moveBehindLinks() {
	h.t.Helper()
	for _, path := range []string{h.opts.Paths.Cert, h.opts.Paths.Key, h.opts.Paths.CA} {
		h.must(os.Rename(path, path+"1"))
		h.must(os.Symlink(filepath.Base(path)+"1", path))
	}
}

func (h *fixture) pipe(path string) {
	h.t.Helper()
	h.must(os.Remove(path))
	h.must(unix.Mkfifo(path, 0o600))
}

// A key for redis alone: the agent sees the rest.
func TestExternalKeyThatCannotBeRead(t *testing.T) {
	h := newFixture(t, true)
	h.wide()
	p := issue(t)
	lay(t, h.files(), p)
	for path, mode := range map[string]fs.FileMode{h.opts.Paths.Cert: 0o644, h.opts.Paths.CA: 0o644, h.opts.Paths.Key: 0} {
		h.must(os.Chmod(path, mode))
	}
	h.must(os.Chmod(filepath.Dir(h.opts.Paths.Cert), 0o755))
	if os.Geteuid() == 0 {
		h.must(os.Chown(h.root, nobody, nobody))
	}
	as(t, func() error {
		s, err := OpenExternal(h.externalOptions())
		if err != nil {
			return err
		}
		defer s.Close()
		st, err := s.Load()
		if err != nil || st.Current.Err != nil {
			return errors.Join(err, st.Current.Err)
		}
		wantErr(t, st.Current.KeyErr, h.opts.Paths.Key, "permission denied", "let the agent's user", "setfacl")
		if st.Current.Pair.Key != nil || st.Current.Leaf != p.Fingerprint() {
			t.Errorf("%+v", st.Current)
		}
		again, err := s.Load()
		if err == nil && again.Current != st.Current {
			t.Error("what has not changed is new")
		}
		return err
	})
	h.must(os.Chmod(h.opts.Paths.CA, 0))
	as(t, func() error {
		st, err := ReadExternal(h.externalOptions())
		if err == nil && !errors.Is(st.Current.Err, fs.ErrPermission) {
			t.Errorf("what cannot be read is told as %v", st.Current.Err)
		}
		return err
	})
}

// A key in a directory that only its group may pass, as Debian's
// /etc/ssl/private, is no reason not to watch the certificate.
func TestExternalKeyInADirectoryThatCannotBeWatched(t *testing.T) {
	for _, mode := range []fs.FileMode{0o700, 0o711} {
		t.Run(mode.String(), func(t *testing.T) {
			needsRoot(t, "cannot make a directory of another user")
			h := newFixture(t, true)
			h.wide()
			private := filepath.Join(h.root, "private")
			h.must(os.Mkdir(private, 0o755))
			h.opts.Paths.Key = filepath.Join(private, "my.key")
			p, next := issue(t), issue(t)
			lay(t, h.files(), p)
			h.must(os.Chmod(private, mode))
			for path, mode := range map[string]fs.FileMode{filepath.Dir(h.opts.Paths.Cert): 0o755, h.opts.Paths.Cert: 0o644, h.opts.Paths.CA: 0o644} {
				h.must(os.Chmod(path, mode))
			}
			h.must(os.Mkdir(h.opts.Dir, 0o750))
			h.must(os.Chown(h.opts.Dir, nobody, nobody))
			var x *External
			var w *Watcher
			as(t, func() (err error) {
				if x, err = OpenExternal(h.externalOptions()); err != nil {
					return err
				}
				w, err = x.Watch()
				return err
			})
			defer x.Close()
			defer w.Close()
			overwrite(t, h.opts.Paths.Cert, next.CertPEM())
			hinted(t, w.Hints, "the certificate")
		})
	}
}

// A certificate in a directory that cannot be watched is looked at all the same.
func TestExternalCertificateInADirectoryThatCannotBeWatched(t *testing.T) {
	needsRoot(t, "cannot make a directory of another user")
	h := newFixture(t, true)
	h.wide()
	lay(t, h.files(), issue(t))
	h.must(os.Chmod(h.opts.Paths.Cert, 0o644))
	h.must(os.Mkdir(h.opts.Dir, 0o750))
	h.must(os.Chown(h.opts.Dir, nobody, nobody))
	for mode, want := range map[fs.FileMode]time.Duration{0o755: 0, 0o711: time.Minute, 0o700: time.Minute} {
		h.must(os.Chmod(filepath.Dir(h.opts.Paths.Cert), mode))
		as(t, func() error {
			s, err := OpenExternal(h.externalOptions())
			if err != nil {
				return err
			}
			defer s.Close()
			if got := s.ways().poll; got != want {
				t.Errorf("%v: a look every %v, want %v", mode, got, want)
			}
			w, err := s.Watch()
			if err == nil {
				w.Close()
			}
			return err
		})
	}
	// Without an event, and without a file.
	fsw, err := fsnotify.NewWatcher()
	h.must(err)
	defer fsw.Close()
	w := &Watcher{fsw: fsw, poll: time.Millisecond}
	if changed, ok := w.next(); !changed || !ok {
		t.Errorf("next: %v, %v", changed, ok)
	}
}

// The files stay as they are, to the inode, whatever the agent does.
func TestExternalIsLeftAlone(t *testing.T) {
	h := newFixture(t, true)
	lay(t, h.files(), issue(t))
	h.moveBehindLinks()
	before := h.prints()
	own := h.opts
	own.Paths = Paths{} // of a time when the agent renewed
	s, err := Open(own)
	h.must(err)
	g, err := s.Put(issue(t), Origin{})
	h.must(err)
	h.must(s.Switch(g.ID))
	h.must(s.Close())

	x := h.openExternal()
	st := h.load()
	h.must(x.Remember())
	h.watch(t)
	h.must(x.Close())
	h.openExternal()
	if _, err := os.Stat(s.generation(g.ID)); err != nil {
		t.Errorf("the agent's own pairs are gone: %v", err)
	}
	if after := h.prints(); !slices.Equal(before, after) {
		t.Errorf("changed:\n%s\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	// And nowhere is a copy of the key.
	key := keyPEM(t, st.Current.Pair)
	for _, path := range tree(t, h.opts.Dir) {
		if text, err := os.ReadFile(path); err == nil && string(text) == string(key) {
			t.Errorf("%s is a copy of the key", path)
		}
	}
}

// What is the same to redis is the same, and what is not is seen with its time.
func TestExternalChanges(t *testing.T) {
	p := issue(t)
	h, _ := external(t, p)
	first := h.load().Current
	if again := h.load().Current; again != first {
		t.Error("without a change it is another")
	}
	overwrite(t, h.opts.Paths.Cert, append([]byte("# renewed by hand\n"), p.CertPEM()...))
	second := h.load().Current
	if second == first || !second.Since.After(first.Since) || !second.Equal(first) {
		t.Error("a comment is no change, or one that matters")
	}
	overwrite(t, h.opts.Paths.CA, append(p.CAPEM(), issue(t).CertPEM()...))
	third := h.load().Current
	if third.Equal(second) || third.Leaf != second.Leaf {
		t.Error("another CA bundle is the same")
	}
	if (&Generation{}).Equal(third) || third.Equal(&Generation{}) {
		t.Error("no pair equals one")
	}
}

// The leaves that were there are known later: to this process at once, and to
// the next one when they were written down; those of the agent's own pairs too.
func TestExternalIsRemembered(t *testing.T) {
	own, first, second, third := issue(t), issue(t), issue(t), issue(t)
	h := newFixture(t, true)
	h.open()
	h.put(own)
	h.store.Close()
	lay(t, h.files(), first)
	x := h.openExternal()
	h.load()
	h.must(x.Remember())
	lay(t, h.files(), second)
	want := []cert.Fingerprint{own.Fingerprint(), first.Fingerprint(), second.Fingerprint()}
	if got := h.load().Known; !slices.Equal(got, want) {
		t.Errorf("known are %v, want %v", got, want)
	}
	h.must(x.Remember())
	seen, err := os.Stat(x.seenPath())
	h.must(err)
	h.must(x.Remember())
	if again, err := os.Stat(x.seenPath()); err != nil || !os.SameFile(seen, again) {
		t.Errorf("written although nothing is new: %v", err)
	}
	if seen.Mode() != 0o600 {
		t.Errorf("mode %v", seen.Mode())
	}
	x.Close()

	overwrite(t, h.opts.Paths.Key, []byte("broken"))
	x = h.openExternal()
	if st := h.load(); st.Current.Err == nil || !slices.Equal(st.Known, want) {
		t.Errorf("after a start known are %v, want %v", st.Known, want)
	}
	lay(t, h.files(), third)
	if st := h.load(); st.Current.Err != nil || !slices.Equal(st.Known, append(want, third.Fingerprint())) {
		t.Errorf("then known are %v (%v)", st.Known, st.Current.Err)
	}
	h.noLeftovers()

	// A file that somebody spoilt is as good as none.
	write(t, x.seenPath(), []byte("zz\n"+first.Fingerprint().String()+"00\n\n"+second.Fingerprint().String()))
	x.Close()
	h.openExternal()
	if got := h.load().Known; !slices.Equal(got, []cert.Fingerprint{second.Fingerprint(), own.Fingerprint(), third.Fingerprint()}) {
		t.Errorf("of a spoilt file known are %v", got)
	}
}

func TestExternalIsRememberedForYears(t *testing.T) {
	h, x := external(t, issue(t))
	for i := range 3 * mostSeen {
		x.seen.note(cert.Fingerprint{byte(i), 1})
		if i%5 == 0 {
			h.must(x.Remember())
		}
	}
	h.must(x.Remember())
	text, err := os.ReadFile(x.seenPath())
	h.must(err)
	if n := strings.Count(string(text), "\n"); n != mostSeen {
		t.Errorf("%d leaves are on disk, want %d", n, mostSeen)
	}
	if last := (cert.Fingerprint{3*mostSeen - 1, 1}).String(); !strings.HasSuffix(string(text), last+"\n") {
		t.Error("the latest is not among them")
	}
}

// A command that only looks needs no directory of the agent's.
func TestReadExternal(t *testing.T) {
	p := issue(t)
	h := newFixture(t, true)
	lay(t, h.files(), p)
	st, err := ReadExternal(h.externalOptions())
	h.must(err)
	if st.Current.Leaf != p.Fingerprint() {
		t.Errorf("%+v", st.Current)
	}
	if _, err := os.Stat(h.opts.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("looking made the directory: %v", err)
	}
	h.opts.Paths = Paths{}
	_, err = ReadExternal(h.externalOptions())
	wantErr(t, err, "paths.cert: missing")
}

func TestExternalServes(t *testing.T) {
	h, x := external(t, issue(t))
	h.moveBehindLinks()
	link := filepath.Join(h.root, "link")
	h.must(os.Symlink(h.opts.Paths.Cert, link))
	for path, want := range map[string]bool{
		h.opts.Paths.Cert: true, h.opts.Paths.Cert + "1": true, link: true, filepath.Dir(h.opts.Paths.Cert) + "/../tls/my.crt": true,
		h.opts.Paths.Key: false, "my.crt": false, "/nowhere": false,
	} {
		if x.Serves(path) != want {
			t.Errorf("Serves(%s) is %v", path, !want)
		}
	}
	if x.CertPath() != h.opts.Paths.Cert {
		t.Errorf("CertPath is %s", x.CertPath())
	}
}

// Every way in which another program renews is seen with nothing but hints.
func TestWatchExternal(t *testing.T) {
	old, p := issue(t), issue(t)
	for name, change := range map[string]func(h *fixture){
		"files renamed over": func(h *fixture) { lay(t, h.files(), p) },
		"in place": func(h *fixture) {
			write(t, h.opts.Paths.Cert, p.CertPEM())
			write(t, h.opts.Paths.Key, keyPEM(t, p))
		},
		"links removed and made again": func(h *fixture) { // as certbot does
			for path, text := range map[string][]byte{h.opts.Paths.Key: keyPEM(t, p), h.opts.Paths.Cert: p.CertPEM()} {
				write(t, path+"2", text)
				h.must(os.Remove(path))
				h.must(os.Symlink(filepath.Base(path)+"2", path))
			}
		},
		"what links lead to renamed over": func(h *fixture) {
			overwrite(t, h.opts.Paths.Cert+"1", p.CertPEM())
			overwrite(t, h.opts.Paths.Key+"1", keyPEM(t, p))
		},
		"directory made anew": func(h *fixture) {
			dir := filepath.Dir(h.opts.Paths.Cert)
			h.must(os.RemoveAll(dir))
			h.must(os.Mkdir(dir, 0o750))
			lay(t, h.files(), p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixtureAt(t, t.TempDir(), true) // a disk gives inode numbers again
			lay(t, h.files(), old)
			if strings.Contains(name, "links") {
				h.moveBehindLinks()
			}
			h.openExternal()
			hints := h.watch(t)
			change(h)
			is := func(p *cert.Pair) func(State) bool {
				return func(st State) bool { return st.Current.Err == nil && st.Current.Leaf == p.Fingerprint() }
			}
			h.until(t, hints, name, is(p))
			last := reissue(t, p)
			overwrite(t, h.opts.Paths.Cert, last.CertPEM())
			h.until(t, hints, "the next change", is(last))
		})
	}
}

// What the agent writes for itself, and what happens around the files, is no
// reason to wake up.
func TestWatchExternalIgnores(t *testing.T) {
	h, x := external(t, issue(t))
	h.moveBehindLinks()
	w := x.ways()
	if w.dirs[h.opts.Dir] || w.names[x.seenPath()] || w.names[filepath.Join(filepath.Dir(h.opts.Paths.Cert), "redis.conf")] {
		t.Errorf("watched are %v, for %v", w.dirs, w.names)
	}
	if !w.dirs[filepath.Dir(h.opts.Paths.Cert)] || !w.names[h.opts.Paths.Cert] || !w.names[h.opts.Paths.Cert+"1"] {
		t.Errorf("watched are only %v, for %v", w.dirs, w.names)
	}
}
