package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"redis-cert-agent/agent/control"
	"redis-cert-agent/cmd/internal/testbed"
)

// A herd is many agents on one host, each with a redis-server of its own.
type herd struct {
	Agents        int
	Anon, One     int64         // RssAnon of all, and of one alone, in KiB, when they had come to rest
	Took          time.Duration // from the first certificate to the last, where all agents started at once
	Mean, Busiest float64       // certificates in a second
}

// measureHerd starts many agents at the same time, none of which has a certificate.
func (b *bench) measureHerd(ctx context.Context) (r herd, err error) {
	r.Agents = b.opts.agents
	if r.One, err = b.measureLone(ctx); err != nil {
		return r, err
	}
	say("%d agents start at the same time", r.Agents)
	hosts := make([]*host, r.Agents)
	for n := range hosts {
		h, err := b.NewHost(fmt.Sprintf("herd%d", n), testbed.HostOptions{Config: steady})
		if err != nil {
			return r, err
		}
		hosts[n] = &host{h, control.Dial(h.Path("control.sock"))}
	}
	defer func() {
		for _, h := range hosts {
			h.Stop()
		}
	}()
	for _, h := range hosts {
		if err := h.LaunchAgent(); err != nil {
			return r, err
		}
	}
	var issued []time.Time
	for _, h := range hosts {
		if err := h.AwaitPair(ctx); err != nil {
			return r, err
		}
		info, err := os.Stat(h.Path("pair/current/redis.crt"))
		if err != nil {
			return r, err
		}
		issued = append(issued, info.ModTime())
	}
	r.spread(issued)
	for _, h := range hosts {
		if err := h.StartRedis(ctx); err != nil {
			return r, err
		}
		if _, err := h.control.Renew(ctx, false); err != nil {
			return r, err
		}
	}
	if err := testbed.Sleep(ctx, 2*restFor); err != nil {
		return r, err
	}
	for _, h := range hosts {
		v, err := readVitals(h.Agent.PID())
		if err != nil {
			return r, err
		}
		r.Anon += v.Anon
	}
	return r, nil
}

// measureLone returns what one agent takes that does what each of many does.
func (b *bench) measureLone(ctx context.Context) (int64, error) {
	h, err := b.startHost(ctx, "lone", testbed.HostOptions{})
	if err != nil {
		return 0, err
	}
	defer h.Stop()
	if err := testbed.Sleep(ctx, 2*restFor); err != nil {
		return 0, err
	}
	v, err := readVitals(h.Agent.PID())
	return v.Anon, err
}

// ByOne returns the memory of all by that of as many times one.
func (r herd) ByOne() float64 { return float64(r.Anon) / float64(int64(r.Agents)*r.One) }

// spread tells how evenly the certificates came.
func (r *herd) spread(issued []time.Time) {
	first, last := issued[0], issued[0]
	for _, t := range issued {
		if t.Before(first) {
			first = t
		}
		if t.After(last) {
			last = t
		}
	}
	seconds := map[int]int{}
	for _, t := range issued {
		n := int(t.Sub(first) / time.Second)
		seconds[n]++
		r.Busiest = max(r.Busiest, float64(seconds[n]))
	}
	r.Took = last.Sub(first)
	r.Mean = float64(len(issued)) / max(r.Took.Seconds(), 1)
}
