package agent

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/status"
)

// closely watches a client certificate at path and hands the ends that are
// logged to told.
func closely(path string, told *[]string) func(*Options) {
	return func(o *Options) {
		o.Warn, o.Crit = cert.Margin{Share: 0.25, Time: 21 * 24 * time.Hour}, cert.Margin{Share: 0.10}
		o.Watched = []File{{Path: path}}
		o.Log = slog.New(journal.Tee(o.Log.Handler(), func(e journal.Entry) {
			if e.Event == journal.Expiring {
				fakes.Lock()
				defer fakes.Unlock()
				*told = append(*told, e.Text(journal.KeySerial))
			}
		}))
	}
}

// writeClient makes a client certificate of a CA that lasts for lifetime.
func writeClient(t *testing.T, c *testCA, path string, lifetime time.Duration) {
	t.Helper()
	c.lifetime = lifetime
	issued, err := c.Issue(t.Context(), ca.Request{Names: []string{"app.internal"}, KeyType: cert.P256})
	if err != nil {
		t.Fatal(err)
	}
	c.lifetime = 24 * time.Hour
	p, err := cert.New(issued.Chain, issued.Key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, p.CertPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A client certificate that nobody renews is told of as its end comes nearer,
// once each, at the time and not at the next look for another reason; and no
// more when it is renewed. The agent's own pair is not told of while all is well.
func TestEndsAreToldOnce(t *testing.T) {
	dir, path := filepath.Join(t.TempDir(), "pair"), filepath.Join(t.TempDir(), "client.crt")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.store.Close()
		var told []string
		w.open(dir, closely(path, &told))
		writeClient(t, w.ca, path, 10*24*time.Hour)
		w.run()
		defer w.stop()
		pass(time.Second)
		w.redis[0].start(t)
		begin := time.Now()
		for _, step := range []struct {
			after time.Duration // since the beginning
			told  int
			want  string // the problem then
		}{
			{7*24*time.Hour + 11*time.Hour, 0, ""},
			{7*24*time.Hour + 12*time.Hour + time.Minute, 1, "warning expiring"},
			{8*24*time.Hour + 23*time.Hour, 1, "warning expiring"},
			{9*24*time.Hour + time.Minute, 2, "critical expiring"},
			{10*24*time.Hour + time.Minute, 3, "critical expired"},
			{12 * 24 * time.Hour, 3, "critical expired"},
		} {
			pass(time.Until(begin.Add(step.after)))
			if len(told) != step.told || slices.ContainsFunc(told, func(serial string) bool { return serial != "65" }) /* the client's */ {
				t.Errorf("after %s: told of %v, want %d", step.after, told, step.told)
			}
			var got string
			for _, p := range w.agent.opt.Board.Get().Problems() {
				got += string(p.Severity) + " " + p.Kind
			}
			if got != step.want {
				t.Errorf("after %s: %q, want %q", step.after, got, step.want)
			}
		}
		writeClient(t, w.ca, path, 10*24*time.Hour)
		pass(24 * time.Hour)
		if s := w.agent.opt.Board.Get(); s.Verdict() != "ok" || len(told) != 3 {
			t.Errorf("after the client's renewal: %s, told of %v", s.Verdict(), told)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		pass(24 * time.Hour)
		if p := w.agent.opt.Board.Get().Problems(); len(p) != 1 || p[0].Kind != status.FileUnreadable {
			t.Errorf("without the file: %+v", p)
		}
	})
}

// The end of the pair itself is told when the authority is gone for long.
func TestOwnEndIsTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pair")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.store.Close()
		var told []string
		w.open(dir, closely("/dev/null/none", &told))
		w.run()
		defer w.stop()
		pass(time.Second)
		w.redis[0].start(t)
		pass(time.Second)
		fakes.Lock()
		w.ca.err = errors.New("503")
		fakes.Unlock()
		pass(25 * time.Hour)
		if len(told) != 3 {
			t.Errorf("told of %v, want warning, critical and expired", told)
		}
		roles := map[string]int{}
		for _, c := range w.agent.opt.Board.Get().Certificates {
			roles[string(c.Role)+" "+c.Where]++
		}
		if roles["leaf disk"] != 1 || roles["leaf served"] != 1 || roles["ca disk"] != 1 || roles["client file"] != 1 {
			t.Errorf("watched %v", roles)
		}
	})
}

// A CA that backdates a short certificate leaves it less than a quarter of its
// lifetime from the start. That is no warning as long as it is renewed in time.
func TestBackdatedIsNotNearItsEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pair")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.store.Close()
		w.ca.lifetime = 15 * time.Second
		w.ca.spoil = func(c *x509.Certificate) { c.NotBefore = c.NotBefore.Add(-time.Minute) }
		var told []string
		w.open(dir, closely("/dev/null/none", &told))
		w.run()
		defer w.stop()
		pass(time.Second)
		w.redis[0].start(t)
		pass(10 * time.Minute)
		if len(told) != 0 || w.ca.issued < 50 {
			t.Errorf("told of %d ends among %d certificates", len(told), w.ca.issued)
		}
		fakes.Lock()
		w.ca.err = errors.New("503")
		fakes.Unlock()
		pass(20 * time.Second)
		if len(told) != 3 {
			t.Errorf("told of %v, want warning, critical and expired", told)
		}
	})
}

// A regular sign of life makes the loop look as often.
func TestLooksEvery(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pair")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.store.Close()
		w.open(dir, func(o *Options) { o.LookEvery = time.Minute })
		w.run()
		defer w.stop()
		pass(time.Second)
		w.redis[0].start(t)
		pass(time.Second)
		before := w.redis[0].looks
		pass(time.Hour)
		if looks := w.redis[0].looks - before; looks < 59 || looks > 61 {
			t.Errorf("%d looks in an hour", looks)
		}
		if since := time.Since(w.agent.opt.Board.Get().Looked); since > time.Minute {
			t.Errorf("the last look is %s old", since)
		}
	})
}

func TestRoleOf(t *testing.T) {
	root := &x509.Certificate{IsCA: true, RawIssuer: []byte("a"), RawSubject: []byte("a")}
	middle := &x509.Certificate{IsCA: true, RawIssuer: []byte("a"), RawSubject: []byte("b")}
	leaf := &x509.Certificate{RawIssuer: []byte("b"), RawSubject: []byte("c")}
	for i, c := range []struct {
		at   int
		c    *x509.Certificate
		want status.Role
	}{{0, leaf, status.RoleClient}, {1, middle, status.RoleIntermediate}, {2, root, status.RoleCA}, {0, root, status.RoleCA}} {
		if got := roleOf(c.at, c.c); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
	}
}
