package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"redis-cert-agent/cmd/internal/process"
)

// An idle is figure 2: what an agent takes that has nothing to do.
type idle struct {
	binary    int64  // bytes
	busy      vitals // right after three rotations
	rest      vitals // at the end of the window
	window    time.Duration
	wakeups   int64 // of the agent without a watchdog, in the window
	watched   int64 // of the agent with one
	empty     int64 // of a Go program that waits for a signal and does nothing else
	pings     int64 // that the watched agent sent
	wantPings int64
}

// watchdog is the limit that the watched agent is told; it pings twice as often.
const watchdog = 20 * time.Second

// measureIdle lets three processes do nothing, at the same time: an agent, an
// agent whose service manager wants to hear from it, and an empty Go program,
// which shows what the runtime does of its own accord.
func (b *bench) measureIdle(ctx context.Context) (idle, error) {
	r := idle{window: b.idle, wantPings: int64(b.idle / (watchdog / 2))}
	info, err := os.Stat(b.agent)
	if err != nil {
		return idle{}, err
	}
	r.binary = info.Size()

	manager, err := listen(filepath.Join(b.dir, "notify.sock"))
	if err != nil {
		return idle{}, err
	}
	defer manager.conn.Close()
	plain, err := b.newHost(ctx, "plain")
	if err != nil {
		return idle{}, err
	}
	defer plain.close()
	watched, err := b.newHost(ctx, "watched", "NOTIFY_SOCKET="+manager.path, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	if err != nil {
		return idle{}, err
	}
	defer watched.close()
	self, err := os.Executable()
	if err != nil {
		return idle{}, err
	}
	empty, err := start(filepath.Join(b.dir, "empty.log"), nil, self, "-empty")
	if err != nil {
		return idle{}, err
	}
	defer empty.Stop(syscall.SIGKILL)

	for range 3 {
		for _, h := range []*host{plain, watched} {
			if err := h.rotate(ctx); err != nil {
				return idle{}, err
			}
		}
	}
	if r.busy, err = readVitals(plain.agent.PID()); err != nil {
		return idle{}, err
	}
	for _, p := range []*process.Process{plain.agent, watched.agent, empty} {
		if err := quiet(ctx, p.PID(), settled); err != nil {
			return idle{}, err
		}
	}
	processes := map[*process.Process]*int64{plain.agent: &r.wakeups, watched.agent: &r.watched, empty: &r.empty}
	for p, n := range processes {
		before, err := readWakeups(p.PID())
		if err != nil {
			return idle{}, err
		}
		*n = -before
	}
	pings := manager.pings.Load()
	say("nothing happens for %s", b.idle)
	select {
	case <-time.After(b.idle):
	case <-ctx.Done():
		return idle{}, ctx.Err()
	}
	r.pings = manager.pings.Load() - pings
	for p, n := range processes {
		after, err := readWakeups(p.PID())
		if err != nil {
			return idle{}, err
		}
		*n += after
	}
	r.rest, err = readVitals(plain.agent.PID())
	return r, err
}

// A manager counts the watchdog's pings, as systemd does.
type manager struct {
	path  string
	conn  *net.UnixConn
	pings atomic.Int64
}

// listen reads all the time: whoever sends to a full socket waits.
func listen(path string) (*manager, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	m := &manager{path: path, conn: conn}
	go func() {
		text := make([]byte, 4<<10)
		for {
			n, err := conn.Read(text)
			if err != nil {
				return
			}
			if strings.Contains(string(text[:n]), "WATCHDOG=1") {
				m.pings.Add(1)
			}
		}
	}()
	return m, nil
}
