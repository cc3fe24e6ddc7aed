// Bench measures what redis-cert-agent promises, on a real redis-server with TLS
// and a password, a real step-ca, and the agent's binary as it is released. It
// writes docs/benchmarks.md and fails when a figure is missed. See make bench.
//
// Durations are stated as the ratio of two medians of the same run, taken in
// turns, because the milliseconds of one machine tell nothing about another.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"time"

	"redis-cert-agent/agent/control"
	"redis-cert-agent/cmd/internal/testbed"
)

type options struct {
	testbed.Options
	out       string        // the page to write; empty: standard output
	rounds    int           // of the rotation and its parts
	rotations int           // under load
	idle      time.Duration // how long wake-ups are counted
	rest      time.Duration // until memory is read once more
}

func main() {
	var o options
	o.Flags()
	flag.StringVar(&o.out, "o", "", "write the page to this `file` (default: standard output)")
	flag.StringVar(&o.Dir, "dir", "/var/tmp", "make the temporary directory here: on a disk, where no other program makes and removes files")
	flag.IntVar(&o.rounds, "rounds", 300, "rotations to compare with their parts")
	flag.IntVar(&o.rotations, "rotations", 1000, "rotations under load")
	flag.DurationVar(&o.idle, "idle", time.Minute, "how long to count the wake-ups of idle agents")
	flag.DurationVar(&o.rest, "rest", 150*time.Second, "when to read the memory of an idle agent once more")
	empty := flag.Bool("empty", false, "do nothing (bench starts itself so, to count the wake-ups of an empty Go program)")
	flag.Parse()
	if *empty {
		time.Sleep(math.MaxInt64)
	}
	var r results
	testbed.Main(30*time.Minute, o.Options, func(ctx context.Context, t *testbed.Testbed) (err error) {
		if r, err = (&bench{opts: o, Testbed: t}).measure(ctx); err != nil {
			return err
		}
		return r.write(o.out)
	})
	if r.missed() {
		os.Exit(1)
	}
}

// say prints what the bench is doing.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }

// results are what one run has measured. The template of the page reads them.
type results struct {
	Machine   machine
	Idle      idle
	Rotation  rotation
	Endurance endurance
}

// missed prints all figures and says whether one was missed.
func (r results) missed() (missed bool) {
	for _, f := range r.Figures() {
		verdict := "met"
		if !f.Met {
			verdict, missed = "MISSED", true
		}
		say("%-6s  %-45s %12s   (%s)", verdict, f.Name, f.Value, f.Target)
	}
	return missed
}

// A bench is what the measurements share.
type bench struct {
	opts options
	*testbed.Testbed
}

func (b *bench) measure(ctx context.Context) (r results, err error) {
	if r.Machine, err = describeMachine(b.Dir, b.RedisVersion); err != nil {
		return r, err
	}
	if r.Rotation, err = b.measureRotation(ctx); err != nil {
		return r, fmt.Errorf("rotation: %w", err)
	}
	if r.Idle, err = b.measureIdle(ctx); err != nil {
		return r, fmt.Errorf("idle: %w", err)
	}
	if r.Endurance, err = b.measureEndurance(ctx); err != nil {
		return r, fmt.Errorf("endurance: %w", err)
	}
	return r, nil
}

// A host is one redis-server and its agent, which is made to rotate.
type host struct {
	*testbed.Host
	control *control.Client
}

// startHost starts a host and returns once the agent has proven what redis
// serves. The variables env are for the agent.
func (b *bench) startHost(ctx context.Context, name string, env ...string) (*host, error) {
	started, err := b.StartHost(ctx, name, "", env...)
	if err != nil {
		return nil, err
	}
	h := &host{started, control.Dial(started.Path("control.sock"))}
	// The agent tried in vain while there was no redis, and would wait now.
	_, err = h.control.Renew(ctx, false)
	return h, err
}

// rotate has the agent get a new certificate. It returns once redis is proven
// to serve it.
func (h *host) rotate(ctx context.Context) error {
	outcome, err := h.control.Renew(ctx, true)
	if err == nil && !outcome.Issued {
		err = errors.New("the agent says that it issued nothing")
	}
	if err != nil {
		return fmt.Errorf("rotate: %w", err)
	}
	return nil
}
