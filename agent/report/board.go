package report

import (
	"sync"
	"time"
)

// Board holds the last Status. Its methods may be called from any goroutine.
type Board struct {
	mu       sync.Mutex
	last     Status
	watchers []chan struct{}
}

// Set puts a status on the board. What its pointers and slices hold must not
// change any more.
func (b *Board) Set(s Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = s
	for _, w := range b.watchers {
		select {
		case w <- struct{}{}:
		default: // it has not looked since the last one
		}
	}
}

// Watch returns a channel that gets a signal when the status changes: one for
// all changes that come before it is received. It is for the life of the board.
func (b *Board) Watch() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := make(chan struct{}, 1)
	b.watchers = append(b.watchers, w)
	return w
}

// Get returns the last status with Now as it is now, so that its ages and what
// has expired meanwhile are right. What it points to is shared; do not change it.
func (b *Board) Get() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.last
	s.Now = time.Now().UTC().Truncate(time.Second)
	return s
}
