package main

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// progress is one line on a terminal, once a check takes longer than a second.
type progress struct {
	so   atomic.Int64
	stop chan struct{}
	show sync.WaitGroup
}

func newProgress(w io.Writer, total int) *progress {
	p := &progress{stop: make(chan struct{})}
	if isTerminal(w) {
		p.show.Go(func() { p.draw(w, total) })
	}
	return p
}

func (p *progress) done() { p.so.Add(1) }

func (p *progress) draw(w io.Writer, total int) {
	wait := time.NewTimer(time.Second)
	defer wait.Stop()
	shown := false
	for {
		select {
		case <-p.stop:
			if shown {
				fmt.Fprint(w, "\r\x1b[K")
			}
			return
		case <-wait.C:
			fmt.Fprintf(w, "\r%d of %d checked\x1b[K", p.so.Load(), total)
			shown = true
			wait.Reset(100 * time.Millisecond)
		}
	}
}

// clear takes the line away.
func (p *progress) clear() {
	close(p.stop)
	p.show.Wait()
}
