package daemon

import (
	"runtime"
	"runtime/debug"
)

// frugal keeps this process small while an agent runs: a round for a few servers is one
// straight line, which more processors do not shorten, and each of them has caches of its
// own. Many servers are made to load and proven at the same time, and are worth more.
//
// The heap grows by little only between two collections: what a round leaves lies scattered
// among what it has thrown away, and every page with some of it stays until the next round,
// which is hours away.
func frugal(servers int) (undo func()) {
	const (
		each   = 8  // servers
		growth = 30 // percent
	)
	before, percent := runtime.GOMAXPROCS(0), debug.SetGCPercent(growth)
	runtime.GOMAXPROCS(min(before, 1+servers/each))
	return func() {
		debug.SetGCPercent(percent)
		runtime.GOMAXPROCS(before)
	}
}
