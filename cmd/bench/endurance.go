package main

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// Endurance is figure 3: many rotations under the eyes of clients.
type endurance struct {
	rotations             int
	took                  time.Duration
	commands, failed      int64
	opened, kept, dropped int64 // new connections made, connections held open, and how many of these broke
	firstFailure          string
	early, late           vitals // after a tenth of the rotations, and after all of them
	goroutines            [2]int // of an agent after a tenth, and of another after all of them
	generations           [2]int // directories on disk
	earlyAfter            int
}

const (
	keptOpen       = 8
	pace           = 2 * time.Millisecond  // between two commands on a kept connection
	newEvery       = 20 * time.Millisecond // a new connection
	enduranceLimit = 3 * time.Minute
)

// measureEndurance forces rotations without a pause. An agent that has made a
// tenth of them is asked for its goroutines first, which ends it; another one
// makes them all.
func (b *bench) measureEndurance(ctx context.Context) (e endurance, err error) {
	ctx, cancel := context.WithTimeout(ctx, enduranceLimit)
	defer cancel()
	e.rotations, e.earlyAfter = b.rotations, max(b.rotations/10, 1)
	h, err := b.newHost(ctx, "endurance")
	if err != nil {
		return e, err
	}
	defer h.close()
	l := h.startLoad(ctx)
	defer l.stop()
	began := time.Now()
	if _, err = e.rotate(ctx, h, 0, e.earlyAfter); err != nil {
		return e, err
	}
	if e.goroutines[0], err = h.goroutines(); err != nil {
		return e, err
	}
	if err = h.startAgent(ctx); err != nil {
		return e, err
	}
	if e.early, err = e.rotate(ctx, h, 0, e.earlyAfter); err != nil {
		return e, err
	}
	e.generations[0] = h.generations()
	if e.late, err = e.rotate(ctx, h, e.earlyAfter, e.rotations); err != nil {
		return e, err
	}
	e.generations[1] = h.generations()
	e.took = time.Since(began)
	if e.goroutines[1], err = h.goroutines(); err != nil {
		return e, err
	}
	l.stop()
	e.commands, e.failed, e.opened = l.commands.Load(), l.failed.Load(), l.opened.Load()
	e.kept, e.dropped = keptOpen, l.dials.Load()-keptOpen
	if first := l.first.Load(); first != nil {
		e.firstFailure = *first
	}
	return e, nil
}

// rotate goes from one number of rotations to another and returns the vitals
// of the agent once it has come to rest.
func (e *endurance) rotate(ctx context.Context, h *host, from, to int) (vitals, error) {
	for i := from; i < to; i++ {
		if err := h.rotate(ctx); err != nil {
			return vitals{}, err
		}
		if n := i + 1; n%100 == 0 || n == to {
			say("%d of %d rotations under load", n, e.rotations)
		}
	}
	if err := quiet(ctx, h.agent.PID(), settled); err != nil {
		return vitals{}, err
	}
	return readVitals(h.agent.PID())
}

// generations counts the pairs on disk.
func (h *host) generations() int {
	entries, _ := os.ReadDir(h.path("pair/generations")) // none that can be read: none
	return len(entries)
}

var goroutine = regexp.MustCompile(`(?m)^goroutine \d+ `)

// goroutines makes the agent print its goroutines and end, which SIGQUIT does
// to every Go program, and counts them.
func (h *host) goroutines() (int, error) {
	before, err := os.ReadFile(h.agent.Log)
	if err != nil {
		return 0, err
	}
	h.agent.Stop(syscall.SIGQUIT)
	after, err := os.ReadFile(h.agent.Log)
	if err != nil {
		return 0, err
	}
	return len(goroutine.FindAll(after[len(before):], -1)), nil
}

// A load is clients at work.
type load struct {
	commands, failed, opened atomic.Int64
	dials                    atomic.Int64 // by the clients that keep their connections
	first                    atomic.Pointer[string]
	cancel                   context.CancelFunc
	running                  sync.WaitGroup
}

// startLoad starts clients that keep their connections, and one that makes a
// new one for every two commands.
func (h *host) startLoad(ctx context.Context) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel}
	for range keptOpen {
		o := h.options()
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			l.dials.Add(1)
			return (&tls.Dialer{Config: h.tls()}).DialContext(ctx, network, addr)
		}
		c := redis.NewClient(o)
		l.running.Go(func() {
			defer c.Close()
			l.every(ctx, pace, func() { l.count(ctx, c.Incr(ctx, "kept").Err()) })
		})
	}
	l.running.Go(func() {
		l.every(ctx, newEvery, func() {
			c := redis.NewClient(h.options())
			defer c.Close()
			l.opened.Add(1)
			l.count(ctx, c.Incr(ctx, "new").Err())
			l.count(ctx, c.Get(ctx, "new").Err())
		})
	})
	return l
}

func (l *load) every(ctx context.Context, d time.Duration, do func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			do()
		case <-ctx.Done():
			return
		}
	}
}

func (l *load) count(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	l.commands.Add(1)
	if err != nil {
		l.failed.Add(1)
		text := err.Error()
		l.first.CompareAndSwap(nil, &text)
	}
}

// stop ends the clients and waits for them. It may be called again.
func (l *load) stop() {
	l.cancel()
	l.running.Wait()
}
