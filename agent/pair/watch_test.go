package pair

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
)

// hinted waits for a hint.
func hinted(t *testing.T, hints <-chan struct{}, what string) {
	t.Helper()
	select {
	case _, ok := <-hints:
		if !ok {
			t.Fatalf("%s: watching ended", what)
		}
	case <-time.After(time.Minute):
		t.Fatalf("%s: no hint", what)
	}
}

// until takes hints until what the store shows after one is ok, and then those
// that the same changes left. A late one would only make the test weaker.
func (h *fixture) until(t *testing.T, hints <-chan struct{}, what string, ok func(State) bool) {
	t.Helper()
	hinted(t, hints, what)
	for !ok(h.load()) {
		hinted(t, hints, what)
	}
	for {
		select {
		case <-hints:
		case <-time.After(30 * time.Millisecond):
			return
		}
	}
}

func shows(p *cert.Pair) func(State) bool {
	return func(st State) bool {
		return st.Foreign != nil && st.Foreign.Pair != nil && st.Foreign.Pair.Fingerprint() == p.Fingerprint()
	}
}

func (h *fixture) watch(t *testing.T) <-chan struct{} {
	t.Helper()
	w, err := h.loader.Watch()
	h.must(err)
	t.Cleanup(w.Close)
	return w.Hints
}

// Every change of another program is seen with nothing but hints to go by.
func TestWatch(t *testing.T) {
	p := issue(t)
	tls := func(h *fixture) string { return filepath.Dir(h.opts.Paths.Cert) }
	// refill makes dir as an administrator would that installs a pair anew.
	refill := func(h *fixture, dir string) {
		h.must(os.Mkdir(dir, 0o750))
		for path, text := range map[string][]byte{h.opts.Paths.Cert: p.CertPEM(), h.opts.Paths.Key: keyPEM(t, p), h.opts.Paths.CA: p.CAPEM()} {
			write(t, filepath.Join(dir, filepath.Base(path)), text)
		}
	}
	for name, change := range map[string]func(h *fixture, hints <-chan struct{}){
		"files renamed over": func(h *fixture, _ <-chan struct{}) { lay(t, h.files(), p) },
		"in place": func(h *fixture, _ <-chan struct{}) {
			write(t, h.opts.Paths.Key, keyPEM(t, p))
			write(t, h.opts.Paths.Cert, p.CertPEM())
		},
		"directory removed and made again": func(h *fixture, hints <-chan struct{}) {
			h.must(os.RemoveAll(tls(h)))
			h.until(t, hints, "removed", func(st State) bool { return len(st.Unlinked) == 3 })
			refill(h, tls(h))
		},
		"directory removed and made again at once": func(h *fixture, _ <-chan struct{}) {
			h.must(os.RemoveAll(tls(h)))
			refill(h, tls(h))
		},
		"directory swapped": func(h *fixture, _ <-chan struct{}) {
			refill(h, h.root+"/new")
			h.must(unix.Renameat2(unix.AT_FDCWD, h.root+"/new", unix.AT_FDCWD, tls(h), unix.RENAME_EXCHANGE))
		},
		"the directory above swapped": func(h *fixture, _ <-chan struct{}) {
			h.must(os.Rename(h.root+"/above", h.root+"/old"))
			h.must(os.Mkdir(h.root+"/above", 0o750))
			refill(h, tls(h))
		},
		"directory replaced by a link, then the link moved": func(h *fixture, hints <-chan struct{}) {
			h.must(os.Rename(tls(h), h.root+"/v1"))
			h.must(os.Symlink("../v1", tls(h)))
			h.until(t, hints, "linked", func(st State) bool { return len(st.Unlinked) == 0 })
			refill(h, h.root+"/v2")
			h.must(os.Symlink("../v2", h.root+"/next"))
			h.must(os.Rename(h.root+"/next", tls(h)))
		},
		"pointed elsewhere, and changed there": func(h *fixture, hints <-chan struct{}) {
			old := issue(t)
			refill(h, h.root+"/live")
			write(t, h.root+"/live/my.crt", old.CertPEM())
			write(t, h.root+"/live/my.key", keyPEM(t, old))
			for _, name := range []string{"my.crt", "my.key"} {
				h.must(os.Symlink("../../live/"+name, tls(h)+"/next"))
				h.must(os.Rename(tls(h)+"/next", tls(h)+"/"+name))
			}
			h.until(t, hints, "pointed elsewhere", shows(old))
			overwrite(t, h.root+"/live/my.crt", p.CertPEM())
			overwrite(t, h.root+"/live/my.key", keyPEM(t, p))
		},
		"in place after a switch": func(h *fixture, hints <-chan struct{}) {
			g := h.put(issue(t))
			h.until(t, hints, "switched", func(st State) bool { return st.Current.ID == g.ID })
			write(t, h.opts.Paths.Key, keyPEM(t, p))
			write(t, h.opts.Paths.Cert, p.CertPEM())
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixtureAt(t, t.TempDir(), true) // a disk gives inode numbers again
			above := filepath.Join(h.root, "above")
			h.must(os.Mkdir(above, 0o750))
			h.must(os.Rename(tls(h), filepath.Join(above, "tls")))
			for _, path := range []*string{&h.opts.Paths.Cert, &h.opts.Paths.Key, &h.opts.Paths.CA} {
				*path = filepath.Join(above, "tls", filepath.Base(*path))
			}
			h.open()
			h.put(issue(t))
			h.must(relink(h.store))
			hints := h.watch(t)
			change(h, hints)
			h.until(t, hints, name, shows(p))
			// The watch stands where it is needed now: one more change, by one rename.
			last := reissue(t, p)
			overwrite(t, h.opts.Paths.Cert, last.CertPEM())
			h.until(t, hints, "the next change", shows(last))
		})
	}
}

func TestWatchSeesAnotherSwitch(t *testing.T) {
	h := linked(t, issue(t))
	h.put(issue(t))
	hints := h.watch(t)
	h.must(os.Symlink("generations/000001", h.opts.Dir+"/other"))
	h.must(os.Rename(h.opts.Dir+"/other", h.opts.Dir+"/current"))
	h.until(t, hints, "switched", func(st State) bool { return st.Current.ID == 1 })
}

// What the agent writes for itself, and what happens around the files, is no
// reason to wake up.
func TestWatchIgnores(t *testing.T) {
	h := linked(t, issue(t))
	w := h.store.ways()
	for _, path := range []string{
		filepath.Join(h.opts.Dir, "lock"),
		filepath.Join(h.opts.Dir, disk.TemporaryPrefix+"current"),
		filepath.Join(h.opts.Dir, "generations", disk.TemporaryPrefix+"000002"),
		filepath.Join(h.opts.Dir, "generations", "000002"),
		tmpLink(h.opts.Paths.Cert),
		filepath.Join(filepath.Dir(h.opts.Paths.Cert), "redis.conf"),
		filepath.Join(h.root, "anything"),
	} {
		if w.names[path] {
			t.Errorf("%s matters", path)
		}
	}
	for _, dir := range []string{h.opts.Dir, h.store.generation(1), filepath.Dir(h.opts.Paths.Cert)} {
		if !w.dirs[dir] {
			t.Errorf("%s may go unwatched", dir)
		}
	}
}

// A burst is one hint, and nobody has to be there to take it.
func TestWatchCoalesces(t *testing.T) {
	h := linked(t, issue(t))
	hints := h.watch(t)
	for range 500 {
		overwrite(t, h.opts.Paths.Cert, []byte("x"))
	}
	hinted(t, hints, "burst")
	if n := cap(hints); n != 1 {
		t.Errorf("%d hints wait", n)
	}
	last := issue(t)
	lay(t, h.files(), last)
	h.until(t, hints, "after the burst", shows(last))
}

func TestWatchEnds(t *testing.T) {
	h := linked(t, issue(t))
	w, err := h.store.Watch()
	h.must(err)
	if inotifies(t) == 0 {
		t.Error("this test cannot see an inotify instance")
	}
	w.Close()
	if _, ok := <-w.Hints; ok {
		t.Error("there is a hint after the end")
	}
	// The goroutine that was waited for may not have returned yet.
	deadline := time.Now().Add(time.Minute)
	for watching() && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if watching() {
		t.Error("a goroutine is left")
	}
	if n := inotifies(t); n != 0 {
		t.Errorf("%d inotify instances are left", n)
	}
}

func watching() bool {
	var b strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&b, 2)
	return strings.Contains(b.String(), "fsnotify.") || strings.Contains(b.String(), "(*Watcher).run")
}

func inotifies(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.Contains(target, "inotify") {
			n++
		}
	}
	return n
}

func TestWatchSaysWhyItCannot(t *testing.T) {
	h := newFixture(t, true)
	h.wide()
	h.must(os.Chmod(filepath.Dir(h.opts.Paths.Cert), 0o711))
	if os.Geteuid() == 0 {
		h.must(os.Chown(h.root, nobody, nobody))
	} else {
		h.must(os.Chmod(filepath.Dir(h.opts.Paths.Cert), 0o311))
	}
	as(t, func() error {
		s, err := Open(h.opts)
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = s.Watch()
		wantErr(t, err, "watch "+filepath.Dir(h.opts.Paths.Cert), "permission denied")
		return nil
	})
}
