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

	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
)

func TestFirstPair(t *testing.T) {
	h := newFixture(t, true)
	s := h.open()
	if st := h.load(); st.Current != nil || len(st.All) != 0 || st.Foreign != nil || len(st.Unlinked) != 3 {
		t.Fatalf("empty store: %+v", st)
	}
	wantErr(t, relink(s), "link", "switch")
	p := issue(t)
	g := h.put(p)
	h.must(relink(s))
	h.wantLinked(p)
	o := h.load().Current.Origin
	if g.ID != 1 || o.Issuer != "test" || o.Method != "sign" || o.Names[0] != "localhost" || time.Since(o.Time) > time.Minute || o.Adopted() {
		t.Errorf("generation %d with origin %+v", g.ID, o)
	}
	if !s.Serves(h.opts.Paths.Cert) || !s.Serves(h.through().Cert) || s.Serves(h.opts.Paths.Key) || s.Serves("redis.crt") {
		t.Error("Serves is wrong")
	}
	if s.CertPath() != h.opts.Paths.Cert || s.CAPath() != h.opts.Paths.CA {
		t.Error(s.CertPath(), s.CAPath())
	}
	for path, want := range map[string]bool{
		h.opts.Paths.CA: true, h.through().CA: true, h.opts.SharedCA(): true, h.opts.Paths.Cert: false, "ca.crt": false, "/etc/redis/ca.crt": false,
	} {
		if s.ServesCA(path) != want {
			t.Errorf("ServesCA(%s) is %t", path, !want)
		}
	}
}

func TestRollBack(t *testing.T) {
	first, second := issue(t), issue(t)
	h := linked(t, first)
	h.put(second)
	h.wantLinked(second)
	h.must(h.store.Switch(1))
	h.wantLinked(first)
	wantErr(t, h.store.Switch(9), "generation 9", "no such")
}

func TestPutNeedsTheCAThatRedisNames(t *testing.T) {
	h := newFixture(t, true)
	s := h.open()
	p := issue(t)
	p.CA = nil
	_, err := s.Put(p, Origin{})
	wantErr(t, err, h.opts.Paths.CA, "no CA certificate")
	h.opts.Paths.CA = ""
	s.Close()
	h.open()
	h.put(p)
	if _, err := os.Lstat(h.through().CA); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty ca.crt, which redis refuses: %v", err)
	}
}

// What a restart reads, and an agent of another version wrote.
func TestReadIsLoadWithoutTheLock(t *testing.T) {
	p := issue(t)
	h := linked(t, p)
	write(t, filepath.Join(h.opts.Dir, disk.TemporaryPrefix+"current"), nil)
	st, err := Read(h.opts)
	h.must(err)
	if st.Current.Pair.Fingerprint() != p.Fingerprint() {
		t.Error("another pair")
	}
	if _, err := os.Stat(filepath.Join(h.opts.Dir, disk.TemporaryPrefix+"current")); err != nil {
		t.Errorf("a reader swept: %v", err)
	}
	h.opts.Dir += "-none"
	_, err = Read(h.opts)
	wantErr(t, err, h.opts.Dir)
}

func TestOpenSweeps(t *testing.T) {
	h := linked(t, issue(t))
	h.store.Close()
	gen := filepath.Join(h.opts.Dir, "generations", disk.TemporaryPrefix+"000009")
	h.must(os.Mkdir(gen, 0o700))
	write(t, filepath.Join(gen, "redis.key"), []byte("half"))
	h.must(os.Symlink("nowhere", filepath.Join(h.opts.Dir, disk.TemporaryPrefix+"current")))
	h.must(os.Symlink("nowhere", tmpLink(h.opts.Paths.Key)))
	h.open()
	h.noLeftovers()
}

// TestOthersAtTemporaryNames: whatever another program puts at the names that the agent
// uses for a moment stops no switch, and stays where it may be somebody's.
func TestOthersAtTemporaryNames(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"pipe":           func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory":      func(path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o700) },
		"file":           func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"link to itself": func(path string) error { return os.Symlink(path, path) },
	} {
		t.Run(name, func(t *testing.T) {
			p := issue(t)
			h := linked(t, issue(t))
			h.must(put(filepath.Join(h.opts.Dir, disk.TemporaryPrefix+"current")))
			h.must(put(filepath.Join(h.opts.Dir, "generations", disk.TemporaryPrefix+dirName(2))))
			h.must(put(filepath.Join(h.opts.Dir, disk.TemporaryPrefix+"found")))
			h.must(put(tmpLink(h.opts.Paths.Cert)))
			h.must(put(tmpLink(h.opts.Paths.Key)))
			h.must(os.Remove(h.opts.Paths.Cert))
			write(t, h.opts.Paths.Cert, []byte("something that a copy is kept of"))
			g := h.put(p)
			h.must(h.store.Switch(g.ID))
			h.must(relink(h.store))
			if _, err := os.Lstat(tmpLink(h.opts.Paths.Key)); err != nil && name != "link to itself" {
				t.Errorf("what another program put there is gone: %v", err)
			}
			for _, path := range []string{tmpLink(h.opts.Paths.Key), tmpLink(h.opts.Paths.Cert), filepath.Join(h.opts.Dir, disk.TemporaryPrefix+"current"), filepath.Join(h.opts.Dir, disk.TemporaryPrefix+"found")} {
				h.must(os.RemoveAll(path))
			}
			h.wantLinked(p)
		})
	}
}

func TestBrokenGenerationIsNoCandidate(t *testing.T) {
	for name, breaks := range map[string]func(dir string) error{
		"truncated certificate": func(d string) error { return os.Truncate(filepath.Join(d, "redis.crt"), 100) },
		"empty key":             func(d string) error { return os.Truncate(filepath.Join(d, "redis.key"), 0) },
		"no key":                func(d string) error { return os.Remove(filepath.Join(d, "redis.key")) },
		"no origin":             func(d string) error { return os.Remove(filepath.Join(d, "origin.json")) },
		"origin of another":     func(d string) error { return os.WriteFile(filepath.Join(d, "origin.json"), []byte("{}"), 0o600) },
		"no CA":                 func(d string) error { return os.Remove(filepath.Join(d, "ca.crt")) },
		"key of another":        func(d string) error { return os.WriteFile(filepath.Join(d, "redis.key"), keyPEM(t, issue(t)), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			first, second := issue(t), issue(t)
			h := linked(t, first)
			h.put(second)
			h.must(breaks(h.store.generation(1)))
			st := h.load()
			if g := st.All[0]; g.Err == nil || g.Pair != nil || g.ID != 1 {
				t.Fatalf("%+v", g)
			} else if !strings.Contains(name, "origin") && g.Leaf != first.Fingerprint() {
				t.Error("what it was is forgotten")
			}
			wantErr(t, h.store.Switch(1), "generation 1")
			h.wantLinked(second)
		})
	}
}

func TestCurrentGone(t *testing.T) {
	first, second := issue(t), issue(t)
	h := linked(t, first)
	h.put(second)
	h.must(os.RemoveAll(h.store.generation(2)))
	st := h.load()
	if st.Current == nil || st.Current.Err == nil || st.Current.ID != 2 || len(st.All) != 2 || st.Foreign != nil {
		t.Fatalf("%+v", st)
	}
	h.must(h.store.Switch(1))
	h.wantLinked(first)
	h.must(os.Remove(filepath.Join(h.opts.Dir, "current")))
	h.must(os.Mkdir(filepath.Join(h.opts.Dir, "current"), 0o700))
	_, err := h.store.Load()
	wantErr(t, err, "current", "move away")
}

func TestPrune(t *testing.T) {
	h := newFixture(t, false)
	h.opts.Keep = 1
	s := h.open()
	var pairs []*cert.Pair
	for range 7 {
		p := issue(t)
		pairs = append(pairs, p)
		h.put(p)
	}
	h.must(s.Switch(4))
	h.must(s.Prune(2))
	var left []int
	for _, g := range h.load().All {
		h.must(g.Err)
		left = append(left, g.ID)
	}
	if want := []int{2, 4, 6, 7}; !slices.Equal(left, want) { // named, current, previous, newest
		t.Fatalf("left %v, want %v", left, want)
	}
	h.noLeftovers()
	if g, err := s.Put(pairs[0], Origin{}); err != nil || g.ID != 8 {
		t.Fatalf("next is %+v, %v", g, err)
	}
}

// A damaged generation goes, but not what another program wrote into it.
func TestPruneKeepsForeignBytes(t *testing.T) {
	h := linked(t, issue(t))
	odd := []byte("not a certificate, but somebody's")
	write(t, h.opts.Paths.Cert, odd)
	h.put(issue(t))
	h.put(issue(t))
	h.must(h.store.Prune())
	if all := h.load().All; len(all) != 2 || all[0].ID != 2 {
		t.Fatalf("%+v", all)
	}
	if !h.found()[string(odd)] {
		t.Error("the bytes are lost")
	}
	h.noLeftovers()
}

func TestSymlinkedDirectory(t *testing.T) {
	h := newFixture(t, true)
	real := filepath.Join(h.root, "real")
	h.must(os.MkdirAll(filepath.Join(real, "agent"), 0o750))
	h.must(os.Symlink(real, filepath.Join(h.root, "link")))
	h.opts.Dir = filepath.Join(h.root, "link", "agent")
	h.open()
	p := issue(t)
	h.put(p)
	h.must(relink(h.store))
	h.wantLinked(p)
	if !h.store.Serves(filepath.Join(real, "agent", "current", "redis.crt")) {
		t.Error("the real path does not serve")
	}
}

// A path that leads through current already must not become a link to itself.
func TestPathsThatAreCurrent(t *testing.T) {
	for name, dir := range map[string]string{"current itself": "agent/current", "directory link": "tls"} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, false)
			if dir == "tls" {
				h.must(os.Symlink("agent/current", filepath.Join(h.root, "tls")))
			}
			d := filepath.Join(h.root, dir)
			h.opts.Paths = Paths{filepath.Join(d, "redis.crt"), filepath.Join(d, "redis.key"), filepath.Join(d, "ca.crt")}
			h.open()
			p := issue(t)
			h.put(p)
			h.must(relink(h.store))
			h.wantLinked(p)
		})
	}
}

func TestOriginNamesNoSecret(t *testing.T) {
	p := issue(t)
	h := linked(t, p)
	text, err := os.ReadFile(filepath.Join(h.store.generation(1), "origin.json"))
	h.must(err)
	key := keyPEM(t, p)
	for _, line := range bytes.Split(key, []byte("\n"))[1:] {
		if len(line) > 0 && bytes.Contains(text, line) {
			t.Errorf("%s", text)
		}
	}
}

func FuzzOrigin(f *testing.F) {
	f.Add([]byte(`{"issuer":"x","method":"sign","time":"2026-01-02T03:04:05Z","leaf_sha256":"` + strings.Repeat("0", 64) + `","chain_sha256":"` + strings.Repeat("a", 64) + `"}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"leaf_sha256":"00"} {}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRecord(text)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatalf("%q parses but does not encode: %v", text, err)
		}
		back, err := parseRecord(again)
		if err != nil || back.leaf() != r.leaf() || back.Chain != r.Chain || back.CA != r.CA || !back.Time.Equal(r.Time) {
			t.Fatalf("%q: %+v became %+v, %v", text, r, back, err)
		}
	})
}
