package main

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"redis-cert-agent/cmd/internal/testbed"
)

// A mainThread is what rotations cost the clients of a redis-server, which does
// everything in one thread.
type mainThread struct {
	Rotations, ConfigSets int64 // how many of each the agent made
	Clients               int
	Every                 time.Duration // between two commands of a client
	Quiet, Bare, Agent    latencies     // with nothing, with bare CONFIG SETs every second, with rotations every second
}

// latencies are those of commands.
type latencies struct {
	Commands  int
	P99, P999 time.Duration
}

// measureMainThread lets clients send commands while, in turns, nothing happens, CONFIG
// SET is sent every second, and the agent rotates every second.
func (b *bench) measureMainThread(ctx context.Context) (m mainThread, err error) {
	h, err := b.startHost(ctx, "thread", testbed.HostOptions{})
	if err != nil {
		return m, err
	}
	defer h.Stop()
	x, err := b.newBare(h)
	if err != nil {
		return m, err
	}
	elsewhere, together, err := b.apart(h)
	if err != nil {
		return m, err
	}
	defer together()
	m.Clients, m.Every = 8, 2*time.Millisecond
	say("commands under load: %d times %s without and with CONFIG SET, and with rotations", b.opts.arms, b.opts.arm)
	var all [3][]time.Duration
	for range b.opts.arms {
		for n, each := range []func(context.Context) error{nil, on(elsewhere, x.configSet), h.rotate} {
			before, err := h.configSets(ctx)
			if err != nil {
				return m, err
			}
			took, times, err := h.underLoad(ctx, m, b.opts.arm, each)
			if err != nil {
				return m, err
			}
			all[n] = append(all[n], took...)
			if n == 2 {
				after, err := h.configSets(ctx)
				if err != nil {
					return m, err
				}
				m.Rotations, m.ConfigSets = m.Rotations+times, m.ConfigSets+after-before
			}
		}
	}
	for n, into := range []*latencies{&m.Quiet, &m.Bare, &m.Agent} {
		*into = latencies{len(all[n]), quantile(all[n], 0.99, itself), quantile(all[n], 0.999, itself)}
	}
	return m, nil
}

// apart leaves one processor to redis and its clients, and another one, which it returns,
// to all else, so that what is measured is what redis is made to do.
func (b *bench) apart(h *host) (elsewhere int, together func(), err error) {
	all, err := processors()
	if err != nil {
		return 0, nil, err
	}
	together = func() {
		for _, pid := range []int{os.Getpid(), b.AuthorityPID()} {
			if err := place(pid, all...); err != nil {
				say("%v", err)
			}
		}
	}
	return all[1], together, errors.Join(place(h.Redis.PID(), all[0]), place(os.Getpid(), all[0]),
		place(h.Agent.PID(), all[1]), place(b.AuthorityPID(), all[1]))
}

// underLoad has each done once a second while clients send commands, and returns how
// long each command took and how often each was done.
func (h *host) underLoad(ctx context.Context, m mainThread, d time.Duration, each func(context.Context) error) (all []time.Duration, times int64, err error) {
	var failed atomic.Pointer[error]
	until, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	took := make([][]time.Duration, m.Clients)
	var clients sync.WaitGroup
	for n := range m.Clients {
		clients.Go(func() {
			c := h.Client()
			defer c.Close()
			tick := time.NewTicker(m.Every)
			defer tick.Stop()
			for until.Err() == nil {
				start := time.Now()
				if err := c.Incr(ctx, "latency").Err(); err != nil {
					failed.Store(&err)
					return
				}
				took[n] = append(took[n], time.Since(start))
				<-tick.C
			}
		})
	}
	for tick := time.NewTicker(time.Second); each != nil && err == nil; {
		select {
		case <-until.Done():
			each = nil
		case <-tick.C:
			if err = each(ctx); err == nil {
				times++
			}
		}
	}
	clients.Wait()
	for n := range took {
		all = append(all, took[n][min(50, len(took[n])):]...) // without the connection, and the first few
	}
	if f := failed.Load(); f != nil {
		err = errors.Join(err, *f)
	}
	return all, times, err
}

var configSetCalls = regexp.MustCompile(`cmdstat_config\|set:calls=(\d+)`)

// configSets returns how often the server was sent CONFIG SET.
func (h *host) configSets(ctx context.Context) (int64, error) {
	c := h.Client()
	defer c.Close()
	text, err := c.Info(ctx, "commandstats").Result()
	if err != nil {
		return 0, err
	}
	found := configSetCalls.FindStringSubmatch(text)
	if found == nil { // none yet
		return 0, nil
	}
	return strconv.ParseInt(found[1], 10, 64)
}
