package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"redis-cert-agent/cmd/internal/testbed"
)

// idle is what an agent takes that has nothing to do.
type idle struct {
	Binary       int64         // bytes
	Busy         vitals        // right after three rotations
	Window, Rest time.Duration // how long nothing had happened at Early, and at Late
	Early, Late  vitals
	Step         vitals // step's daemon at Late, after as many renewals

	Wakeups   int64 // in a window after Late, of the agent without a watchdog
	Watched   int64 // of the agent with one
	Empty     int64 // of a Go program that waits for a signal and does nothing else
	StepWaked int64 // of step's daemon
	Pings     int64 // that the watched agent sent
	WantPings int64
}

// watchdog is the limit that the watched agent is told. It pings twice as often.
const watchdog = 20 * time.Second

// measureIdle lets four processes do nothing at the same time: an agent, an
// agent whose service manager expects pings, an empty Go program, which
// shows what the runtime does by itself, and step's daemon.
func (b *bench) measureIdle(ctx context.Context) (idle, error) {
	r := idle{Window: b.opts.idle, Rest: max(b.opts.rest, b.opts.idle), WantPings: int64(b.opts.idle / (watchdog / 2))}
	info, err := os.Stat(b.Agent)
	if err != nil {
		return r, err
	}
	r.Binary = info.Size()
	m, err := b.listenNotify("notify.sock")
	if err != nil {
		return r, err
	}
	defer m.conn.Close()
	plain, err := b.startHost(ctx, "plain", testbed.HostOptions{})
	if err != nil {
		return r, err
	}
	defer plain.Stop()
	watched, err := b.startHost(ctx, "watched", testbed.HostOptions{}, m.env, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	if err != nil {
		return r, err
	}
	defer watched.Stop()
	peer, err := b.newPeer(ctx, "daemon")
	if err != nil {
		return r, err
	}
	defer peer.Stop()
	daemon, err := peer.startDaemon(ctx, "step-idle.log")
	if err != nil {
		return r, err
	}
	defer daemon.Stop(syscall.SIGTERM)
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	empty, err := b.Start("empty.log", nil, self, "-empty")
	if err != nil {
		return r, err
	}
	defer empty.Stop(syscall.SIGKILL)
	for range 3 {
		for _, h := range []*host{plain, watched} {
			if err := h.rotate(ctx); err != nil {
				return r, err
			}
		}
		if _, err := turn(ctx, peer.Address, func() error { return hangUp(daemon) }); err != nil {
			return r, err
		}
	}
	if r.Busy, err = readVitals(plain.Agent.PID()); err != nil {
		return r, err
	}
	return r, r.watch(ctx, &m.pings, []*testbed.Process{plain.Agent, watched.Agent, empty, daemon})
}

// watch reads the memory of the first process while nothing happens, twice, and then
// counts the wake-ups of each.
func (r *idle) watch(ctx context.Context, pings *atomic.Int64, processes []*testbed.Process) (err error) {
	for _, p := range processes {
		if err := awaitIdle(ctx, p, atRest); err != nil {
			return err
		}
	}
	say("nothing happens for %s", r.Rest+r.Window)
	if err := testbed.Sleep(ctx, r.Window); err != nil {
		return err
	}
	if r.Early, err = readVitals(processes[0].PID()); err != nil {
		return err
	}
	if err := testbed.Sleep(ctx, r.Rest-r.Window); err != nil {
		return err
	}
	if r.Late, err = readVitals(processes[0].PID()); err != nil {
		return err
	}
	if r.Step, err = readVitals(processes[3].PID()); err != nil {
		return err
	}
	earlier := pings.Load()
	before, err := countWakeups(processes)
	if err != nil {
		return err
	}
	if err := testbed.Sleep(ctx, r.Window); err != nil {
		return err
	}
	r.Pings = pings.Load() - earlier
	after, err := countWakeups(processes)
	if err != nil {
		return err
	}
	r.Wakeups, r.Watched, r.Empty, r.StepWaked = after[0]-before[0], after[1]-before[1], after[2]-before[2], after[3]-before[3]
	return nil
}

func countWakeups(processes []*testbed.Process) (counts []int64, err error) {
	for _, p := range processes {
		n, err := readWakeups(p.PID())
		if err != nil {
			return nil, err
		}
		counts = append(counts, n)
	}
	return counts, nil
}
