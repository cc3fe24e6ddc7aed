package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"redis-cert-agent/agent/control"
	"redis-cert-agent/cmd/internal/testbed"
)

// promptness is how long it takes until something has happened.
type promptness struct {
	Due, Changed, Started []time.Duration
}

// measurePromptness measures from the due date and from the last write of another
// program to the first handshake that shows the new leaf, and from the start of the
// agent to READY.
func (b *bench) measurePromptness(ctx context.Context) (p promptness, err error) {
	if p.Due, err = b.measureDue(ctx); err != nil {
		return p, fmt.Errorf("from due to served: %w", err)
	}
	if p.Changed, err = b.measureChanged(ctx); err != nil {
		return p, fmt.Errorf("from changed to served: %w", err)
	}
	if p.Started, err = b.measureStart(ctx); err != nil {
		return p, fmt.Errorf("from the start to READY: %w", err)
	}
	return p, nil
}

// shortLife is the lifetime of the certificates of which renewals are waited for.
const shortLife = 4 * time.Second

// measureDue lets a few agents renew certificates of a few seconds, unasked.
func (b *bench) measureDue(ctx context.Context) (all []time.Duration, err error) {
	const hosts = 4
	say("certificates of %s are renewed for %s", shortLife, b.opts.due)
	end := time.Now().Add(b.opts.due)
	var measuring sync.WaitGroup
	var mu sync.Mutex
	for n := range hosts {
		h, failed := b.startHost(ctx, fmt.Sprintf("due%d", n), testbed.HostOptions{Lifetime: shortLife})
		if failed != nil {
			return nil, failed
		}
		defer h.Stop()
		measuring.Go(func() {
			for time.Now().Before(end) {
				late, failed := h.awaitRenewal(ctx)
				mu.Lock()
				all, err = append(all, late), errors.Join(err, failed)
				mu.Unlock()
				if failed != nil {
					return
				}
			}
		})
	}
	measuring.Wait()
	return all, err
}

// awaitRenewal waits for the due date that the agent tells, and returns how long after
// it redis shows the new leaf. Only shortly before it are there handshakes.
func (h *host) awaitRenewal(ctx context.Context) (time.Duration, error) {
	s, err := h.control.Status(ctx)
	for err == nil && time.Until(s.Due) < 100*time.Millisecond { // the last renewal is not told yet
		if err = testbed.Sleep(ctx, 50*time.Millisecond); err == nil {
			s, err = h.control.Status(ctx)
		}
	}
	if err != nil {
		return 0, err
	}
	if err := testbed.Sleep(ctx, time.Until(s.Due)-50*time.Millisecond); err != nil {
		return 0, err
	}
	old, err := served(ctx, h.Address)
	if err != nil {
		return 0, err
	}
	if err := testbed.Sleep(ctx, time.Until(s.Due)); err != nil {
		return 0, err
	}
	_, err = awaitServed(ctx, h.Address, old)
	return time.Since(s.Due), err
}

// measureChanged has step put another pair at the place of one that the agent only
// watches.
func (b *bench) measureChanged(ctx context.Context) (all []time.Duration, err error) {
	p, err := b.newPeer(ctx, "changed")
	if err != nil {
		return nil, err
	}
	defer p.Stop()
	config := fmt.Sprintf("issuer: none\nnames: [localhost, 127.0.0.1]\nservers: [{address: %s, password_file: %q}]\npaths: {cert: %q, key: %q, ca: %q}\ndirectory: %s\ncontrol: %s\n",
		p.Address, b.RedisPasswordFile, p.file("redis.crt"), p.file("redis.key"), p.file("ca.crt"), p.Path("pair"), p.Path("control.sock"))
	if err := os.WriteFile(p.Config, []byte(config), 0o600); err != nil {
		return nil, err
	}
	if err := p.StartAgent(ctx); err != nil {
		return nil, err
	}
	asked := control.Dial(p.Path("control.sock"))
	if err := p.Agent.Until(ctx, func() bool { _, err := asked.Renew(ctx, false); return err == nil }); err != nil {
		return nil, err
	}
	say("another program changes a pair %d times", b.opts.changes)
	for range b.opts.changes {
		took, err := p.change(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, took)
	}
	return all, nil
}

// change puts a new pair at the place of the old one by two renames, and returns how
// long after the second redis shows it.
func (p *peer) change(ctx context.Context) (time.Duration, error) {
	if err := p.enroll(ctx, p.Path("new.crt"), p.Path("new.key")); err != nil {
		return 0, err
	}
	if err := awaitIdle(ctx, p.Agent, 100*time.Millisecond); err != nil {
		return 0, err
	}
	old, err := served(ctx, p.Address)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(os.Rename(p.Path("new.key"), p.file("redis.key")), os.Rename(p.Path("new.crt"), p.file("redis.crt"))); err != nil {
		return 0, err
	}
	start := time.Now()
	_, err = awaitServed(ctx, p.Address, old)
	return time.Since(start), err
}

// measureStart starts an agent again and again beside a redis-server that serves its
// pair.
func (b *bench) measureStart(ctx context.Context) (all []time.Duration, err error) {
	m, err := b.listenNotify("start.sock")
	if err != nil {
		return nil, err
	}
	defer m.conn.Close()
	h, err := b.startHost(ctx, "start", testbed.HostOptions{})
	if err != nil {
		return nil, err
	}
	defer h.Stop()
	say("an agent starts %d times", b.opts.starts)
	for range b.opts.starts {
		h.Agent.Stop(syscall.SIGTERM)
		m.ready.Store(0)
		start := time.Now()
		if err := h.StartAgent(ctx, m.env); err != nil {
			return nil, err
		}
		if err := h.Agent.Until(ctx, func() bool { return m.ready.Load() != 0 }); err != nil {
			return nil, err
		}
		all = append(all, time.Unix(0, m.ready.Load()).Sub(start))
	}
	return all, nil
}

// A manager receives what a service manager is told.
type manager struct {
	conn         *net.UnixConn
	env          string       // the variable by which an agent finds it
	pings, ready atomic.Int64 // how many pings there were; when READY came, in Unix nanoseconds
}

func (b *bench) listenNotify(name string) (*manager, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: b.Path(name), Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	m := &manager{conn: conn, env: "NOTIFY_SOCKET=" + b.Path(name)}
	go m.receive()
	return m, nil
}

// receive receives, as systemd does, until the connection is closed: all the time,
// because a sender to a full socket would wait.
func (m *manager) receive() {
	text := make([]byte, 4<<10)
	for {
		n, err := m.conn.Read(text)
		if err != nil {
			return
		}
		if strings.Contains(string(text[:n]), "WATCHDOG=1") {
			m.pings.Add(1)
		}
		if strings.Contains(string(text[:n]), "READY=1") {
			m.ready.CompareAndSwap(0, time.Now().UnixNano())
		}
	}
}
