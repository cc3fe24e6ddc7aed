package daemon

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// An agent of a few servers runs on one processor, one of many on more, and what was there
// before it comes back.
func TestFrugal(t *testing.T) {
	before, percent := runtime.GOMAXPROCS(4), debug.SetGCPercent(80)
	defer func() {
		runtime.GOMAXPROCS(before)
		debug.SetGCPercent(percent)
	}()
	for servers, want := range map[int]int{0: 1, 1: 1, 7: 1, 8: 2, 64: 4} {
		undo := frugal(servers)
		if got := runtime.GOMAXPROCS(0); got != want {
			t.Errorf("%d servers: %d processors, want %d", servers, got, want)
		}
		if undo(); runtime.GOMAXPROCS(0) != 4 {
			t.Errorf("%d servers: %d processors are left, want 4", servers, runtime.GOMAXPROCS(0))
		}
		if left := debug.SetGCPercent(80); left != 80 {
			t.Errorf("%d servers: the heap may grow by %d percent afterwards, want 80", servers, left)
		}
	}
}
