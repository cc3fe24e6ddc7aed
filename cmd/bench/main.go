// Bench measures what redis-cert-agent promises, on a real redis-server with
// TLS and a password, a real step-ca, and the agent's binary as it is released.
// It writes docs/benchmarks.md and fails when a figure is missed. See make bench.
//
// What takes time is given as a ratio of two medians of the same run, taken in
// turns: the milliseconds of one machine tell nothing about another.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

type options struct {
	out       string        // the page to write; empty: standard output
	agent, ca string        // binaries; empty: built here
	redis     string        // redis-server
	step      string        // the step command, of the comparison
	dir       string        // where the temporary directory is made
	only      string        // one measurement; empty: all
	rounds    int           // of the rotation and its parts
	rotations int           // under load
	idle      time.Duration // how long nothing happens
}

func main() {
	var o options
	var empty bool
	flag.StringVar(&o.out, "o", "", "write the page to this file (default: standard output)")
	flag.StringVar(&o.agent, "agent", "", "redis-cert-agent to measure (default: build it)")
	flag.StringVar(&o.ca, "ca", "", "redis-cert-ca to use (default: build it)")
	flag.StringVar(&o.redis, "redis", "redis-server", "redis-server to use")
	flag.StringVar(&o.step, "step", "step", "step command to compare with; none there: no comparison")
	flag.StringVar(&o.dir, "dir", "/var/tmp", "make the temporary directory here: a disk, where nobody else makes and removes files")
	flag.StringVar(&o.only, "only", "", "measure one thing and write no page: "+strings.Join(measurementNames(), ", "))
	flag.IntVar(&o.rounds, "rounds", 300, "rotations to compare with their parts")
	flag.IntVar(&o.rotations, "rotations", 1000, "rotations under load")
	flag.DurationVar(&o.idle, "idle", time.Minute, "how long to watch idle agents")
	flag.BoolVar(&empty, "empty", false, "wait for a signal and do nothing (the bench starts itself so, to see what an empty program does)")
	flag.Parse()
	redis.SetLogger(quietLog{}) // failures are counted here

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if empty {
		<-ctx.Done()
		return
	}
	if err := runOnce(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// say tells people how far the bench is.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }

type quietLog struct{}

func (quietLog) Printf(context.Context, string, ...any) {}

// results are what one run has measured.
type results struct {
	machine   machine
	idle      idle
	rotation  rotation
	endurance endurance
	peer      peer
	checked   checked
}

// A measurement fills in its part of the results.
type measurement struct {
	name string
	do   func(ctx context.Context, b *bench, r *results) error
}

var measurements = []measurement{
	{"rotation", func(ctx context.Context, b *bench, r *results) (err error) {
		r.rotation, err = b.measureRotation(ctx)
		return err
	}},
	{"idle", func(ctx context.Context, b *bench, r *results) (err error) {
		r.idle, err = b.measureIdle(ctx)
		return err
	}},
	{"endurance", func(ctx context.Context, b *bench, r *results) (err error) {
		r.endurance, err = b.measureEndurance(ctx)
		return err
	}},
	{"peer", func(ctx context.Context, b *bench, r *results) (err error) {
		r.peer, err = b.measurePeer(ctx)
		return err
	}},
	{"check", func(ctx context.Context, b *bench, r *results) (err error) {
		r.checked, err = b.measureCheck(ctx)
		return err
	}},
}

func measurementNames() []string {
	var names []string
	for _, m := range measurements {
		names = append(names, m.name)
	}
	return names
}

// runOnce is one run. Its error names every figure that was missed.
func runOnce(ctx context.Context, o options) error {
	r, err := measure(ctx, o)
	if err != nil {
		return err
	}
	if o.only != "" {
		fmt.Printf("%+v\n", r)
		return nil
	}
	page := r.page()
	if o.out == "" {
		fmt.Print(page)
	} else if err := replacePage(o.out, page); err != nil {
		return err
	}
	var missed []error
	for _, f := range r.figures() {
		say("%-58s %12s   (%s)", f.name, f.value, f.target)
		if !f.met {
			missed = append(missed, fmt.Errorf("missed: %s is %s, wanted %s", f.name, f.value, f.target))
		}
	}
	return errors.Join(missed...)
}

func measure(ctx context.Context, o options) (r results, err error) {
	if r.machine, err = describeMachine(ctx, o); err != nil {
		return r, err
	}
	b, err := newBench(ctx, o)
	defer func() { b.close(err) }()
	if err != nil {
		return r, err
	}
	for _, m := range measurements {
		if o.only != "" && o.only != m.name {
			continue
		}
		if err = m.do(ctx, b, &r); err != nil {
			return r, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return r, nil
}
