package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress is one line on a terminal that says what takes so long, once it takes longer
// than a second.
type progress struct {
	w    io.Writer // nil: nobody looks
	text func(time.Duration) string
	stop chan struct{}
	show sync.WaitGroup

	mu    sync.Mutex
	shown bool
}

// newProgress shows what text returns, which is told how long it has taken, until clear is
// called.
func newProgress(w io.Writer, text func(time.Duration) string) *progress {
	p := &progress{text: text, stop: make(chan struct{})}
	if isTerminal(w) {
		p.w = w
		p.show.Go(p.draw)
	}
	return p
}

// waiting shows what is waited for, and for how long.
func waiting(w io.Writer, what string) *progress {
	return newProgress(w, func(d time.Duration) string { return fmt.Sprintf("%s, %.0f s", what, d.Seconds()) })
}

func (p *progress) draw() {
	began := time.Now()
	wait := time.NewTimer(time.Second)
	defer wait.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-wait.C:
			p.mu.Lock()
			fmt.Fprintf(p.w, "\r%s\x1b[K", p.text(time.Since(began)))
			p.shown = true
			p.mu.Unlock()
			wait.Reset(100 * time.Millisecond)
		}
	}
}

// aside takes the line away for what do writes to the same terminal.
func (p *progress) aside(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
	do()
}

// clear takes the line away.
func (p *progress) clear() {
	close(p.stop)
	p.show.Wait()
	p.aside(func() {})
}
