package daemon

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/journal"
)

const (
	// unwatched is how often the files are looked at while they cannot be watched.
	unwatched = time.Minute
	// rewatch is the pause before a watch that ended is begun anew.
	rewatch = time.Second
)

// watch returns a channel with a hint for each change of the files that the pair
// consists of. Where they cannot be watched, because the kernel's limits are used up
// or a directory is closed, there is a hint every minute until they can be: a renewal
// does not need the watch. Stop ends the watch and waits for its end.
func (d *Daemon) watch(begin beginWatch) (hints <-chan struct{}, stop func()) {
	r := &rewatcher{log: d.log, begin: begin, hints: make(chan struct{}, 1), stop: make(chan struct{})}
	pause := r.start() // before the agent looks for the first time, so that no change is lost
	var running sync.WaitGroup
	running.Go(func() { r.run(pause) })
	return r.hints, func() {
		close(r.stop)
		running.Wait()
	}
}

// beginWatch begins a watch: changes is closed when it cannot go on, and end ends it.
type beginWatch func() (changes <-chan struct{}, end func(), err error)

// beginFor returns what begins a watch of the files of store.
func beginFor(store agent.Store) beginWatch {
	return func() (<-chan struct{}, func(), error) {
		w, err := store.Watch()
		if err != nil {
			return nil, nil, err
		}
		return w.Hints, w.Close, nil
	}
}

// A rewatcher begins a watch anew whenever it ends.
type rewatcher struct {
	log   *slog.Logger
	begin beginWatch
	hints chan struct{}
	stop  chan struct{}

	changes <-chan struct{} // of the watch; nil while the files cannot be watched
	end     func()
	told    string // why the files cannot be watched, as it was logged last
}

// start begins a watch. Where that is impossible it says so, once. It returns how long
// to wait before the next attempt.
func (r *rewatcher) start() (pause time.Duration) {
	var err error
	if r.changes, r.end, err = r.begin(); err == nil {
		r.told = ""
		return rewatch
	}
	if err.Error() != r.told {
		r.told = err.Error()
		r.log.Warn(fmt.Sprintf("the files are looked at every minute, since they cannot be watched: %v", err), journal.KeyError, r.told)
	}
	return unwatched
}

func (r *rewatcher) run(pause time.Duration) {
	for {
		if r.changes != nil {
			stopped := r.forward()
			r.end()
			if stopped {
				return
			}
		}
		select {
		case <-time.After(pause):
		case <-r.stop:
			return
		}
		pause = r.start()
		r.hint() // what changed meanwhile has caused no event
	}
}

// forward passes hints on until the watch ends by itself, or is stopped.
func (r *rewatcher) forward() (stopped bool) {
	for {
		select {
		case _, ok := <-r.changes:
			if !ok {
				return false
			}
			r.hint()
		case <-r.stop:
			return true
		}
	}
}

// hint says that something may have changed. One hint stands for any number of
// changes.
func (r *rewatcher) hint() {
	select {
	case r.hints <- struct{}{}:
	default:
	}
}
