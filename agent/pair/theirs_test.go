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

// visit makes a house whose plain files hold p and are another hand's.
func visit(t *testing.T, p *cert.Pair) *house {
	t.Helper()
	h := newHouse(t, true)
	h.opts.Theirs = true
	lay(t, h.files(), p)
	h.open()
	return h
}

// prints lists everything about the other hand's files that must not change.
func (h *house) prints() []string {
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

func leaves(st State) (known []cert.Fingerprint) {
	for _, g := range st.All {
		known = append(known, g.Leaf)
	}
	return known
}

func TestTheirs(t *testing.T) {
	p, other := issue(t), issue(t)
	key := keyPEM(t, p)
	block, _ := pem.Decode(key)
	//lint:ignore SA1019 what people have is what must be named
	locked, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", block.Bytes, []byte("x"), x509.PEMCipherAES256)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(h *house)
		err    []string // parts of Err; none: it can be loaded
		keyErr string
	}{
		"whole":        {change: func(*house) {}},
		"without a CA": {change: func(h *house) { h.opts.Paths.CA = "" }},
		"one file": {change: func(h *house) {
			write(t, h.opts.Paths.Key, append(p.CertPEM(), key...))
			h.opts.Paths.Cert = h.opts.Paths.Key
		}},
		"through a link": {change: func(h *house) { h.moveBehindLinks() }},
		"mismatch": {change: func(h *house) { overwrite(t, h.opts.Paths.Cert, other.CertPEM()) },
			err: []string{"my.key: ", "does not belong", "my.crt"}},
		"half a certificate": {change: func(h *house) { write(t, h.opts.Paths.Cert, p.CertPEM()[:300]) },
			err: []string{"my.crt: ", "truncated"}},
		"an empty key":          {change: func(h *house) { write(t, h.opts.Paths.Key, nil) }, err: []string{"my.key: no PRIVATE KEY"}},
		"no certificate":        {change: func(h *house) { h.must(os.Remove(h.opts.Paths.Cert)) }, err: []string{"my.crt: no such file"}},
		"no key":                {change: func(h *house) { h.must(os.Remove(h.opts.Paths.Key)) }, err: []string{"my.key: no such file"}},
		"no CA":                 {change: func(h *house) { h.must(os.Remove(h.opts.Paths.CA)) }, err: []string{"my-ca.crt: no such file"}},
		"nothing":               {change: func(h *house) { h.must(os.RemoveAll(filepath.Dir(h.opts.Paths.Cert))) }, err: []string{"my.crt", "my.key", "my-ca.crt"}},
		"a CA that is none":     {change: func(h *house) { write(t, h.opts.Paths.CA, []byte("x")) }, err: []string{"my-ca.crt: no CERTIFICATE"}},
		"a pipe for a key":      {change: func(h *house) { h.pipe(h.opts.Paths.Key) }, err: []string{"my.key is not a regular file"}},
		"a key with passphrase": {change: func(h *house) { write(t, h.opts.Paths.Key, pem.EncodeToMemory(locked)) }, keyErr: "my.key: the key is encrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, true)
			h.opts.Theirs = true
			lay(t, h.files(), p)
			tt.change(h)
			h.open()
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
func (h *house) moveBehindLinks() {
	h.t.Helper()
	for _, path := range []string{h.opts.Paths.Cert, h.opts.Paths.Key, h.opts.Paths.CA} {
		h.must(os.Rename(path, path+"1"))
		h.must(os.Symlink(filepath.Base(path)+"1", path))
	}
}

func (h *house) pipe(path string) {
	h.t.Helper()
	h.must(os.Remove(path))
	h.must(unix.Mkfifo(path, 0o600))
}

// A key for redis alone: the agent sees the rest.
func TestTheirKeyThatCannotBeRead(t *testing.T) {
	h := newHouse(t, true)
	h.wide()
	h.opts.Theirs = true
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
		s, err := Open(h.opts)
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
		st, err := Read(h.opts)
		if err == nil && !errors.Is(st.Current.Err, fs.ErrPermission) {
			t.Errorf("what cannot be read is told as %v", st.Current.Err)
		}
		return err
	})
}

// A key in a directory that only its group may pass, as Debian's
// /etc/ssl/private, is no reason not to watch the certificate.
func TestTheirKeyInADirectoryThatCannotBeWatched(t *testing.T) {
	for _, mode := range []fs.FileMode{0o700, 0o711} {
		t.Run(mode.String(), func(t *testing.T) {
			needsRoot(t, "cannot make a directory of another user")
			h := newHouse(t, true)
			h.wide()
			h.opts.Theirs = true
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
			var hints <-chan struct{}
			as(t, func() (err error) {
				if h.store, err = Open(h.opts); err != nil {
					return err
				}
				hints, err = h.store.Watch(t.Context())
				return err
			})
			defer h.store.Close()
			overwrite(t, h.opts.Paths.Cert, next.CertPEM())
			hinted(t, hints, "the certificate")
		})
	}
}

// A certificate in a directory that cannot be watched is looked at all the same.
func TestTheirCertificateInADirectoryThatCannotBeWatched(t *testing.T) {
	needsRoot(t, "cannot make a directory of another user")
	h := newHouse(t, true)
	h.wide()
	h.opts.Theirs = true
	lay(t, h.files(), issue(t))
	h.must(os.Chmod(h.opts.Paths.Cert, 0o644))
	h.must(os.Mkdir(h.opts.Dir, 0o750))
	h.must(os.Chown(h.opts.Dir, nobody, nobody))
	for mode, want := range map[fs.FileMode]time.Duration{0o755: 0, 0o711: time.Minute, 0o700: time.Minute} {
		h.must(os.Chmod(filepath.Dir(h.opts.Paths.Cert), mode))
		as(t, func() error {
			s, err := Open(h.opts)
			if err != nil {
				return err
			}
			defer s.Close()
			if got := s.pollEvery(); got != want {
				t.Errorf("%v: a look every %v, want %v", mode, got, want)
			}
			_, err = s.Watch(t.Context())
			return err
		})
	}
	// Without an event, and without a file.
	fsw, err := fsnotify.NewWatcher()
	h.must(err)
	defer fsw.Close()
	w := &watcher{store: h.store, fsw: fsw, poll: time.Millisecond}
	if changed, ok := w.next(t.Context()); !changed || !ok {
		t.Errorf("next: %v, %v", changed, ok)
	}
}

// The other hand's files stay as they are, to the inode, whatever the agent
// does with its store.
func TestTheirsAreLeftAlone(t *testing.T) {
	h := visit(t, issue(t))
	h.moveBehindLinks()
	before := h.prints()
	s := h.store
	st := h.load()
	h.must(s.Link())
	h.must(s.Remember())
	for range 2 * h.opts.Keep { // of an earlier time
		g, err := s.Put(issue(t), Origin{})
		h.must(err)
		h.must(s.Switch(g.ID))
	}
	h.must(s.Prune())
	if _, err := os.Stat(s.generation(1)); err != nil {
		t.Errorf("the agent's own pairs are gone: %v", err)
	}
	if _, err := s.Adopt(&Foreign{Pair: st.Current.Pair}, Origin{}); err == nil {
		t.Error("it was adopted")
	}
	h.watch(t)
	s.Close()
	h.open()
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
func TestTheirsChange(t *testing.T) {
	p := issue(t)
	h := visit(t, p)
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
func TestTheirsAreRemembered(t *testing.T) {
	own, first, second, third := issue(t), issue(t), issue(t), issue(t)
	h := newHouse(t, true)
	h.open()
	h.put(own)
	h.store.Close()
	h.opts.Theirs = true
	lay(t, h.files(), first)
	h.open()
	h.load()
	h.must(h.store.Remember())
	lay(t, h.files(), second)
	want := []cert.Fingerprint{own.Fingerprint(), first.Fingerprint(), second.Fingerprint()}
	if got := leaves(h.load()); !slices.Equal(got, want) {
		t.Errorf("known are %v, want %v", got, want)
	}
	h.must(h.store.Remember())
	seen, err := os.Stat(h.store.seenPath())
	h.must(err)
	h.must(h.store.Remember())
	if again, err := os.Stat(h.store.seenPath()); err != nil || !os.SameFile(seen, again) {
		t.Errorf("written although nothing is new: %v", err)
	}
	if seen.Mode() != 0o600 {
		t.Errorf("mode %v", seen.Mode())
	}
	h.store.Close()

	overwrite(t, h.opts.Paths.Key, []byte("broken"))
	h.open()
	if st := h.load(); st.Current.Err == nil || !slices.Equal(leaves(st), append(want, cert.Fingerprint{})) {
		t.Errorf("after a start known are %v, want %v", leaves(st), want)
	}
	lay(t, h.files(), third)
	for _, g := range h.load().All {
		if (g.Err == nil) != (g.Leaf == third.Fingerprint()) {
			t.Errorf("%s: %v", g.Leaf, g.Err)
		}
	}
	h.noLeftovers()

	// A file that somebody spoilt is as good as none.
	write(t, h.store.seenPath(), []byte("zz\n"+first.Fingerprint().String()+"00\n\n"+second.Fingerprint().String()))
	h.store.Close()
	h.open()
	if got := leaves(h.load()); !slices.Equal(got, []cert.Fingerprint{second.Fingerprint(), own.Fingerprint(), third.Fingerprint()}) {
		t.Errorf("of a spoilt file known are %v", got)
	}
}

func TestTheirsAreRememberedForYears(t *testing.T) {
	h := visit(t, issue(t))
	for i := range 3 * mostSeen {
		h.store.theirs.note(cert.Fingerprint{byte(i), 1})
		if i%5 == 0 {
			h.must(h.store.Remember())
		}
	}
	h.must(h.store.Remember())
	text, err := os.ReadFile(h.store.seenPath())
	h.must(err)
	if n := strings.Count(string(text), "\n"); n != mostSeen {
		t.Errorf("%d leaves are on disk, want %d", n, mostSeen)
	}
	if last := (cert.Fingerprint{3*mostSeen - 1, 1}).String(); !strings.HasSuffix(string(text), last+"\n") {
		t.Error("the latest is not among them")
	}
}

// A command that only looks needs no directory of the agent's.
func TestReadTheirs(t *testing.T) {
	p := issue(t)
	h := newHouse(t, true)
	h.opts.Theirs = true
	lay(t, h.files(), p)
	st, err := Read(h.opts)
	h.must(err)
	if st.Current.Leaf != p.Fingerprint() {
		t.Errorf("%+v", st.Current)
	}
	if _, err := os.Stat(h.opts.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("looking made the directory: %v", err)
	}
	h.opts.Paths = Paths{}
	_, err = Read(h.opts)
	wantErr(t, err, "name the certificate and the key")
}

func TestTheirsServe(t *testing.T) {
	h := visit(t, issue(t))
	h.moveBehindLinks()
	link := filepath.Join(h.root, "link")
	h.must(os.Symlink(h.opts.Paths.Cert, link))
	for path, want := range map[string]bool{
		h.opts.Paths.Cert: true, h.opts.Paths.Cert + "1": true, link: true, filepath.Dir(h.opts.Paths.Cert) + "/../tls/my.crt": true,
		h.opts.Paths.Key: false, "my.crt": false, "/nowhere": false,
	} {
		if h.store.Serves(path) != want {
			t.Errorf("Serves(%s) is %v", path, !want)
		}
	}
	if h.store.CertPath() != h.opts.Paths.Cert {
		t.Errorf("CertPath is %s", h.store.CertPath())
	}
}

// Every way in which another hand renews is seen with nothing but hints.
func TestWatchTheirs(t *testing.T) {
	old, p := issue(t), issue(t)
	for name, change := range map[string]func(h *house){
		"files renamed over": func(h *house) { lay(t, h.files(), p) },
		"in place": func(h *house) {
			write(t, h.opts.Paths.Cert, p.CertPEM())
			write(t, h.opts.Paths.Key, keyPEM(t, p))
		},
		"links removed and made again": func(h *house) { // as certbot does
			for path, text := range map[string][]byte{h.opts.Paths.Key: keyPEM(t, p), h.opts.Paths.Cert: p.CertPEM()} {
				write(t, path+"2", text)
				h.must(os.Remove(path))
				h.must(os.Symlink(filepath.Base(path)+"2", path))
			}
		},
		"what links lead to renamed over": func(h *house) {
			overwrite(t, h.opts.Paths.Cert+"1", p.CertPEM())
			overwrite(t, h.opts.Paths.Key+"1", keyPEM(t, p))
		},
		"directory made anew": func(h *house) {
			dir := filepath.Dir(h.opts.Paths.Cert)
			h.must(os.RemoveAll(dir))
			h.must(os.Mkdir(dir, 0o750))
			lay(t, h.files(), p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouseAt(t, t.TempDir(), true) // a disk gives inode numbers again
			h.opts.Theirs = true
			lay(t, h.files(), old)
			if strings.Contains(name, "links") {
				h.moveBehindLinks()
			}
			h.open()
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
func TestWatchTheirsIgnores(t *testing.T) {
	h := visit(t, issue(t))
	h.moveBehindLinks()
	dirs, names := h.store.ways()
	if dirs[h.opts.Dir] || names[h.store.seenPath()] || names[filepath.Join(filepath.Dir(h.opts.Paths.Cert), "redis.conf")] {
		t.Errorf("watched are %v, for %v", dirs, names)
	}
	if !dirs[filepath.Dir(h.opts.Paths.Cert)] || !names[h.opts.Paths.Cert] || !names[h.opts.Paths.Cert+"1"] {
		t.Errorf("watched are only %v, for %v", dirs, names)
	}
}
