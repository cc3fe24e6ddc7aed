package daemon

import (
	"runtime"
	"runtime/debug"
)

// frugal keeps this process small while an agent runs: a round for a few servers is one
// straight line, which more processors do not shorten, and each of them has caches of its
// own. Many servers are made to load and proven at the same time, and are worth more.
func frugal(servers int) (undo func()) {
	const each = 8 // servers
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(min(before, 1+servers/each))
	return func() { runtime.GOMAXPROCS(before) }
}

// rest gives back the memory that a round has left and that is not needed until the
// next one, which is hours away.
func rest() {
	runtime.GC() // what pools and finalizers hold on to goes with the second collection
	debug.FreeOSMemory()
}
