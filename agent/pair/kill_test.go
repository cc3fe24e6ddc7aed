package pair

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload/redistest"
)

// A scenario is a state of the disk and what a process does to it.
type scenario struct {
	name   string
	setup  func(t testing.TB, a, b *cert.Pair) *fixture
	verbs  []string
	broken bool // the plain paths hold no pair before, so they need hold none on the way
	same   bool // the second pair has the key of the first
	owned  bool // the files get an owner and a group
}

// scenarios are all ways in which the agent changes what redis reads. Of the
// pairs a and b, a is the one that was there first.
var scenarios = []scenario{
	{name: "rotate", setup: func(t testing.TB, a, _ *cert.Pair) *fixture { return linked(t, a) }, verbs: []string{"put", "prune"}},
	{name: "share and remember", setup: func(t testing.TB, a, _ *cert.Pair) *fixture { return linked(t, a) }, verbs: []string{"put", "share", "remember"}},
	{name: "rotate for a group", setup: func(t testing.TB, a, _ *cert.Pair) *fixture { return linked(t, a) }, verbs: []string{"put"}, owned: true},
	{name: "roll back", setup: func(t testing.TB, a, b *cert.Pair) *fixture {
		h := linked(t, b)
		h.put(a)
		return h
	}, verbs: []string{"back"}},
	{name: "adopt plain files", setup: func(t testing.TB, a, _ *cert.Pair) *fixture {
		h := newFixture(t, true)
		lay(t, h.files(), a)
		return h
	}, verbs: []string{"adopt"}},
	{name: "adopt replaced files", setup: func(t testing.TB, a, b *cert.Pair) *fixture {
		h := linked(t, b)
		lay(t, h.files(), a)
		return h
	}, verbs: []string{"adopt"}},
	{name: "adopt a replaced certificate", setup: func(t testing.TB, a, b *cert.Pair) *fixture {
		h := linked(t, a)
		overwrite(t, h.opts.Paths.Cert, b.CertPEM())
		return h
	}, verbs: []string{"adopt"}, same: true},
	{name: "adopt what was written in place", setup: func(t testing.TB, a, b *cert.Pair) *fixture {
		h := linked(t, b)
		write(t, h.opts.Paths.Cert, a.CertPEM())
		write(t, h.opts.Paths.Key, keyPEM(t, a))
		return h
	}, verbs: []string{"adopt"}},
	{name: "rotate over plain files", setup: func(t testing.TB, a, _ *cert.Pair) *fixture {
		h := newFixture(t, true)
		lay(t, h.files(), a)
		return h
	}, verbs: []string{"put", "link"}},
	{name: "rotate half linked", setup: func(t testing.TB, a, _ *cert.Pair) *fixture {
		h := linked(t, a)
		overwrite(t, h.opts.Paths.Key, keyPEM(t, a))
		return h
	}, verbs: []string{"put", "link"}},
	{name: "rotate half replaced", setup: func(t testing.TB, a, b *cert.Pair) *fixture {
		h := linked(t, b)
		overwrite(t, h.opts.Paths.Cert, a.CertPEM())
		return h
	}, verbs: []string{"put", "link"}, same: true},
	{name: "rotate over broken files", setup: func(t testing.TB, a, _ *cert.Pair) *fixture {
		h := linked(t, a)
		overwrite(t, h.opts.Paths.Key, []byte("broken"))
		overwrite(t, h.opts.Paths.CA, []byte("broken too"))
		return h
	}, verbs: []string{"put", "link"}, broken: true},
}

func (sc scenario) pairs(t testing.TB) (a, b *cert.Pair) {
	a = issue(t)
	if sc.same {
		return a, reissue(t, a)
	}
	return a, issue(t)
}

// build makes the state anew and returns it with the job to do.
func (sc scenario) build(t testing.TB, a, b, fresh *cert.Pair) (*fixture, job) {
	// A process that another test forks meanwhile would hold the lock until
	// its exec, longer than this store is open.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	h := sc.setup(t, a, b)
	if h.store != nil {
		h.store.Close()
	}
	if sc.owned {
		h.opts.UID, h.opts.GID = os.Getuid(), os.Getgid()
		if os.Getuid() == 0 {
			h.opts.UID, h.opts.GID = 23456, 12345
		}
	}
	return h, job{Options: h.opts, Verbs: sc.verbs, New: texts{fresh.CertPEM(), keyPEM(t, fresh), fresh.CAPEM()}}
}

// TestKilled kills the agent at the first system call that can change the disk,
// then, from the same start, at the second, and so on until it gets to its end.
// After each kill, with nothing else run, redis must be able to start.
func TestKilled(t *testing.T) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			a, b := sc.pairs(t)
			fresh := issue(t)
			_, j := sc.build(t, a, b, fresh)
			log := filepath.Join(t.TempDir(), "strace")
			started := map[string]bool{}
			work := slices.DeleteFunc(calls(t, j, afterOpen(j)), call.reads)
			for i, c := range work {
				h, j := sc.build(t, a, b, fresh)
				out, killed, err := straced(t, j, log, c.inject("signal=KILL")...)
				where := fmt.Sprintf("call %d of %d (%s)", i+1, len(work), lastCall(t, log))
				if !killed || !strings.Contains(where, " "+c.name+"(") {
					t.Fatalf("killed %v at %s, wanted at %s: %v: %s", killed, where, c.text, err, out)
				}
				h.checkDisk(where, sc.broken, started)
				h.checkModes(where)
				h.recovers(where, sc, fresh)
			}
			h, j := sc.build(t, a, b, fresh)
			if out, _, err := straced(t, j, log); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			h.checkDisk("the end", false, started)
			h.checkModes("the end")
			t.Logf("killed at %d calls, redis started on %d states", len(work), len(started))
		})
	}
}

func lastCall(t testing.TB, log string) string {
	t.Helper()
	lines := logged(t, log)
	pid, _, _ := strings.Cut(lines[0], " ")
	for _, line := range slices.Backward(lines) {
		// strace does not know what the other threads died in.
		if strings.HasPrefix(line, pid) && strings.Contains(line, "(") && !strings.Contains(line, "???") {
			return line
		}
	}
	return ""
}

// checkDisk looks at the disk as redis would after a start of the host. A real
// redis-server starts for each state that was not seen before.
func (h *fixture) checkDisk(where string, broken bool, started map[string]bool) {
	h.t.Helper()
	ways := map[string]redistest.Files{"plain paths": h.files()}
	if _, err := os.Lstat(filepath.Join(h.opts.Dir, "current")); err == nil {
		ways["current"] = h.through()
	}
	for way, f := range ways {
		p, err := parseFiles(f)
		if err != nil || len(p.CA) == 0 {
			if way == "plain paths" && broken {
				continue
			}
			h.t.Fatalf("killed at %s: %s: %v", where, way, err)
		}
		sum := sha256.New()
		for _, path := range []string{f.Cert, f.Key, f.CA} {
			target, _ := os.Readlink(path)
			text, err := os.ReadFile(path)
			h.must(err)
			fmt.Fprintf(sum, "%s %q %q\n", way, filepath.Base(target), text)
		}
		if state := string(sum.Sum(nil)); !started[state] {
			started[state] = true
			h.startRedis(where, f, p)
		}
	}
}

// startRedis starts a redis-server on f and looks at what it serves.
func (h *fixture) startRedis(where string, f redistest.Files, p *cert.Pair) {
	h.t.Helper()
	r := redistest.Start(h.t, redistest.Options{Files: f})
	defer r.Stop()
	conn, err := tls.Dial("tcp", r.Addr, &tls.Config{RootCAs: cert.Pool(p.CA), ServerName: "localhost"})
	if err != nil {
		h.t.Fatalf("killed at %s: %v", where, err)
	}
	defer conn.Close()
	if leaf := conn.ConnectionState().PeerCertificates[0]; !leaf.Equal(p.Leaf()) {
		h.t.Fatalf("killed at %s: redis serves another certificate", where)
	}
}

// checkModes fails when a file has content before it has its mode, or is more
// open than it may ever be.
func (h *fixture) checkModes(where string) {
	h.t.Helper()
	for _, path := range tree(h.t, h.opts.Dir) {
		fi, err := os.Lstat(path)
		h.must(err)
		mode := fi.Mode().Perm()
		st := fi.Sys().(*syscall.Stat_t)
		mine := strings.Contains(path, "000002/") && filepath.Base(path) != "origin.json" && fi.Size() > 0
		if mine && h.opts.GID != -1 && (int(st.Uid) != h.opts.UID || int(st.Gid) != h.opts.GID) {
			h.t.Fatalf("killed at %s: %s has content and belongs to %d:%d", where, path, st.Uid, st.Gid)
		}
		shared := strings.Contains(filepath.Base(path), "ca.crt") && filepath.Dir(path) == h.opts.Dir
		switch {
		case fi.Mode()&fs.ModeSymlink != 0:
		case path == h.opts.Dir:
			if mode != 0o751 {
				h.t.Fatalf("killed at %s: directory %s has mode %v", where, path, mode)
			}
		case shared && (mode == 0o644 || mode == 0o600):
		case fi.IsDir():
			visible := filepath.Base(path) == "000002"
			if mode&^0o750 != 0 || visible && (mode != 0o750 || h.opts.GID != -1 && int(st.Gid) != h.opts.GID) {
				h.t.Fatalf("killed at %s: directory %s has mode %v and group %d", where, path, mode, st.Gid)
			}
		case fi.Size() == 0 && mode&^0o640 == 0:
		case strings.HasPrefix(filepath.Base(filepath.Dir(path)), "found") || filepath.Base(path) == "lock" || strings.Contains(filepath.Base(path), "seen"):
			if mode != 0o600 {
				h.t.Fatalf("killed at %s: %s has mode %v", where, path, mode)
			}
		case mode != 0o640:
			h.t.Fatalf("killed at %s: %s has content and mode %v", where, path, mode)
		}
	}
}

// recovers checks that the next start of the agent sweeps and can go on.
func (h *fixture) recovers(where string, sc scenario, fresh *cert.Pair) {
	h.t.Helper()
	s, err := Open(h.opts)
	if err != nil {
		h.t.Fatalf("killed at %s: %v", where, err)
	}
	defer s.Close()
	h.noLeftovers()
	st, err := s.Load()
	h.must(err)
	if slices.ContainsFunc(st.All, func(g *Generation) bool { return g.Origin.Adopted() }) && sc.verbs[0] != "adopt" {
		h.t.Fatalf("killed at %s: what another program wrote looks as if it had been taken in", where)
	}
	if st.Foreign != nil && st.Foreign.Pair != nil && sc.verbs[0] == "adopt" {
		_, err = s.Adopt(st.Foreign, Origin{Method: Adopted})
	} else {
		var g *Generation
		if g, err = s.Put(fresh, Origin{}); err == nil {
			err = s.Switch(g.ID)
		}
	}
	if err == nil {
		err = relink(s)
	}
	if err != nil {
		h.t.Fatalf("killed at %s: %v", where, err)
	}
	h.store, h.loader = s, s
	st, err = s.Load()
	if err != nil || st.Foreign != nil || len(st.Unlinked) > 0 || slices.ContainsFunc(st.All, func(g *Generation) bool { return g.Origin.Kept() }) {
		h.t.Fatalf("killed at %s: %+v, %v", where, st, err)
	}
	if _, err := parseFiles(h.files()); err != nil {
		h.t.Fatalf("killed at %s: %v", where, err)
	}
	h.noLeftovers()
}
