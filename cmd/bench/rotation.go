package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"redis-cert-agent/cmd/internal/testbed"
)

// A rotation compares the agent's rotation with its own parts.
type rotation struct {
	Rounds int
	Parts  []part        // each with its median
	Sum    time.Duration // of the parts of one round; the median
	Whole  time.Duration // by the daemon, from the request on its control socket to the answer; the median
	CPU    time.Duration // of this program, for the parts of one round; the median
	Spread [2]float64    // quartiles of whole by sum, round by round
}

// A part is something that no rotation can do without.
type part struct {
	Name string
	Took time.Duration
}

// By returns how much of the sum d is.
func (r rotation) By(d time.Duration) float64 { return float64(d) / float64(r.Sum) }

// warmUp is the number of rounds that do not count.
const warmUp = 10

// measureRotation takes turns: the daemon, each part, the daemon, and so on.
func (b *bench) measureRotation(ctx context.Context) (rotation, error) {
	h, err := b.startHost(ctx, "rotation", testbed.HostOptions{})
	if err != nil {
		return rotation{}, err
	}
	defer h.Stop()
	x, err := b.newBare(h)
	if err != nil {
		return rotation{}, err
	}
	say("%d rotations, in turns with their parts", b.opts.rounds)
	var rounds []round
	for range warmUp + b.opts.rounds {
		r, err := x.round(ctx)
		if err != nil {
			return rotation{}, err
		}
		rounds = append(rounds, r)
	}
	return summarise(rounds[warmUp:]), nil
}

// A round is one turn of the daemon and of each part.
type round struct {
	whole, sum, cpu time.Duration
	parts           []part
}

// round waits before and after the daemon's turn until the agent is idle: what
// it does after its answer must not slow down what is measured next.
func (x *bare) round(ctx context.Context) (r round, err error) {
	if err := awaitIdle(ctx, x.host.Agent, stillFor); err != nil {
		return r, err
	}
	if r.whole, err = timed(ctx, x.host.rotate); err != nil {
		return r, err
	}
	if err := awaitIdle(ctx, x.host.Agent, stillFor); err != nil {
		return r, err
	}
	before, err := readCPU(os.Getpid())
	if err != nil {
		return r, err
	}
	for _, p := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"HTTPS rekey: key, request, mTLS connection, one round trip", x.rekey},
		{"four files, three directories, one link: written and fsynced", x.write},
		{"CONFIG SET: TLS connection, AUTH, one command", x.configSet},
		{"one verified TLS handshake with redis", x.handshake},
	} {
		took, err := timed(ctx, p.do)
		if err != nil {
			return r, fmt.Errorf("%s: %w", p.name, err)
		}
		r.parts = append(r.parts, part{p.name, took})
		r.sum += took
	}
	after, err := readCPU(os.Getpid())
	r.cpu = after - before
	return r, err
}

func timed(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
	start := time.Now()
	err := do(ctx)
	return time.Since(start), err
}

func summarise(rounds []round) rotation {
	out := rotation{
		Rounds: len(rounds),
		Sum:    median(rounds, func(r round) time.Duration { return r.sum }),
		Whole:  median(rounds, func(r round) time.Duration { return r.whole }),
		CPU:    median(rounds, func(r round) time.Duration { return r.cpu }),
	}
	for i, p := range rounds[0].parts {
		out.Parts = append(out.Parts, part{p.Name, median(rounds, func(r round) time.Duration { return r.parts[i].Took })})
	}
	var ratios []float64
	for _, r := range rounds {
		ratios = append(ratios, float64(r.whole)/float64(r.sum))
	}
	slices.Sort(ratios)
	out.Spread = [2]float64{ratios[len(ratios)/4], ratios[len(ratios)*3/4]}
	return out
}
