package agent

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/reload"
)

// Old pairs go also where the agent never makes a server load a new one, because that
// denies it and is restarted instead.
func TestPruneWithoutAReload(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.redis[0].says = reload.ErrDenied
		w.run()
		defer w.stop()
		synctest.Wait()
		for range 20 {
			w.redis[0].start(t)
			pass(20 * time.Hour)
		}
		if state, err := w.store.Load(); err != nil || len(state.All) > 6 {
			t.Errorf("%d pairs are on disk (%v)", len(state.All), err)
		}
	})
}

// Nor do they pile up where the only server is away for months, or refuses each of them.
func TestPruneWithoutAServer(t *testing.T) {
	for name, says := range map[string]error{"away": nil, "refuses": reload.ErrRefused} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := settledWorld(t, dir, 1)
				defer w.stop()
				w.redis[0].says, w.redis[0].down = says, says == nil
				for range 2 * mostUnproven {
					_ = w.renew(true)
				}
				state, err := w.store.Load()
				if err != nil || w.ca.issued < 2*mostUnproven || len(state.All) > mostUnproven+2 {
					t.Errorf("%d pairs of %d are on disk (%v)", len(state.All), w.ca.issued, err)
				}
				w.redis[0].start(t)
				w.redis[0].says = nil
				_ = w.renew(false)
				if !w.redis[0].serves.Leaf().Equal(w.disk()) {
					t.Error("and then the newest is not served")
				}
			})
		})
	}
}

// A pair that a server shows stays, whatever is kept: by it the server is recognised.
func TestPruneLeavesWhatIsShown(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 2)
		w.run()
		synctest.Wait()
		w.redis[0].start(t)
		w.redis[1].start(t)
		pass(time.Minute)
		w.stop()
		w.redis[1].says = reload.ErrBusy
		w.keep = 0
		w.open(dir, func(o *Options) { o.Names = o.Names[:1] })
		w.run()
		defer w.stop()
		pass(time.Minute)
		if _, err := os.Stat(filepath.Join(dir, "generations", "000001")); err != nil || w.ca.issued != 2 {
			t.Errorf("the pair that the second server shows: %v, after %d certificates", err, w.ca.issued)
		}
	})
}

// A server that hung while its pair was replaced and removed is recognised by it when it
// answers again, also by the next process.
func TestPrunedPairIsKnown(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 2)
		w.keep = 0
		hung := w.redis[1]
		process := func(do func()) {
			w.store.Close()
			w.open(dir)
			w.servers[1].redis = recognising{hung}
			w.run()
			defer w.stop()
			pass(time.Minute)
			do()
			pass(time.Minute)
		}
		process(func() { w.redis[0].start(t); hung.start(t) })
		old := hung.serves.Leaf()
		hung.down = true
		process(func() { _ = w.renew(true) })
		process(func() { _ = w.renew(true) })
		if _, err := os.Stat(filepath.Join(dir, "generations", "000001")); !os.IsNotExist(err) {
			t.Fatalf("its pair is still there (%v)", err)
		}
		process(func() { hung.down = false; pass(10 * time.Minute) })
		if now := hung.serves.Leaf(); now.Equal(old) || !now.Equal(w.disk()) {
			t.Errorf("it shows %s: %s", now.SerialNumber, w.problems())
		}
	})
}
