package agent

import (
	"testing"
	"testing/synctest"
)

// Each server gets back what it showed, not what was current: that may be a pair which it
// could not use either. A server that starts gets what was current.
func TestEachServerGetsItsOwnBack(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, dir, 3)
		defer w.stop()
		first := w.disk()
		old := &brittle{testRedis: w.redis[1], cannot: after(first)}
		w.replace(1, old)
		_ = w.renew(true)
		second := w.disk()
		other := &brittle{testRedis: w.redis[2], cannot: after(second)}
		w.replace(2, other)
		_ = w.renew(true)
		third := w.disk()
		if first.Equal(second) || second.Equal(third) || !w.redis[0].serves.Leaf().Equal(third) {
			t.Fatal("the server that can use each pair does not show the third")
		}
		if old.broken() || !w.redis[1].serves.Leaf().Equal(first) || other.broken() || !w.redis[2].serves.Leaf().Equal(second) {
			t.Errorf("the others show %s and %s, want %s and %s", w.redis[1].serves.Leaf().SerialNumber, w.redis[2].serves.Leaf().SerialNumber, first.SerialNumber, second.SerialNumber)
		}

		w.replace(0, &brittle{testRedis: w.redis[0], cannot: after(third)})
		_ = w.renew(true)
		if old.broken() || other.broken() || !w.redis[0].serves.Leaf().Equal(third) {
			t.Error("when none can use the newest, one is left with it")
		}
		if !w.disk().Equal(third) {
			t.Error("when none can use the newest, a server that starts would load it")
		}
	})
}
