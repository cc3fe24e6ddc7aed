package agent

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/reload"
)

// An externalWorld is a world in which another program renews. Its Redis reads the
// files of that program.
type externalWorld struct {
	*world
	path  string // of those files
	hints chan struct{}
	log   *bytes.Buffer
}

// run starts the loop, which hint wakes.
func (g *externalWorld) run() {
	ctx, cancel := context.WithCancel(g.t.Context())
	g.alarm, g.cancel, g.done, g.hints = newBubbleAlarm(), cancel, make(chan error, 1), make(chan struct{})
	go func() { g.done <- g.agent.Run(ctx, g.alarm, g.hints) }()
}

// newExternalWorld makes such a world with n servers that are down, and a first pair.
func newExternalWorld(t *testing.T, dir string, n int) *externalWorld {
	t.Helper()
	w := &world{t: t, ca: newTestCA(t, 24*time.Hour)}
	g := &externalWorld{world: w, path: filepath.Join(dir, "external", "current")}
	if err := os.MkdirAll(g.path, 0o700); err != nil {
		t.Fatal(err)
	}
	for range n {
		w.redis = append(w.redis, &testRedis{dir: filepath.Dir(g.path)})
	}
	g.renewal().put(t, g.path)
	g.come(dir)
	return g
}

// come opens the store and makes the agent, as after a start of the process.
func (g *externalWorld) come(dir string, change ...func(*Options)) {
	g.t.Helper()
	g.log = new(bytes.Buffer)
	g.open(filepath.Join(dir, "agent"), append(change, func(o *Options) {
		o.Store.Close()
		var err error
		file := func(name string) string { return filepath.Join(g.path, name) }
		g.store, err = pair.OpenExternal(pair.ExternalOptions{Dir: filepath.Join(dir, "agent"), GID: -1,
			Paths: pair.Paths{Cert: file("redis.crt"), Key: file("redis.key"), CA: file("ca.crt")}})
		if err != nil {
			g.t.Fatal(err)
		}
		o.Store, o.Authorities = g.store, nil
		o.Log = slog.New(slog.NewTextHandler(g.log, nil))
	})...)
}

// files are what another program puts there.
type files map[string][]byte

// renewal makes a pair for the configured names, or for those.
func (g *externalWorld) renewal(names ...string) files {
	g.t.Helper()
	if names == nil {
		names = []string{"redis.internal", "127.0.0.1"}
	}
	i, err := g.ca.Issue(g.t.Context(), ca.Request{Names: names, KeyType: cert.P256})
	if err != nil {
		g.t.Fatal(err)
	}
	p, err := cert.New(i.Chain, i.Key, i.Roots)
	if err != nil {
		g.t.Fatal(err)
	}
	key, err := p.KeyPEM()
	if err != nil {
		g.t.Fatal(err)
	}
	return files{"redis.crt": p.CertPEM(), "redis.key": key, "ca.crt": p.CAPEM()}
}

// put writes all files, or those named.
func (f files) put(t *testing.T, dir string, names ...string) {
	t.Helper()
	for name, text := range f {
		if names != nil && !slices.Contains(names, name) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (f files) leaf(t *testing.T) *x509.Certificate {
	t.Helper()
	certs, err := cert.ParseCertificates(f["redis.crt"])
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}

// hint lets the loop look at the disk, as an event of a file does.
func (g *externalWorld) hint() {
	g.hints <- struct{}{}
	synctest.Wait()
}

// TestMonitorsForWeeks: another program renews each day. Every server shows each
// renewal, nothing else is done to it, and nobody issues.
func TestMonitorsForWeeks(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := newExternalWorld(t, dir, 2)
		for _, r := range g.redis {
			r.start(t)
		}
		g.run()
		defer g.stop()
		synctest.Wait()
		const days = 21
		for range days {
			next := g.renewal()
			next.put(t, g.path)
			g.hint()
			for i, r := range g.redis {
				if !r.serves.Leaf().Equal(next.leaf(t)) {
					t.Fatalf("server %d does not show the renewal", i)
				}
			}
			pass(23 * time.Hour)
		}
		for i, r := range g.redis {
			if r.reloads != days {
				t.Errorf("server %d was reloaded %d times for %d renewals", i, r.reloads, days)
			}
		}
		if s := g.agent.opt.Board.Get(); s.Verdict() != "ok" || s.Rotations != days || !s.Due.IsZero() || !s.MonitorOnly || s.Next.Action != "" {
			t.Errorf("status %+v", s)
		}
		if strings.Contains(g.log.String(), "level=WARN") || strings.Contains(g.log.String(), "level=ERROR") {
			t.Errorf("logged:\n%s", g.log)
		}
	})
}

// TestMonitorsAHandAtWork: what is broken between two writes alarms nobody, and
// what stays broken is named once, without an end to the good one in memory.
func TestMonitorsAHandAtWork(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := newExternalWorld(t, dir, 1)
		g.redis[0].start(t)
		g.run()
		defer g.stop()
		synctest.Wait()
		first := g.redis[0].serves.Leaf()
		next := g.renewal()

		next.put(t, g.path, "redis.crt")
		g.hint()
		pass(settleTime - time.Second)
		s := g.agent.opt.Board.Get()
		if s.Verdict() != "ok" || s.LastError != nil || s.Pair.Serial != cert.Serial(first) {
			t.Errorf("while the other program is at work: %s", s.Line())
		}
		pass(2 * time.Second)
		s = g.agent.opt.Board.Get()
		if s.Verdict() != "degraded" || s.Pair != nil || s.LastError == nil || !strings.Contains(s.LastError.Text, "one that starts now fails") {
			t.Errorf("when it does not come back: %s", s.Line())
		}
		pass(time.Hour)
		if n := strings.Count(g.log.String(), journal.ForeignBad.ID); n != 1 {
			t.Errorf("named %d times", n)
		}
		if g.redis[0].reloads != 0 || !g.redis[0].serves.Leaf().Equal(first) {
			t.Error("a broken pair was loaded")
		}

		// Another bad one is named at once to a person who asks.
		files{"redis.crt": []byte("half")}.put(t, g.path)
		if err := g.renew(false); err == nil || !strings.Contains(err.Error(), "redis.crt: no CERTIFICATE block") {
			t.Errorf("renew says %v", err)
		}

		next.put(t, g.path)
		g.hint()
		if !g.redis[0].serves.Leaf().Equal(next.leaf(t)) || g.agent.opt.Board.Get().Verdict() != "ok" {
			t.Errorf("the good one is not loaded: %s", g.agent.opt.Board.Get().Line())
		}
	})
}

// TestMonitorsBadPairs: what clients would refuse is not loaded, and the good
// one that comes after it is.
func TestMonitorsBadPairs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*externalWorld) files
		want  string
	}{
		{"other names", func(g *externalWorld) files { return g.renewal("elsewhere.internal") }, "it is not for redis.internal"},
		{"expired", func(g *externalWorld) files {
			g.ca.spoil = func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
			}
			return g.renewal()
		}, "it expired"},
		{"not valid for a day", func(g *externalWorld) files {
			g.ca.spoil = func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour)
			}
			return g.renewal()
		}, "it is not valid before"},
		{"for clients only", func(g *externalWorld) files {
			g.ca.spoil = func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
			return g.renewal()
		}, "lacks serverAuth"},
		{"of another CA", func(g *externalWorld) files {
			f := g.renewal()
			f["ca.crt"] = (&cert.Pair{CA: []*x509.Certificate{newTestCA(g.t, time.Hour).root}}).CAPEM()
			return f
		}, "does not chain"},
		{"without a CA", func(g *externalWorld) files { f := g.renewal(); f["ca.crt"] = []byte("none"); return f }, "ca.crt: no CERTIFICATE"},
		{"for servers only, where redis is a replica", func(g *externalWorld) files {
			g.redis[0].client = true
			g.ca.spoil = func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
			return g.renewal()
		}, "lacks clientAuth"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				g := newExternalWorld(t, dir, 1)
				g.redis[0].start(t)
				g.run()
				defer g.stop()
				synctest.Wait()
				first := g.redis[0].serves.Leaf()
				tt.spoil(g).put(t, g.path)
				g.hint()
				pass(2 * settleTime)
				if !g.redis[0].serves.Leaf().Equal(first) || g.redis[0].reloads != 0 {
					t.Error("it was loaded")
				}
				if s := g.agent.opt.Board.Get(); s.Verdict() == "ok" || s.LastError == nil || !strings.Contains(s.LastError.Text, tt.want) || !strings.Contains(s.LastError.Text, "not loaded") {
					t.Errorf("status %q, want %q", s.Line(), tt.want)
				}
				g.ca.spoil = nil
				next := g.renewal()
				next.put(t, g.path)
				g.hint()
				if s := g.agent.opt.Board.Get(); !g.redis[0].serves.Leaf().Equal(next.leaf(t)) || s.Verdict() != "ok" {
					t.Errorf("after it: %s", s.Line())
				}
			})
		})
	}
}

// TestMonitorsValidity: a pair that is not valid yet is loaded when it is, and
// one that ends is said to have ended, with nothing to wake the loop but time.
func TestMonitorsValidity(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := newExternalWorld(t, dir, 1)
		g.redis[0].start(t)
		g.run()
		defer g.stop()
		synctest.Wait()
		g.ca.spoil = func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }
		next := g.renewal()
		next.put(t, g.path)
		g.hint()
		pass(59 * time.Minute)
		if g.redis[0].serves.Leaf().Equal(next.leaf(t)) {
			t.Error("loaded before clients accept it")
		}
		pass(2 * time.Minute)
		if !g.redis[0].serves.Leaf().Equal(next.leaf(t)) {
			t.Error("not loaded when it became valid")
		}
		sets := g.alarm.sets
		pass(22 * time.Hour)
		if s := g.agent.opt.Board.Get(); s.Verdict() != "ok" || g.alarm.sets != sets {
			t.Errorf("%s, after %d wakes", s.Line(), g.alarm.sets-sets)
		}
		pass(2 * time.Hour)
		if s := g.agent.opt.Board.Get(); s.Verdict() != "expired" || !strings.Contains(s.FilesError, "redis serves, is no good: it expired at") {
			t.Errorf("after the end: %s", s.Line())
		}
		if g.redis[0].reloads != 1 {
			t.Errorf("%d reloads", g.redis[0].reloads)
		}
	})
}

// TestMonitorsAnOlderPair: the other program decides, also to go back.
func TestMonitorsAnOlderPair(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := newExternalWorld(t, dir, 1)
		first := g.renewal()
		pass(time.Minute)
		g.renewal().put(t, g.path)
		g.redis[0].start(t)
		g.run()
		defer g.stop()
		synctest.Wait()
		first.put(t, g.path)
		g.hint()
		if !g.redis[0].serves.Leaf().Equal(first.leaf(t)) {
			t.Error("an older pair is not loaded")
		}
	})
}

// TestMonitorsTheBundle: a change that a handshake does not show is told to
// every server, until each has taken it.
func TestMonitorsTheBundle(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := newExternalWorld(t, dir, 2)
		for _, r := range g.redis {
			r.start(t)
		}
		g.run()
		defer g.stop()
		synctest.Wait()
		g.redis[1].says = reload.ErrBusy
		text, err := os.ReadFile(filepath.Join(g.path, "ca.crt"))
		if err != nil {
			t.Fatal(err)
		}
		another := (&cert.Pair{CA: []*x509.Certificate{newTestCA(t, time.Hour).root}}).CAPEM()
		files{"ca.crt": append(text, another...)}.put(t, g.path)
		g.hint()
		if g.redis[0].reloads != 1 || len(g.redis[0].serves.CA) != 2 {
			t.Error("the first server was not told")
		}
		g.redis[1].says = nil
		pass(time.Minute)
		if g.redis[0].reloads != 1 || g.redis[1].reloads != 1 || len(g.redis[1].serves.CA) != 2 {
			t.Errorf("%d and %d reloads, want one each", g.redis[0].reloads, g.redis[1].reloads)
		}
		// A comment is no change.
		files{"ca.crt": append([]byte("# ours and another\n"), append(text, another...)...)}.put(t, g.path)
		g.hint()
		if g.redis[0].reloads != 1 {
			t.Error("reloaded for a comment")
		}
	})
}

// TestMonitorsWithoutTheKey: whether it matches cannot be seen, so that the
// other program gets its time; and then redis is told.
func TestMonitorsWithoutTheKey(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := newExternalWorld(t, dir, 1)
		g.redis[0].start(t)
		locked := files{"redis.key": []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")}
		locked.put(t, g.path)
		g.run()
		defer g.stop()
		synctest.Wait()
		if s := g.agent.opt.Board.Get(); s.Verdict() != "ok" {
			t.Errorf("%s", s.Line())
		}
		next := g.renewal()
		next.put(t, g.path, "redis.crt")
		g.hint()
		pass(settleTime - time.Second)
		if g.redis[0].reloads != 0 {
			t.Error("told before the other program had its time")
		}
		next.put(t, g.path) // and the key, which this redis can read
		pass(2 * time.Second)
		if !g.redis[0].serves.Leaf().Equal(next.leaf(t)) {
			t.Error("not told")
		}
		if n := strings.Count(g.log.String(), "the key cannot be checked"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

// TestMonitorsWithoutAPair: the boot does not hang, and the first pair is loaded
// by whoever starts with it.
func TestMonitorsWithoutAPair(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := newExternalWorld(t, dir, 1)
		first := g.renewal()
		if err := os.RemoveAll(g.path); err != nil {
			t.Fatal(err)
		}
		g.run()
		defer g.stop()
		synctest.Wait()
		if !g.agent.process.ready || !strings.Contains(g.log.String(), "another program has to put it there") {
			t.Errorf("ready %v, logged\n%s", g.agent.process.ready, g.log)
		}
		pass(time.Minute)
		if s := g.agent.opt.Board.Get(); s.Verdict() != "no certificate" || !strings.Contains(s.FilesError, "no such file") {
			t.Errorf("%s", s.Line())
		}
		if err := os.Mkdir(g.path, 0o700); err != nil {
			t.Fatal(err)
		}
		first.put(t, g.path)
		g.redis[0].start(t)
		pass(2 * time.Minute) // and no hint: a mount gives none
		if s := g.agent.opt.Board.Get(); s.Verdict() != "ok" {
			t.Errorf("%s", s.Line())
		}
	})
}

// TestMonitorIssuesNothing: not for a person, not for the clock, and not after
// the end.
func TestMonitorIssuesNothing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := newExternalWorld(t, dir, 1)
		g.redis[0].start(t)
		g.agent.opt.Clock = func(now time.Time) (time.Time, error) { return now.Add(time.Hour), errors.New("not synchronised") }
		g.run()
		defer g.stop()
		synctest.Wait()
		if err := g.renew(true); !errors.Is(err, ErrExternal) {
			t.Errorf("renew --force says %v", err)
		}
		if err := g.renew(false); err != nil {
			t.Errorf("renew says %v", err)
		}
		if strings.Contains(g.log.String(), journal.ClockHeld.ID) {
			t.Error("the clock holds back what is not asked for")
		}
		pass(26 * time.Hour) // the certificate has one day
		if g.ca.asked != 1 {
			t.Errorf("%d certificates", g.ca.asked)
		}
		if err := g.renew(false); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("renew says %v", err)
		}
	})
}

// TestMonitorsOnAFullDisk: that nothing can be remembered is said once, and
// keeps nobody from loading.
func TestMonitorsOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := newExternalWorld(t, dir, 1)
		g.redis[0].start(t)
		if err := os.Mkdir(filepath.Join(dir, "agent", "seen"), 0o700); err != nil { // no file takes its place
			t.Fatal(err)
		}
		g.run()
		defer g.stop()
		synctest.Wait()
		next := g.renewal()
		next.put(t, g.path)
		g.hint()
		if !g.redis[0].serves.Leaf().Equal(next.leaf(t)) || g.agent.opt.Board.Get().Verdict() != "ok" {
			t.Errorf("%s", g.agent.opt.Board.Get().Line())
		}
		if n := strings.Count(g.log.String(), "remember which certificates were there"); n != 1 {
			t.Errorf("said %d times:\n%s", n, g.log)
		}
	})
}
