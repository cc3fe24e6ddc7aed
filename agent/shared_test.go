package agent

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/roots"
	"redis-cert-agent/agent/status"
)

// A client's pair whose authority comes with a new root waits for the servers, which hear
// of it from the pair; and a root that a client's certificate needs stays at the servers.
func TestClientPairWaitsForServers(t *testing.T) {
	dir, below := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		shared := new(roots.Shared)
		shared.Expect([]string{"app"})
		w := beginWith(t, dir, 2, newTestCA(t, 90*day), func(o *Options) { o.Shared, o.Grace = shared, day })
		defer w.stop()
		store, err := pair.Open(pair.Options{Dir: below, UID: -1, GID: -1, Mode: 0o640, Keep: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		client := w.ca.another()
		app := New(Options{
			Store: store, Authorities: []Authority{{Issuer: client}}, Names: []string{"app.internal"}, KeyType: cert.P256, Client: ClientOnly,
			Policy: plan.Policy{Jitter: 0.05}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Board: new(status.Board), Clock: w.clock,
			Instance: "app", Beside: true, Successor: true, Shared: shared, Grace: day, RootsBook: filepath.Join(below, "roots.json"),
		})
		ctx, stop := context.WithCancel(t.Context())
		alarm, ended := newBubbleAlarm(), make(chan error, 1)
		go func() { ended <- app.Run(ctx, alarm, nil) }()
		defer func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			alarm.Close()
		}()
		pass(time.Minute)
		presented := func() *cert.Pair {
			r := testRedis{dir: below}
			if err := r.read(); err != nil {
				t.Fatal(err)
			}
			return r.serves
		}
		old, next := *w.ca, newTestCA(t, 90*day)
		accepted := func() (n int) {
			fakes.Lock()
			defer fakes.Unlock()
			for _, r := range w.redis {
				if accepts(r.serves.CA, presented()) {
					n++
				}
			}
			return n
		}
		for _, r := range w.redis {
			fakes.Lock()
			r.loaded = nil // what it loads is looked at below
			fakes.Unlock()
		}
		client.move(next, next.root) // the servers' authority says nothing yet
		go func() { _ = app.Renew(ctx, true) }()
		for range 100 {
			pass(100 * time.Millisecond)
			if n := accepted(); n != 2 {
				t.Fatalf("%d servers accept what the client presents, want 2", n)
			}
		}
		if !accepts(client.named(), presented()) {
			t.Error("the client does not present the new root's certificate, although the servers trust it")
		}
		w.ca.move(next, next.root)
		if err := w.renew(true); err != nil {
			t.Fatal(err)
		}
		pass(6 * day)
		if n := w.trusts(old.root); n != 0 {
			t.Errorf("%d servers trust the old root, which nobody needs, want none", n)
		}
		// And back, with a client that stays behind.
		w.ca.move(&old, old.root, next.root)
		if err := w.renew(true); err != nil {
			t.Fatal(err)
		}
		w.ca.move(&old, old.root)
		pass(6 * day)
		if n := w.trusts(next.root); n != 2 {
			t.Errorf("%d servers trust the root that the client's certificate needs, want 2", n)
		}
	})
}
