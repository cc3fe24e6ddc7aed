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
	whole  time.Duration            // median, from the request on the control socket to its answer
	sum    time.Duration            // median of the sum of the parts of one round
	parts  map[string]time.Duration // median of each
	cpu    time.Duration            // of the agent, per rotation, with what it looks at afterwards
	spread [2]float64               // quartiles of the ratio of one round
}

func (r rotation) ratio() float64 { return float64(r.whole) / float64(r.sum) }

// The parts, in the order of the table.
const (
	partRekey     = "HTTPS rekey: key, request, mTLS connection, one round trip"
	partConfigSet = "CONFIG SET: TLS connection, AUTH, one command"
	partHandshake = "one verified TLS handshake with redis"
	partWrite     = "four files, three directories, one link: written and fsynced"
)

var partNames = []string{partRekey, partWrite, partConfigSet, partHandshake}

// measureRotation takes turns: the agent's rotation, then each part, and so on.
// Before each of the two the agent has come to rest.
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
	const warmUp = 10
	var wholes, sums []time.Duration
	var ratios []float64
	times := map[string][]time.Duration{}
	var before vitals
	for i := range warmUp + b.rounds {
		if i == warmUp {
			if before, err = readVitals(h.agent.pid()); err != nil {
				return rotation{}, err
			}
		}
		whole, parts, err := x.round(ctx)
		if err != nil {
			return rotation{}, err
		}
		if i < warmUp {
			continue
		}
		var sum time.Duration
		for name, d := range parts {
			times[name] = append(times[name], d)
			sum += d
		}
		wholes, sums, ratios = append(wholes, whole), append(sums, sum), append(ratios, float64(whole)/float64(sum))
	}
	after, err := readVitals(h.agent.pid())
	if err != nil {
		return rotation{}, err
	}
	slices.Sort(ratios)
	r := rotation{
		rounds: b.rounds, whole: median(wholes), sum: median(sums), parts: map[string]time.Duration{},
		cpu:    (after.cpu - before.cpu) / time.Duration(b.rounds),
		spread: [2]float64{ratios[len(ratios)/4], ratios[len(ratios)*3/4]},
	}
	for name, d := range times {
		r.parts[name] = median(d)
	}
	return r, nil
}

// round times one rotation of the agent and one of each part.
func (x *bare) round(ctx context.Context) (whole time.Duration, parts map[string]time.Duration, err error) {
	const still = 12 * time.Millisecond
	if err := quiet(ctx, x.h.agent.pid(), still); err != nil {
		return 0, nil, err
	}
	if whole, err = timed(ctx, x.h.rotate); err != nil {
		return 0, nil, err
	}
	if err := quiet(ctx, x.h.agent.pid(), still); err != nil {
		return 0, nil, err
	}
	parts = map[string]time.Duration{}
	for name, do := range map[string]func(context.Context) error{
		partRekey: x.rekey, partConfigSet: x.configSet, partHandshake: x.handshake, partWrite: x.write,
	} {
		if parts[name], err = timed(ctx, do); err != nil {
			return 0, nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return whole, parts, nil
}

func timed(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
	start := time.Now()
	err := do(ctx)
	return time.Since(start), err
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}
