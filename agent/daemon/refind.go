package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/discover"
	"redis-cert-agent/agent/journal"
)

// A finder knows what the agent that runs was built from.
type finder struct {
	places discover.Places
	one    sync.Mutex // of two looks at the same time, the second sees what the first found

	mu    sync.Mutex
	now   resolution
	store agent.Store
}

func (f *finder) set(r resolution, store agent.Store) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now, f.store = r, store
}

func (f *finder) get() (resolution, agent.Store) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now, f.store
}

// refind looks for servers, and where there are others than before it has an agent run
// that knows them.
func (d *Daemon) refind(ctx context.Context) error {
	d.finder.one.Lock()
	defer d.finder.one.Unlock()
	now, store := d.finder.get()
	if store == nil || len(now.base.Sources) == 0 {
		return nil
	}
	found := now.find(ctx, d.finder.places, store)
	if ctx.Err() != nil || found.equal(now) {
		return ctx.Err()
	}
	return d.hand(ctx, change{resolution: found, again: true})
}

// keepFinding looks for servers every minute, until stop is called. A configuration
// that names each of its servers needs none of that.
func (d *Daemon) keepFinding(r resolution) (stop func()) {
	if len(r.base.Sources) == 0 {
		return nothing
	}
	return background(func(ctx context.Context) {
		tick := time.NewTicker(d.findEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = d.refind(ctx) // an agent that cannot start says why, and the one before goes on
			case <-ctx.Done():
				return
			}
		}
	})
}

// tellFound logs the servers that were found since before.
func (d *Daemon) tellFound(ctx context.Context, before, now resolution) {
	known := map[string]bool{}
	if before.base == now.base {
		for _, s := range before.found {
			known[s.Address] = true
		}
	}
	for _, s := range now.found {
		if !known[s.Address] {
			journal.ServerFound.Log(ctx, d.log, fmt.Sprintf("found a server that loads the pair: %s", s.Address), slog.String(journal.KeyServer, s.Address))
		}
	}
	if now.missing != "" && (before.base != now.base || now.missing != before.missing) {
		d.log.Warn(now.missing, journal.KeyError, now.missing)
	}
}
