package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
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

	Wakeups   int64 // in the window, of the agent without a watchdog
	Watched   int64 // of the agent with one
	Empty     int64 // of a Go program that waits for a signal and does nothing else
	Pings     int64 // that the watched agent sent
	WantPings int64
}

// watchdog is the limit that the watched agent is told. It pings twice as often.
const watchdog = 20 * time.Second

// measureIdle lets three processes do nothing at the same time: an agent, an
// agent whose service manager expects pings, and an empty Go program, which
// shows what the runtime does by itself.
func (b *bench) measureIdle(ctx context.Context) (idle, error) {
	r := idle{Window: b.opts.idle, Rest: max(b.opts.rest, b.opts.idle), WantPings: int64(b.opts.idle / (watchdog / 2))}
	info, err := os.Stat(b.Agent)
	if err != nil {
		return r, err
	}
	r.Binary = info.Size()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: b.Path("notify.sock"), Net: "unixgram"})
	if err != nil {
		return r, err
	}
	defer manager.Close()
	var pings atomic.Int64
	go countPings(manager, &pings)
	plain, err := b.startHost(ctx, "plain")
	if err != nil {
		return r, err
	}
	defer plain.Stop()
	watched, err := b.startHost(ctx, "watched", "NOTIFY_SOCKET="+b.Path("notify.sock"), fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	if err != nil {
		return r, err
	}
	defer watched.Stop()
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
	}
	if r.Busy, err = readVitals(plain.Agent.PID()); err != nil {
		return r, err
	}
	return r, r.watch(ctx, &pings, []*testbed.Process{plain.Agent, watched.Agent, empty})
}

// watch counts the wake-ups of the three processes while nothing happens, and
// reads the memory of the first at the end and once more later.
func (r *idle) watch(ctx context.Context, pings *atomic.Int64, processes []*testbed.Process) (err error) {
	for _, p := range processes {
		if err := awaitIdle(ctx, p, atRest); err != nil {
			return err
		}
	}
	began, earlier := time.Now(), pings.Load()
	before, err := countWakeups(processes)
	if err != nil {
		return err
	}
	say("nothing happens for %s", r.Rest)
	if err := testbed.Sleep(ctx, r.Window); err != nil {
		return err
	}
	r.Pings = pings.Load() - earlier
	after, err := countWakeups(processes)
	if err != nil {
		return err
	}
	r.Wakeups, r.Watched, r.Empty = after[0]-before[0], after[1]-before[1], after[2]-before[2]
	if r.Early, err = readVitals(processes[0].PID()); err != nil {
		return err
	}
	if err := testbed.Sleep(ctx, r.Rest-time.Since(began)); err != nil {
		return err
	}
	r.Late, err = readVitals(processes[0].PID())
	return err
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

// countPings counts the watchdog's pings, as systemd does, until conn is closed.
// It receives all the time, because a sender to a full socket would wait.
func countPings(conn *net.UnixConn, pings *atomic.Int64) {
	text := make([]byte, 4<<10)
	for {
		n, err := conn.Read(text)
		if err != nil {
			return
		}
		if strings.Contains(string(text[:n]), "WATCHDOG=1") {
			pings.Add(1)
		}
	}
}
