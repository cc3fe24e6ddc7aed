package pair

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/cert"
)

// wantForeign fails unless p is there as another program's, in files.
func (h *fixture) wantForeign(p *cert.Pair, files ...string) *Foreign {
	h.t.Helper()
	f := h.load().Foreign
	if f == nil || f.Err != nil || f.Pair.Fingerprint() != p.Fingerprint() {
		h.t.Fatalf("foreign %+v, want %s", f, p.Fingerprint())
	}
	if !slices.Equal(f.Files, files) {
		h.t.Fatalf("files %v, want %v", f.Files, files)
	}
	return f
}

func (h *fixture) adopt(f *Foreign) *Generation {
	h.t.Helper()
	g, err := h.store.Adopt(f, Origin{Method: Adopted, Time: time.Now()})
	h.must(err)
	if !g.Origin.Adopted() {
		h.t.Errorf("origin %+v", g.Origin)
	}
	return g
}

// The ways in which another program replaces a whole pair.
func TestAdopt(t *testing.T) {
	type step func(h *fixture, current, p *cert.Pair) (files []string)
	same := map[string]bool{"certificate alone": true, "certificate alone, in place": true}
	for name, do := range map[string]step{
		"renamed over": func(h *fixture, _, p *cert.Pair) []string {
			overwrite(t, h.opts.Paths.Cert, p.CertPEM())
			overwrite(t, h.opts.Paths.Key, keyPEM(t, p))
			return []string{h.opts.Paths.Cert, h.opts.Paths.Key}
		},
		"in place": func(h *fixture, _, p *cert.Pair) []string {
			write(t, h.opts.Paths.Key, keyPEM(t, p))
			write(t, h.opts.Paths.Cert, p.CertPEM())
			return []string{h.through().Cert}
		},
		"certificate alone": func(h *fixture, _, p *cert.Pair) []string {
			overwrite(t, h.opts.Paths.Cert, p.CertPEM())
			return []string{h.opts.Paths.Cert}
		},
		"certificate alone, in place": func(h *fixture, _, p *cert.Pair) []string {
			write(t, h.opts.Paths.Cert, p.CertPEM())
			return []string{h.through().Cert}
		},
		"pointed elsewhere": func(h *fixture, _, p *cert.Pair) []string {
			live := h.root + "/live"
			h.must(os.Mkdir(live, 0o700))
			write(t, live+"/fullchain.pem", p.CertPEM())
			write(t, live+"/privkey.pem", keyPEM(t, p))
			for from, to := range map[string]string{h.opts.Paths.Cert: "../live/fullchain.pem", h.opts.Paths.Key: live + "/privkey.pem"} {
				h.must(os.Remove(from))
				h.must(os.Symlink(to, from))
			}
			return []string{h.opts.Paths.Cert, h.opts.Paths.Key}
		},
		"one file, one in place": func(h *fixture, _, p *cert.Pair) []string {
			overwrite(t, h.opts.Paths.Cert, p.CertPEM())
			write(t, h.opts.Paths.Key, keyPEM(t, p))
			return []string{h.opts.Paths.Cert, h.through().Key}
		},
	} {
		t.Run(name, func(t *testing.T) {
			old := issue(t)
			p := issue(t)
			if same[name] {
				p = reissue(t, old)
			}
			h := linked(t, old)
			files := do(h, old, p)
			if name == "in place" || name == "one file, one in place" {
				// Which of a generation's two files is new shows by the
				// certificate; the key has no record of its own.
				files = h.load().Foreign.Files
			}
			f := h.wantForeign(p, files...)
			g := h.adopt(f)
			h.wantLinked(p)
			if g.ID != 2 {
				t.Errorf("generation %d", g.ID)
			}
			h.put(issue(t)) // and it moves on as one
		})
	}
}

func TestAdoptPlainFiles(t *testing.T) {
	h := newFixture(t, true)
	h.open()
	p := issue(t)
	lay(t, h.files(), p)
	// A comment before the certificate stays: the bytes are taken as they are.
	text := append([]byte("made by hand\n"), p.CertPEM()...)
	overwrite(t, h.opts.Paths.Cert, text)
	f := h.wantForeign(p, h.opts.Paths.Cert, h.opts.Paths.Key, h.opts.Paths.CA)
	h.adopt(f)
	h.wantLinked(p)
	got, err := os.ReadFile(h.opts.Paths.Cert)
	h.must(err)
	if string(got) != string(text) {
		t.Errorf("the content changed: %q", got)
	}
	if len(h.found()) != 0 {
		t.Error("copies of what is in a generation")
	}
}

func TestAdoptWithTheCAOfTheCaller(t *testing.T) {
	h := newFixture(t, true)
	ca := h.opts.Paths.CA
	h.opts.Paths.CA = ""
	h.open()
	p := issue(t)
	files := h.files()
	files.CA = ca
	lay(t, files, p)
	f := h.wantForeign(p, h.opts.Paths.Cert, h.opts.Paths.Key)
	if len(f.Pair.CA) != 0 {
		t.Fatal("a CA from nowhere")
	}
	f.Pair.CA = p.CA
	h.adopt(f)
	if got := h.parse(h.through()); len(got.CA) != 1 {
		t.Errorf("%d CA certificates", len(got.CA))
	}
}

func TestAdoptWhatChangedMeanwhile(t *testing.T) {
	h := newFixture(t, true)
	h.open()
	lay(t, h.files(), issue(t))
	f := h.load().Foreign
	p := issue(t)
	lay(t, h.files(), p)
	if _, err := h.store.Adopt(f, Origin{}); !errors.Is(err, ErrChanged) {
		t.Fatal(err)
	}
	if len(h.load().All) != 0 {
		t.Error("something was adopted")
	}
	if got := h.parse(h.files()); got.Fingerprint() != p.Fingerprint() {
		t.Error("the plain files changed")
	}
}

// What another program puts at a plain path after a look is not replaced by a link: it may
// be the first of the two files of a pair.
func TestLinkLeavesWhatCameMeanwhile(t *testing.T) {
	for r, name := range []string{"certificate", "key", "CA"} {
		t.Run(name, func(t *testing.T) {
			h := linked(t, issue(t))
			seen := h.load()
			path := []string{h.opts.Paths.Cert, h.opts.Paths.Key, h.opts.Paths.CA}[r]
			other := issue(t)
			key, err := other.KeyPEM()
			h.must(err)
			text := [][]byte{other.CertPEM(), key, other.CAPEM()}[r]
			h.must(os.Remove(path))
			h.must(os.WriteFile(path, text, 0o600))
			if err := h.store.Link(seen); !errors.Is(err, ErrChanged) {
				t.Errorf("it says %v", err)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, text) {
				t.Errorf("it holds %q, %v", got, err)
			}
			h.must(relink(h.store)) // as after another look
			h.wantLinked(seen.Current.Pair)
		})
	}
}

// A change of the CA file alone, as an administrator makes it.
func TestAdoptCA(t *testing.T) {
	old := issue(t)
	h := linked(t, old)
	more := append(old.CAPEM(), old.CertPEM()...)
	write(t, h.opts.Paths.CA, more)
	f := h.wantForeign(old, h.through().CA)
	if len(f.Pair.CA) != 2 || len(h.load().CA) != 2 {
		t.Fatalf("%d CA certificates", len(f.Pair.CA))
	}
	h.adopt(f)
	h.wantLinked(old)
	if got := h.parse(h.files()); len(got.CA) != 2 {
		t.Errorf("%d CA certificates", len(got.CA))
	}
}

// What is broken is named, is no pair, and is not lost when it is replaced.
func TestBrokenForeign(t *testing.T) {
	other := issue(t)
	encrypted := []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n")
	for name, c := range map[string]struct {
		break_ func(h *fixture, f Paths)
		says   []string
	}{
		"key of another":        {func(h *fixture, f Paths) { overwrite(t, f.Key, keyPEM(t, other)) }, []string{"my.key", "does not belong", "redis.crt"}},
		"certificate alone":     {func(h *fixture, f Paths) { overwrite(t, f.Cert, other.CertPEM()) }, []string{"redis.key", "does not belong", "my.crt"}},
		"truncated":             {func(h *fixture, f Paths) { overwrite(t, f.Cert, other.CertPEM()[:200]) }, []string{"my.crt"}},
		"empty":                 {func(h *fixture, f Paths) { overwrite(t, f.Key, nil) }, []string{"my.key"}},
		"encrypted":             {func(h *fixture, f Paths) { overwrite(t, f.Key, encrypted) }, []string{"my.key", "encrypted"}},
		"DER":                   {func(h *fixture, f Paths) { overwrite(t, f.Cert, other.Leaf().Raw) }, []string{"my.crt"}},
		"a CA that is none":     {func(h *fixture, f Paths) { overwrite(t, f.CA, []byte("x")) }, []string{"my-ca.crt"}},
		"truncated in place":    {func(h *fixture, f Paths) { h.must(os.Truncate(f.Cert, 100)) }, []string{"current/redis.crt"}},
		"mismatched in place":   {func(h *fixture, f Paths) { write(t, f.Cert, other.CertPEM()) }, []string{"current/redis.key", "does not belong"}},
		"key removed from ours": {func(h *fixture, f Paths) { h.must(os.Remove(h.store.generation(1) + "/redis.key")) }, []string{"redis.key", "missing"}},
		"everything at once": {func(h *fixture, f Paths) {
			overwrite(t, f.Cert, []byte("c"))
			overwrite(t, f.Key, []byte("k"))
			overwrite(t, f.CA, []byte("a"))
		}, []string{"my.crt", "my.key", "my-ca.crt"}},
	} {
		t.Run(name, func(t *testing.T) {
			old := issue(t)
			h := linked(t, old)
			c.break_(h, h.opts.Paths)
			st := h.load()
			if st.Foreign == nil || st.Foreign.Pair != nil || len(st.Foreign.Files) == 0 {
				t.Fatalf("%+v", st.Foreign)
			}
			wantErr(t, st.Foreign.Err, c.says...)
			if strings.Contains(name, "place") && st.Current.Err == nil {
				t.Error("the current generation is said to be whole")
			}
			_, err := h.store.Adopt(st.Foreign, Origin{})
			wantErr(t, err, "adopt", "whole")
			lost := h.plainTexts()
			fresh := issue(t)
			h.put(fresh)
			h.must(relink(h.store))
			h.wantLinked(fresh)
			h.must(h.store.Prune())
			h.wantKept(lost)
		})
	}
}

// plainTexts returns the texts of the plain files that are files.
func (h *fixture) plainTexts() (lost [][]byte) {
	h.t.Helper()
	for _, p := range []string{h.opts.Paths.Cert, h.opts.Paths.Key, h.opts.Paths.CA} {
		if fi, err := os.Lstat(p); err == nil && fi.Mode().IsRegular() {
			text, err := os.ReadFile(p)
			h.must(err)
			lost = append(lost, text)
		}
	}
	return lost
}

// wantKept fails unless each text is still in a generation or under found.
func (h *fixture) wantKept(texts [][]byte) {
	h.t.Helper()
	have := h.found()
	for _, path := range tree(h.t, filepath.Join(h.opts.Dir, "generations")) {
		if text, err := os.ReadFile(path); err == nil {
			have[string(text)] = true
		}
	}
	for _, text := range texts {
		if !have[string(text)] {
			h.t.Errorf("lost: %.80q", text)
		}
	}
}

// A whole pair that the agent does not take in is put aside, and is not the
// newest generation afterwards.
func TestLinkOverAWholePair(t *testing.T) {
	for name, linkedBefore := range map[string]bool{"half linked": true, "never linked": false} {
		t.Run(name, func(t *testing.T) {
			ours := issue(t)
			theirs := issue(t)
			h := newFixture(t, true)
			if linkedBefore {
				h = linked(t, ours)
				theirs = reissue(t, ours)
				overwrite(t, h.opts.Paths.Cert, theirs.CertPEM())
			} else {
				h.open()
				lay(t, h.files(), theirs)
				h.put(ours)
			}
			lost := h.plainTexts()
			h.wantForeign(theirs, h.load().Foreign.Files...)
			h.must(relink(h.store))
			h.wantLinked(ours)
			h.wantKept(lost)
			if all := h.load().All; len(all) != 1 {
				t.Errorf("%d generations", len(all))
			}
		})
	}
}

// A switch with one path linked and the other not would part the two.
func TestSwitchLinksFirst(t *testing.T) {
	ours, fresh := issue(t), issue(t)
	h := linked(t, ours)
	overwrite(t, h.opts.Paths.Key, keyPEM(t, ours))
	g, err := h.store.Put(fresh, Origin{})
	h.must(err)
	h.must(h.store.Switch(g.ID))
	h.wantLinked(fresh)
}

// A switch away from a damaged generation may have to link first. What another program put
// there is kept, and is not what the agent goes on with.
func TestSwitchFromADamagedPair(t *testing.T) {
	ours, next, theirs := issue(t), issue(t), issue(t)
	h := linked(t, ours)
	damaged := h.put(next)
	write(t, h.opts.Paths.Key, keyPEM(t, theirs)) // through the link
	overwrite(t, h.opts.Paths.Cert, theirs.CertPEM())
	h.wantForeign(theirs, h.load().Foreign.Files...)
	h.must(h.store.Switch(1))
	h.wantLinked(ours)
	for _, g := range h.load().All {
		if g.ID != 1 && g.ID != damaged.ID {
			t.Errorf("generation %d is %s, of method %s", g.ID, cert.Serial(g.Pair.Leaf()), g.Origin.Method)
		}
	}
	if slices.Contains(h.load().Known, theirs.Fingerprint()) {
		t.Error("a server is recognised by what was never taken in")
	}
	h.wantKept([][]byte{theirs.CertPEM(), keyPEM(t, theirs)})
}

func TestSecondLinkKeepsOneCopy(t *testing.T) {
	h := linked(t, issue(t))
	for range 3 {
		overwrite(t, h.opts.Paths.Key, []byte("the same each time"))
		h.must(relink(h.store))
	}
	overwrite(t, h.opts.Paths.Key, []byte("another in the same second"))
	h.must(relink(h.store))
	if have := h.found(); len(have) != 2 || !have["the same each time"] || !have["another in the same second"] {
		t.Fatalf("%v", have)
	}
	entries, err := os.ReadDir(h.store.foundDir())
	h.must(err)
	if len(entries) != 2 {
		t.Errorf("%d files", len(entries))
	}
}

// On a host where only the CA was set up, there is no foreign pair, and
// what the CA file says can be kept.
func TestOnlyACA(t *testing.T) {
	p := issue(t)
	h := newFixture(t, true)
	h.open()
	write(t, h.opts.Paths.CA, append([]byte("our root\n"), p.CAPEM()...))
	st := h.load()
	if st.Foreign != nil || len(st.CA) != 1 {
		t.Fatalf("%+v", st)
	}
	lost := h.plainTexts()
	h.put(p)
	h.must(relink(h.store))
	h.wantLinked(p)
	h.wantKept(lost)
}

func TestHalfAPair(t *testing.T) {
	p := issue(t)
	h := newFixture(t, true)
	h.open()
	write(t, h.opts.Paths.Key, keyPEM(t, p))
	wantErr(t, h.load().Foreign.Err, "redis.crt", "missing", h.opts.Paths.Key)
}

func TestPathsThatCannotBeReplaced(t *testing.T) {
	p := issue(t)
	h := linked(t, p)
	overwrite(t, h.opts.Paths.Cert, make([]byte, maxFile+1))
	wantErr(t, h.load().Foreign.Err, h.opts.Paths.Cert, "too large")
	wantErr(t, relink(h.store), h.opts.Paths.Cert, "no copy", "move it away")
	h.must(os.Remove(h.opts.Paths.Cert))
	h.must(relink(h.store))
	h.wantLinked(p)
	h.must(os.Remove(h.opts.Paths.CA))
	h.must(os.Mkdir(h.opts.Paths.CA, 0o700))
	wantErr(t, relink(h.store), h.opts.Paths.CA, "directory")
	h.must(os.RemoveAll(filepath.Dir(h.opts.Paths.CA)))
	wantErr(t, relink(h.store), filepath.Dir(h.opts.Paths.CA), "make it")
}
