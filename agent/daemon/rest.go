package daemon

import (
	"runtime"
	"runtime/debug"
)

// frugal makes this process small while agents run, at the price of a round that
// takes a little longer a few times a day: a round is one straight line, which more
// processors do not shorten, and each of them has caches of its own.
func frugal() (undo func()) {
	processors, percent := runtime.GOMAXPROCS(1), debug.SetGCPercent(25)
	return func() {
		runtime.GOMAXPROCS(processors)
		debug.SetGCPercent(percent)
	}
}

// rest gives back the memory that a round has left and that is not needed until the
// next one, which is hours away.
func rest() {
	runtime.GC() // what pools and finalizers hold on to goes with the second collection
	debug.FreeOSMemory()
}
