package agent

import (
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
)

// A fullStore takes no new pair while it is full.
type fullStore struct {
	*pair.Store
	full atomic.Bool
}

func (s *fullStore) Put(p *cert.Pair, o pair.Origin) (*pair.Generation, error) {
	if s.full.Load() {
		return nil, syscall.ENOSPC
	}
	return s.Store.Put(p, o)
}

// A certificate that a person asked for shortly before the turn of this host, and that the
// disk took only after that turn, is not replaced as soon as it is loaded.
func TestTurnPassesWhileTheDiskIsFull(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store := new(fullStore)
		w := beginWith(t, dir, 1, newTestCA(t, time.Hour), func(o *Options) {
			store.Store = o.Store.(*pair.Store)
			o.Store, o.Policy = store, plan.DefaultPolicy()
		})
		defer w.stop()
		due := func() time.Time { return w.agent.opt.Board.Get().Due }
		pass(time.Until(due()) + time.Second) // the first one's turn comes at any time
		issued, turn := w.ca.issued, due()
		pass(time.Until(turn) - 2*time.Minute)
		store.full.Store(true)
		if err := w.renew(true); err == nil {
			t.Fatal("a full disk took a certificate")
		}
		pass(time.Until(turn) + time.Minute)
		store.full.Store(false)
		pass(20 * time.Minute)
		if shown := w.redis[0].serves.Leaf(); w.ca.issued != issued+1 || !shown.Equal(w.disk()) {
			t.Errorf("%d certificates were issued, want 1, and the server shows the newest: %t", w.ca.issued-issued, shown.Equal(w.disk()))
		}
	})
}
