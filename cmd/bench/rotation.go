package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A rotation is figure 1: the agent's rotation against its own parts.
type rotation struct {
	rounds int
	sum    time.Duration // of the parts, done bare
	parts  map[string]time.Duration
	whole  time.Duration // by the daemon, from the request on its control socket to the answer
	cpu    time.Duration // of the daemon, per rotation, with what it looks at after its answer
	spread [2]float64    // quartiles of whole by sum, round by round
}

// ratio is that of the medians.
func (r rotation) ratio() float64 { return float64(r.whole) / float64(r.sum) }

// The parts, in the order of the table.
const (
	partRekey     = "HTTPS rekey: key, request, mTLS connection, one round trip"
	partWrite     = "four files, three directories, one link: written and fsynced"
	partConfigSet = "CONFIG SET: TLS connection, AUTH, one command"
	partHandshake = "one verified TLS handshake with redis"
)

var partNames = []string{partRekey, partWrite, partConfigSet, partHandshake}

// measureRotation takes turns: the daemon, each part, the daemon, and so on.
func (b *bench) measureRotation(ctx context.Context) (rotation, error) {
	h, err := b.newHost(ctx, "rotation")
	if err != nil {
		return rotation{}, err
	}
	defer h.close()
	x, err := newBare(ctx, h)
	if err != nil {
		return rotation{}, err
	}
	say("%d rotations, in turns with their parts", b.rounds)
	const warmUp = 10
	var before vitals
	rounds := make([]round, warmUp+b.rounds)
	for i := range rounds {
		if i == warmUp {
			if before, err = readVitals(h.agent.PID()); err != nil {
				return rotation{}, err
			}
		}
		if rounds[i], err = x.play(ctx); err != nil {
			return rotation{}, err
		}
	}
	after, err := readVitals(h.agent.PID())
	if err != nil {
		return rotation{}, err
	}
	out := summarise(rounds[warmUp:])
	out.cpu = (after.cpu - before.cpu) / time.Duration(b.rounds)
	return out, nil
}

// A round is one turn of each.
type round struct {
	whole, sum time.Duration
	parts      map[string]time.Duration
}

func (x *bare) play(ctx context.Context) (t round, err error) {
	// What the daemon does after its answer must not count as another's time.
	calm := func() error { return quiet(ctx, x.h.agent.PID(), 12*time.Millisecond) }
	if err := calm(); err != nil {
		return t, err
	}
	if t.whole, err = timed(ctx, x.h.rotate); err != nil {
		return t, err
	}
	if err := calm(); err != nil {
		return t, err
	}
	t.parts = map[string]time.Duration{}
	for name, do := range map[string]func(context.Context) error{
		partRekey: x.rekey, partConfigSet: x.configSet, partHandshake: x.handshake, partWrite: x.write,
	} {
		if t.parts[name], err = timed(ctx, do); err != nil {
			return t, fmt.Errorf("%s: %w", name, err)
		}
		t.sum += t.parts[name]
	}
	return t, nil
}

func timed(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
	start := time.Now()
	err := do(ctx)
	return time.Since(start), err
}

func summarise(rounds []round) rotation {
	of := func(what func(round) time.Duration) time.Duration {
		var all []time.Duration
		for _, t := range rounds {
			all = append(all, what(t))
		}
		return median(all)
	}
	r := rotation{
		rounds: len(rounds), parts: map[string]time.Duration{},
		sum:   of(func(t round) time.Duration { return t.sum }),
		whole: of(func(t round) time.Duration { return t.whole }),
	}
	for _, name := range partNames {
		r.parts[name] = of(func(t round) time.Duration { return t.parts[name] })
	}
	var ratios []float64
	for _, t := range rounds {
		ratios = append(ratios, float64(t.whole)/float64(t.sum))
	}
	slices.Sort(ratios)
	r.spread = [2]float64{ratios[len(ratios)/4], ratios[len(ratios)*3/4]}
	return r
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}
