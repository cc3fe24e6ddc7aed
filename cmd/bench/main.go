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
	step, redisCLI, certbot string // the programs of others
	out                     string // the page to write; empty: standard output
	only                    string // the part to measure; empty: all

	rounds    int           // of the rotation and its parts
	compare   int           // rotations by each of the ways, warm
	fromRest  int           // and by daemons that were at rest
	due       time.Duration // how long renewals are waited for
	changes   int           // of a pair, by another program
	starts    int           // of an agent
	arms      int           // how often each of three loads is put on a redis-server
	arm       time.Duration // for how long
	crowd     int           // rotations of many servers
	frozen    int           // rotations of many servers of which some hang
	agents    int           // on one host
	endpoints int           // of a check
	rotations int           // under load
	idle      time.Duration // how long wake-ups are counted
	rest      time.Duration // until memory is read once more
}

// full is what make bench does; quick is enough to see that everything works.
var (
	full = options{rounds: 200, compare: 60, fromRest: 10, due: 50 * time.Second, changes: 20, starts: 30, arms: 4, arm: 5 * time.Second,
		crowd: 12, frozen: 3, agents: 500, endpoints: 10_000, rotations: 700, idle: time.Minute, rest: 5 * time.Minute}
	quick = options{rounds: 10, compare: 5, fromRest: 2, due: 10 * time.Second, changes: 3, starts: 5, arms: 1, arm: 3 * time.Second,
		crowd: 3, frozen: 1, agents: 20, endpoints: 500, rotations: 30, idle: 5 * time.Second, rest: 6 * time.Second}
)

func main() {
	var programs testbed.Options
	programs.Flags()
	step := flag.String("step", "bin/step", "the `binary` of the step CLI")
	redisCLI := flag.String("redis-cli", "redis-cli", "the `binary` of redis-cli")
	certbot := flag.String("certbot", "certbot", "certbot's `program`")
	out := flag.String("o", "", "write the page to this `file` (default: standard output)")
	flag.StringVar(&programs.Dir, "dir", "/var/tmp", "make the temporary directory here: on a disk, where no other program makes and removes files")
	only := flag.String("only", "", "measure only this `part`, and write to standard output")
	isQuick := flag.Bool("quick", false, "measure little: to see that everything works")
	var self roles
	self.flags()
	flag.Parse()
	if self.any() {
		self.play()
		return
	}
	o := full
	if *isQuick {
		o = quick
	}
	o.Options, o.step, o.redisCLI, o.certbot, o.out = programs, *step, *redisCLI, *certbot, *out
	if o.only = *only; o.only != "" {
		o.out = ""
	}
	o.Lifetime = time.Hour // and any shorter one that an agent asks for
	var r results
	testbed.Main(30*time.Minute, o.Options, func(ctx context.Context, t *testbed.Testbed) (err error) {
		if r, err = (&bench{opts: o, Testbed: t}).measure(ctx); err != nil {
			return err
		}
		return r.write(o.out)
	})
	if r.missed() && o.only == "" {
		os.Exit(1)
	}
}

// roles are what the bench starts itself for.
type roles struct {
	empty, shake bool
	serve        int
	root, list   string
}

func (r *roles) flags() {
	flag.BoolVar(&r.empty, "empty", false, "do nothing (bench starts itself so, to count the wake-ups of an empty Go program)")
	flag.IntVar(&r.serve, "serve", 0, "serve so `many` endpoints, and write the files -root and -targets (bench starts itself so)")
	flag.BoolVar(&r.shake, "shake", false, "shake hands with -targets, verified by -root (bench starts itself so)")
	flag.StringVar(&r.root, "root", "", "the `file` of a root certificate")
	flag.StringVar(&r.list, "targets", "", "the `file` of addresses, one a line")
}

func (r *roles) any() bool { return r.empty || r.shake || r.serve > 0 }

func (r *roles) play() {
	var err error
	switch {
	case r.empty:
		time.Sleep(math.MaxInt64)
	case r.serve > 0:
		err = serveEndpoints(r.serve, r.root, r.list)
	default:
		err = shakeHands(r.root, r.list)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// say prints what the bench is doing.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }

// results are what one run has measured. The template of the page reads them.
type results struct {
	Only       string // the part that was measured; empty: all
	Machine    machine
	Rotation   rotation
	Comparison comparison
	Promptness promptness
	MainThread mainThread
	Crowd      crowd
	Idle       idle
	Endurance  endurance
	Herd       herd
	Endpoints  endpoints
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
	r.Only = b.opts.only
	for _, part := range []struct {
		name    string
		measure func() error
	}{
		{"rotation", into(ctx, &r.Rotation, b.measureRotation)},
		{"comparison", into(ctx, &r.Comparison, b.measureComparison)},
		{"promptness", into(ctx, &r.Promptness, b.measurePromptness)},
		{"main thread", into(ctx, &r.MainThread, b.measureMainThread)},
		{"many servers", into(ctx, &r.Crowd, b.measureCrowd)},
		{"idle", into(ctx, &r.Idle, b.measureIdle)},
		{"endurance", into(ctx, &r.Endurance, b.measureEndurance)},
		{"many agents", into(ctx, &r.Herd, b.measureHerd)},
		{"endpoints", into(ctx, &r.Endpoints, b.measureEndpoints)},
	} {
		if b.opts.only != "" && b.opts.only != part.name {
			continue
		}
		start := time.Now()
		if err := part.measure(); err != nil {
			return r, fmt.Errorf("%s: %w", part.name, err)
		}
		say("%s: took %s", part.name, time.Since(start).Round(time.Second))
	}
	return r, nil
}

func into[T any](ctx context.Context, place *T, measure func(context.Context) (T, error)) func() error {
	return func() (err error) {
		*place, err = measure(ctx)
		return err
	}
}

// steady lets an agent renew at two-thirds of the lifetime and not at a turn of its own,
// which may come while something else is measured.
const steady = "jitter: 0%\n"

// A host is one redis-server and its agent, which is made to rotate.
type host struct {
	*testbed.Host
	control *control.Client
}

// startHost starts a host and returns once the agent has proven what redis
// serves. The variables env are for the agent.
func (b *bench) startHost(ctx context.Context, name string, o testbed.HostOptions, env ...string) (*host, error) {
	if o.Lifetime == 0 {
		o.Config += steady
	}
	started, err := b.StartHost(ctx, name, o, env...)
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
