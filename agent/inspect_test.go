package agent

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/pair"
	"redis-cert-agent/reload"
)

// A server that would deny its next reload is asked again after ten minutes: a fault that
// somebody has mended is not told for longer, with nothing else to wake the agent.
func TestMendedServerIsSeenSoon(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, dir, 1)
		defer w.stop()
		w.redis[0].denies = reload.ErrDenied
		pass(25 * time.Hour)
		if p := w.problems(); !strings.Contains(p, "a reload would fail") {
			t.Fatalf("after a day: %s", p)
		}
		w.redis[0].denies = nil
		pass(11 * time.Minute)
		if p := w.problems(); p != "" {
			t.Errorf("eleven minutes after it was mended: %s", p)
		}
	})
}

// An overwritten store has another program's file at its plain path.
type overwritten struct{ *pair.Store }

func (overwritten) Serves(string) bool { return false }

// A server that names the very path is not told to name it. The file there is told.
func TestServerNamesThePath(t *testing.T) {
	for name, own := range map[string]bool{"the agent's path": true, "another one": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1)
				w.store.Close()
				w.open(dir, func(o *Options) { o.Store = overwritten{w.store.(*pair.Store)} })
				if !own {
					w.agent.opt.Servers[0].Redis = elsewhere{w.redis[0]}
				}
				w.settle()
				defer w.stop()
				_ = w.renew(false)
				if told := strings.Contains(w.problems(), "name that in redis.conf"); told == own {
					t.Errorf("problems: %q", w.problems())
				}
			})
		})
	}
}

// A redis elsewhere names another file.
type elsewhere struct{ *testRedis }

func (e elsewhere) Settings(ctx context.Context, t reload.Trust) (reload.Settings, error) {
	s, err := e.testRedis.Settings(ctx, t)
	s.Cert = "/etc/redis/other.crt"
	return s, err
}
