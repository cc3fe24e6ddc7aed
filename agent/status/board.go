package status

import (
	"sync"
	"time"
)

// Board holds the last Status. Its methods may be called from any goroutine.
type Board struct {
	mu       sync.Mutex
	last     Status
	watchers []chan struct{}
	pairs    []*Board // of the clients' pairs
	above    *Board   // this one is among the pairs of that
}

// Below returns n boards for clients' pairs, in place of those before. What is on them is
// among the Pairs of b's status, as soon as something is.
func (b *Board) Below(n int) []*Board {
	pairs := make([]*Board, n)
	for i := range pairs {
		pairs[i] = &Board{above: b}
	}
	b.mu.Lock()
	b.pairs = pairs
	b.mu.Unlock()
	b.signal()
	return pairs
}

// Set puts a status on the board. What its pointers and slices hold must not
// change any more.
func (b *Board) Set(s Status) {
	b.mu.Lock()
	b.last = s
	b.mu.Unlock()
	b.signal()
}

// signal tells the watchers of b, and of the board above it.
func (b *Board) signal() {
	if b.above != nil {
		b.above.signal()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
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
	s, pairs := b.last, b.pairs
	b.mu.Unlock()
	s.Now = time.Now().UTC().Truncate(time.Second)
	for _, below := range pairs {
		if p := below.Get(); !p.Looked.IsZero() {
			s.Pairs = append(s.Pairs, p)
			s.Degraded = s.Degraded || p.Degraded
		}
	}
	return s
}
