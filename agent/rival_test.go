package agent

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/status"
)

// A rivalWorld is one Redis whose plain files several programs renew.
type rivalWorld struct {
	t      *testing.T
	dir    string
	plain  string // the directory of the plain files
	redis  *testRedis
	agents []*world
	stop   context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex // what the other program does, and what the test does to it and reads
	changes int        // how often the certificate at the plain path became another file
	act     func()     // what the other program does each second; nil: nothing
}

// newRivalWorld makes n agents for the same plain files, each with its own directory and
// authority.
func newRivalWorld(t *testing.T, dir string, n int) *rivalWorld {
	t.Helper()
	r := &rivalWorld{t: t, dir: dir, plain: filepath.Join(dir, "tls", "current"), ended: make(chan struct{})}
	if err := os.MkdirAll(r.plain, 0o750); err != nil {
		t.Fatal(err)
	}
	r.redis = &testRedis{dir: filepath.Dir(r.plain)}
	file := func(name string) string { return filepath.Join(r.plain, name) }
	root := newTestCA(t, 24*time.Hour)
	var hints []chan struct{}
	for i := range n {
		authority := *root // one root, and counts of its own
		w := &world{t: t, ca: &authority, redis: []*testRedis{r.redis}}
		var err error
		w.store, err = pair.Open(pair.Options{Dir: filepath.Join(dir, string(rune('a'+i))), UID: -1, GID: -1, Mode: 0o640, Keep: 3,
			Paths: pair.Paths{Cert: file("redis.crt"), Key: file("redis.key"), CA: file("ca.crt")}})
		if err != nil {
			t.Fatal(err)
		}
		w.agent = New(Options{
			Store: w.store, Authorities: []Authority{{Issuer: w.ca}}, Names: []string{"redis.internal", "127.0.0.1"}, KeyType: cert.P256,
			Policy: plan.Policy{Jitter: 0.05}, Servers: []Server{{Name: "redis", Redis: &testServer{r.redis}}},
			Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Board: new(status.Board), Clock: w.clock,
		})
		r.agents = append(r.agents, w)
		hints = append(hints, make(chan struct{}, 1))
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	for i, w := range r.agents {
		w.alarm, w.cancel, w.done = newBubbleAlarm(), cancel, make(chan error, 1)
		go func() { w.done <- w.agent.Run(ctx, w.alarm, hints[i]) }()
	}
	go r.watch(ctx, hints)
	return r
}

// watch looks each second whether the files changed, as an event of them tells, and lets
// the other program act.
func (r *rivalWorld) watch(ctx context.Context, hints []chan struct{}) {
	defer close(r.ended)
	last := ""
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.mu.Lock()
		if r.act != nil {
			r.act()
		}
		target, _ := os.Readlink(filepath.Join(r.plain, "redis.crt"))
		text, _ := os.ReadFile(filepath.Join(r.plain, "redis.crt"))
		if now := target + string(text); now != last {
			last = now
			r.changes++
			for _, h := range hints {
				select {
				case h <- struct{}{}:
				default:
				}
			}
		}
		r.mu.Unlock()
	}
}

// between does something while the other program does nothing.
func (r *rivalWorld) between(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
}

func (r *rivalWorld) end() {
	r.stop()
	<-r.ended
	for _, w := range r.agents {
		w.stop()
	}
}

// served is what Redis would load now; every program wants it to be good.
func (r *rivalWorld) good(t *testing.T) {
	t.Helper()
	if left := time.Until(r.redis.serves.Leaf().NotAfter); left <= 0 {
		t.Fatalf("redis serves a certificate that ended %v ago", -left)
	}
}

// renewer is another program that puts a pair of its own there whenever it sees another.
type renewer struct {
	ca     *testCA
	plain  string
	last   []byte
	since  time.Time
	alive  bool
	wait   time.Duration
	issued int
}

func (p *renewer) act(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(p.plain, "redis.crt"))
	if err != nil || !p.alive || bytes.Equal(text, p.last) {
		p.since = time.Time{}
		return
	}
	if p.since.IsZero() {
		p.since = time.Now()
	}
	if time.Since(p.since) < p.wait {
		return
	}
	issued, err := p.ca.Issue(t.Context(), ca.Request{Names: []string{"redis.internal", "127.0.0.1"}, KeyType: cert.P256})
	if err != nil {
		t.Error(err)
		return
	}
	p.issued++
	made, err := cert.New(issued.Chain, issued.Key, issued.Roots)
	if err != nil {
		t.Error(err)
		return
	}
	key, err := made.KeyPEM()
	if err != nil {
		t.Error(err)
	}
	p.last = made.CertPEM()
	for name, text := range map[string][]byte{"redis.key": key, "redis.crt": p.last} {
		path := filepath.Join(p.plain, name)
		_ = os.Remove(path + ".tmp")
		if err := os.WriteFile(path+".tmp", text, 0o640); err != nil {
			t.Error(err)
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			t.Error(err)
		}
	}
}

// Another program puts its own pair there after each rotation of the agent. It is named
// when it has done so twice, and the agent gives way: it takes in and loads what that
// program renews, and renews only when that program leaves a certificate near its end.
func TestAnotherRenewer(t *testing.T) {
	for _, tt := range []struct {
		name     string
		lifetime time.Duration // of the certificates of the other program
	}{
		{"of a day", 24 * time.Hour},
		{"of an hour", time.Hour},
		{"of five minutes", 5 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				r := newRivalWorld(t, dir, 1)
				defer r.end()
				w := r.agents[0]
				theirs := w.ca.another()
				theirs.lifetime = tt.lifetime
				p := &renewer{ca: theirs, plain: r.plain, wait: 30 * time.Second}
				r.between(func() { r.act = func() { p.act(t) } })
				synctest.Wait()
				r.redis.start(t)
				pass(time.Minute)
				r.between(func() { p.alive = true })
				days := 3
				if tt.lifetime < time.Hour {
					days = 1
				}
				for range days * 24 {
					pass(time.Hour)
					r.good(t)
				}
				kinds := w.kinds()
				r.mu.Lock()
				if !slices.Contains(kinds, status.AnotherRenewer) {
					t.Errorf("after %d pairs of the other program: problems %q", p.issued, kinds)
				}
				t.Logf("%d issued by the agent, %d by the other, %d changes", w.ca.issued, p.issued, r.changes)
				if most := 3 + int(time.Duration(days)*24*time.Hour/(tt.lifetime*8/10)); w.ca.issued > most {
					t.Errorf("%d certificates issued in %d days beside certificates of %v, at most %d", w.ca.issued, days, tt.lifetime, most)
				}
				// It is removed: the agent goes on alone, and nothing is wrong.
				p.alive = false
				r.mu.Unlock()
				pass(60 * time.Hour)
				r.good(t)
				if kinds := w.kinds(); len(kinds) > 0 {
					t.Errorf("the other program is gone: problems %q", kinds)
				}
			})
		})
	}
}

// Two agents on the same files do not replace each other's links and pairs for ever, and
// both say so.
func TestTwoAgentsOnTheSameFiles(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newRivalWorld(t, dir, 2)
		defer r.end()
		synctest.Wait()
		pass(time.Minute)
		r.redis.start(t)
		const days = 4
		for range days * 24 {
			pass(time.Hour)
			r.good(t)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		issued := r.agents[0].ca.issued + r.agents[1].ca.issued
		t.Logf("%d issued, %d changes, reloads %d", issued, r.changes, r.redis.reloads)
		if issued > 4*days || r.changes > 40*days {
			t.Errorf("%d certificates and %d changes of the files in %d days", issued, r.changes, days)
		}
		for i, w := range r.agents {
			if kinds := w.kinds(); !slices.Contains(kinds, status.AnotherRenewer) {
				t.Errorf("agent %d: problems %q", i, kinds)
			}
		}
		text := ""
		for _, p := range r.agents[0].agent.opt.Board.Get().Problems() {
			text += p.Text
		}
		if !strings.Contains(text, "redis.crt") {
			t.Errorf("the problem names no file: %q", text)
		}
	})
}

// Beside a program that renews by its own clock, as smallstep's timer does, the agent takes
// in what that renews, and issues nothing more.
func TestGivesWayToAnotherRenewersClock(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newRivalWorld(t, dir, 1)
		defer r.end()
		w := r.agents[0]
		p := &renewer{ca: w.ca.another(), plain: r.plain, alive: true}
		var next time.Time
		r.between(func() {
			r.act = func() {
				if now := time.Now(); !next.IsZero() && now.After(next) {
					next, p.last = now.Add(16*time.Hour), nil
					p.act(t)
				}
			}
		})
		synctest.Wait()
		r.redis.start(t)
		pass(time.Minute)
		r.between(func() { next = time.Now() })
		for range 6 * 24 {
			pass(time.Hour)
			r.good(t)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if w.ca.issued > 2 || p.issued < 8 {
			t.Errorf("%d issued by the agent, %d by the other", w.ca.issued, p.issued)
		}
		if leaf := r.redis.serves.Leaf(); !bytes.Contains(p.last, (&cert.Pair{Chain: []*x509.Certificate{leaf}}).CertPEM()) {
			t.Error("redis does not serve what the other program renewed last")
		}
	})
}
