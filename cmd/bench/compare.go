package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"redis-cert-agent/cmd/internal/testbed"
)

// A comparison is one rotation by each of the ways to do it, in turns.
type comparison struct {
	Rounds, RestRounds int
	Rest               time.Duration // how long a daemon had done nothing, from rest
	Agent, Step        daemonCost
	Recipe, Certbot    cost
}

// A cost is what one rotation takes.
type cost struct {
	CPU    time.Duration // by all processes that it needs on the host
	Served time.Duration // from the trigger to the first handshake that shows the new leaf
}

// A daemonCost is that of a process that stays.
type daemonCost struct {
	cost
	RestCPU time.Duration // where the daemon had been idle, and until it is idle again
}

const (
	stillFor = 12 * time.Millisecond
	// Agents write their history a second after their last step.
	restFor = 4 * time.Second
)

// contenders are the hosts of one comparison.
type contenders struct {
	agent                 *host
	step, recipe, certbot *peer
	daemon                *testbed.Process // step's
}

func (b *bench) measureComparison(ctx context.Context) (c comparison, err error) {
	x, err := b.startContenders(ctx)
	if err != nil {
		return c, err
	}
	defer x.stop()
	c.Rounds, c.RestRounds, c.Rest = b.opts.compare, b.opts.fromRest, restFor
	say("%d rotations by the agent, by step's daemon and by the timer's recipe", c.Rounds)
	if err := x.warm(ctx, &c); err != nil {
		return c, err
	}
	say("%d rotations by daemons that were at rest", c.RestRounds)
	if err := x.fromRest(ctx, &c); err != nil {
		return c, err
	}
	c.Certbot, err = x.byCertbot(ctx)
	return c, err
}

func (b *bench) startContenders(ctx context.Context) (x *contenders, err error) {
	x = new(contenders)
	if x.agent, err = b.startHost(ctx, "agent", testbed.HostOptions{}); err != nil {
		return nil, err
	}
	for name, p := range map[string]**peer{"step": &x.step, "recipe": &x.recipe, "certbot": &x.certbot} {
		if *p, err = b.newPeer(ctx, name); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	x.daemon, err = x.step.startDaemon(ctx, "step.log")
	return x, err
}

func (x *contenders) stop() {
	x.agent.Stop()
	x.daemon.Stop(15)
	for _, p := range []*peer{x.step, x.recipe, x.certbot} {
		p.Stop()
	}
}

// turn has one rotation made, and returns how long it took until the new leaf was
// served. It returns when all that was started has ended.
func turn(ctx context.Context, address string, trigger func() error) (time.Duration, error) {
	old, err := served(ctx, address)
	if err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	start := time.Now()
	go func() { ended <- trigger() }()
	if _, err := awaitServed(ctx, address, old); err != nil {
		return 0, err
	}
	took := time.Since(start)
	return took, <-ended
}

// daemonTurn is turn, and returns also the CPU time that the process took.
func daemonTurn(ctx context.Context, p *testbed.Process, still time.Duration, address string, trigger func() error) (c cost, err error) {
	if err := awaitIdle(ctx, p, still); err != nil {
		return c, err
	}
	before, err := readCPU(p.PID())
	if err != nil {
		return c, err
	}
	if c.Served, err = turn(ctx, address, trigger); err != nil {
		return c, err
	}
	if err := awaitIdle(ctx, p, max(still, stillFor)); err != nil {
		return c, err
	}
	after, err := readCPU(p.PID())
	c.CPU = after - before
	return c, err
}

func (x *contenders) agentTurn(ctx context.Context, still time.Duration) (cost, error) {
	return daemonTurn(ctx, x.agent.Agent, still, x.agent.Address, func() error { return x.agent.rotate(ctx) })
}

func (x *contenders) stepTurn(ctx context.Context, still time.Duration) (cost, error) {
	return daemonTurn(ctx, x.daemon, still, x.step.Address, func() error { return hangUp(x.daemon) })
}

// warm lets the three take turns without a pause. What a daemon does between its turns,
// like a history that is written a second later, counts as well.
func (x *contenders) warm(ctx context.Context, c *comparison) error {
	var agent, step, recipe []cost
	var before, after spent
	for n := range warmUp + c.Rounds {
		if n == warmUp {
			agent, step, recipe = nil, nil, nil
			if err := x.read(&before); err != nil {
				return err
			}
		}
		a, err := x.agentTurn(ctx, stillFor)
		if err != nil {
			return err
		}
		s, err := x.stepTurn(ctx, stillFor)
		if err != nil {
			return err
		}
		x.recipe.cpu = 0
		took, err := turn(ctx, x.recipe.Address, func() error { return x.recipe.recipe(ctx) })
		if err != nil {
			return err
		}
		agent, step, recipe = append(agent, a), append(step, s), append(recipe, cost{x.recipe.cpu, took})
	}
	if err := awaitIdle(ctx, x.agent.Agent, time.Second); err != nil {
		return err
	}
	if err := x.read(&after); err != nil {
		return err
	}
	rounds := time.Duration(c.Rounds)
	c.Agent.cost, c.Step.cost, c.Recipe = typical(agent), typical(step), typical(recipe)
	c.Agent.CPU = (after.agent - before.agent) / rounds
	// The kernel tells that of children in hundredths of a second, so that only their
	// sum is exact.
	hook := (after.hooks - before.hooks) / rounds
	c.Step.CPU, c.Step.RestCPU = (after.step-before.step)/rounds+hook, hook
	return nil
}

// spent is the CPU time that the daemons have taken so far.
type spent struct{ agent, step, hooks time.Duration }

func (x *contenders) read(s *spent) (err error) {
	if s.agent, err = readCPU(x.agent.Agent.PID()); err != nil {
		return err
	}
	if s.step, err = readCPU(x.daemon.PID()); err != nil {
		return err
	}
	s.hooks, err = readChildrenCPU(x.daemon.PID())
	return err
}

// fromRest lets the two daemons come from rest, and be at rest again.
func (x *contenders) fromRest(ctx context.Context, c *comparison) error {
	var agent, step []cost
	for range c.RestRounds {
		both := make(chan error, 1)
		go func() {
			s, err := x.stepTurn(ctx, c.Rest)
			step = append(step, s)
			both <- err
		}()
		// The other one starts first and is done before this one starts.
		if err := testbed.Sleep(ctx, time.Second/2); err != nil {
			return err
		}
		a, err := x.agentTurn(ctx, c.Rest)
		if other := <-both; err == nil {
			err = other
		}
		if err != nil {
			return err
		}
		agent = append(agent, a)
	}
	c.Agent.RestCPU = typical(agent).CPU
	c.Step.RestCPU += typical(step).CPU
	return nil
}

// byCertbot has certbot renew three times, each by an order with http-01.
func (x *contenders) byCertbot(ctx context.Context) (cost, error) {
	say("certbot renews three times")
	if err := x.certbot.enrollCertbot(ctx); err != nil {
		return cost{}, err
	}
	var all []cost
	for range 3 {
		x.certbot.cpu = 0
		took, err := turn(ctx, x.certbot.Address, func() error { return x.certbot.certbot(ctx) })
		if err != nil {
			return cost{}, err
		}
		all = append(all, cost{x.certbot.cpu, took})
	}
	return typical(all), nil
}

// typical returns the median of each.
func typical(all []cost) (c cost) {
	c.CPU = median(all, func(c cost) time.Duration { return c.CPU })
	c.Served = median(all, func(c cost) time.Duration { return c.Served })
	return c
}

func median[T any](all []T, of func(T) time.Duration) time.Duration { return quantile(all, 0.5, of) }

// quantile returns the value that a share q of all does not exceed.
func quantile[T any](all []T, q float64, of func(T) time.Duration) time.Duration {
	var values []time.Duration
	for _, x := range all {
		values = append(values, of(x))
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(q*float64(len(values))), len(values)-1)]
}

func itself(d time.Duration) time.Duration { return d }
