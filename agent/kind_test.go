package agent

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/status"
)

// A Valkey that looks for changed files itself may have read the files before the last
// ones, and load them after the agent had it load the newest: that is seen, and mended.
func TestLateReloadOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.run()
		defer w.stop()
		synctest.Wait()
		valkey := w.redis[0]
		valkey.itself = 30 * time.Second
		valkey.start(t)
		w.must(w.renew(false))
		before := valkey.serves
		w.must(w.renew(true))
		if s := w.agent.opt.Board.Get().Servers[0]; s.State != status.Proven || s.Note != "it looks for changed files itself, every 30s (tls-auto-reload-interval)" {
			t.Errorf("%+v", s)
		}
		pass(20 * time.Second)
		newest := valkey.serves
		valkey.serves = before
		pass(2 * time.Minute)
		if valkey.serves.Fingerprint() != newest.Fingerprint() {
			t.Error("it still serves the certificate before")
		}
		looks := valkey.looks
		pass(4 * time.Hour)
		if valkey.looks > looks+1 {
			t.Errorf("%d looks in four quiet hours", valkey.looks-looks)
		}
		if w.ca.issued != 2 {
			t.Errorf("%d certificates", w.ca.issued)
		}
	})
}

// A Sentinel is recognised, never asked to reload once it is known, and named with what
// to do until somebody restarts it.
func TestSentinelIsWatched(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 2)
		w.run()
		defer w.stop()
		synctest.Wait()
		sentinel := w.redis[0]
		sentinel.sentinel = true
		sentinel.start(t)
		w.redis[1].start(t)
		w.must(w.renew(false))
		if s := w.agent.opt.Board.Get(); len(s.Problems()) > 0 || !strings.HasPrefix(s.Servers[0].Note, "a Sentinel") {
			t.Errorf("%+v, %v", s.Servers[0], s.Problems())
		}
		_ = w.renew(true)
		pass(20 * time.Minute)
		if sentinel.reloads > 0 {
			t.Errorf("asked %d times to reload", sentinel.reloads)
		}
		p := w.agent.opt.Board.Get().Problems()
		if len(p) != 1 || p[0].Kind != status.ServerStale || !strings.Contains(p[0].Text, "it is a Sentinel, which reads its certificate only when it starts: restart its unit") {
			t.Errorf("%+v", p)
		}
		sentinel.start(t)
		pass(10 * time.Minute)
		if s := w.agent.opt.Board.Get(); len(s.Problems()) > 0 || s.Servers[0].State != status.Proven {
			t.Errorf("%+v, %v", s.Servers[0], s.Problems())
		}
	})
}

// With a Sentinel alone the newest pair is current all the same, so that its restart
// loads that.
func TestSentinelAlone(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.run()
		defer w.stop()
		synctest.Wait()
		sentinel := w.redis[0]
		sentinel.sentinel = true
		sentinel.start(t)
		w.must(w.renew(false))
		for range 2 {
			before := sentinel.serves.Fingerprint()
			_ = w.renew(true)
			sentinel.start(t)
			w.must(w.renew(false))
			if sentinel.serves.Fingerprint() == before {
				t.Error("the restart brought the old certificate")
			}
		}
		if sentinel.reloads > 0 {
			t.Errorf("asked %d times to reload", sentinel.reloads)
		}
	})
}
