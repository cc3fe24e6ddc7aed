package report

import (
	"sync"
	"time"
)

// Board holds the last Status. Its methods may be called from any goroutine.
type Board struct {
	mu   sync.Mutex
	last Status
}

// Set puts a status on the board. What its pointers and slices hold must not
// change any more.
func (b *Board) Set(s Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = s
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
