package testbed

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// LoadOptions say how much clients do.
type LoadOptions struct {
	Kept     int           // connections that stay open
	Every    time.Duration // between two commands on each of them
	NewEvery time.Duration // between two new connections, which send two commands each
}

// A Load is clients at work.
type Load struct {
	LoadOptions
	host                            *Host
	commands, failed, opened, dials atomic.Int64
	paused                          atomic.Bool // no new connections
	first                           atomic.Pointer[error]
	cancel                          context.CancelFunc
	running                         sync.WaitGroup
}

// StartLoad starts clients of the host's redis-server.
func (h *Host) StartLoad(ctx context.Context, o LoadOptions) *Load {
	ctx, cancel := context.WithCancel(ctx)
	l := &Load{LoadOptions: o, host: h, cancel: cancel}
	for range o.Kept {
		l.running.Go(func() { l.keep(ctx) })
	}
	l.running.Go(func() {
		every(ctx, o.NewEvery, func() {
			if !l.paused.Load() {
				l.connect(ctx)
			}
		})
	})
	return l
}

// keep sends commands on one connection. Another dial is a connection dropped.
func (l *Load) keep(ctx context.Context) {
	o := l.host.clientOptions()
	o.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		l.dials.Add(1)
		return (&tls.Dialer{Config: o.TLSConfig}).DialContext(ctx, network, address)
	}
	c := redis.NewClient(o)
	defer c.Close()
	every(ctx, l.Every, func() { l.count(ctx, c.Incr(ctx, "kept").Err()) })
}

func (l *Load) connect(ctx context.Context) {
	c := l.host.Client()
	defer c.Close()
	l.opened.Add(1)
	l.count(ctx, c.Incr(ctx, "new").Err())
	l.count(ctx, c.Get(ctx, "new").Err())
}

func (l *Load) count(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	l.commands.Add(1)
	if err != nil {
		l.failed.Add(1)
		l.first.CompareAndSwap(nil, &err)
	}
}

// PauseNew stops making new connections until ResumeNew.
func (l *Load) PauseNew() { l.paused.Store(true) }

// ResumeNew makes new connections again.
func (l *Load) ResumeNew() { l.paused.Store(false) }

// Stop ends the clients. It may be called again.
func (l *Load) Stop() {
	l.cancel()
	l.running.Wait()
}

// Counts are what the clients have done so far.
type Counts struct {
	Commands, Failed int64
	Opened           int64 // new connections
	Dropped          int64 // connections that should have stayed open
	First            error // the first failure, or nil
}

func (c Counts) String() string { return fmt.Sprintf("%d commands, %d failed", c.Commands, c.Failed) }

// Counts returns what the clients have done so far.
func (l *Load) Counts() Counts {
	c := Counts{
		Commands: l.commands.Load(), Failed: l.failed.Load(), Opened: l.opened.Load(),
		Dropped: max(0, l.dials.Load()-int64(l.Kept)),
	}
	if first := l.first.Load(); first != nil {
		c.First = *first
	}
	return c
}

func every(ctx context.Context, d time.Duration, do func()) {
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
