package agent

import (
	"context"
	"runtime"
	"slices"
	"time"

	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/sdnotify"
)

// recheck is how old a look may get on a quiet day before a watchdog tick renews it. It
// rides on the watchdog's wake-ups and causes none of its own.
const recheck = 10 * time.Minute

// mostUnproven is how many pairs may stand on disk while no server proves one, since it
// is away for weeks: each has a private key.
const mostUnproven = 16

// Run looks after the certificate until ctx ends. Hints wake it: something changed on
// disk. The error is nil then, or that of the alarm.
func (a *Agent) Run(ctx context.Context, alarm Alarm, hints <-chan struct{}) error {
	defer close(a.ended)
	ctx, cancel := context.WithCancel(ctx)
	defer a.beside.Wait()
	defer cancel()
	watchdog, stop := a.ticks()
	defer stop()
	a.process.running = true
	step, _ := a.round(ctx)
	for {
		a.answerWaiters()
		a.tidy()
		looked := now()
		if err := alarm.Set(a.wake(step, looked)); err != nil {
			return err
		}
		answered := false
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return nil
			case <-alarm.C():
				waiting = false
			case <-hints:
				waiting = a.unchanged()
			case <-a.opt.Shared.Woken(a.who()):
				waiting = false
			case <-watchdog:
				a.alive()
				waiting = now().Sub(looked) < recheck
			case found := <-a.inspections:
				waiting = !a.authorityInspected(ctx, found)
			case ended := <-a.restarts:
				a.restartEnded(ctx, ended)
				waiting = false
			case found := <-a.rehearsals:
				if waiting = !a.rehearsalEnded(ctx, found); waiting {
					a.answerWaiters()
				}
			case r := <-a.requests:
				if r.rehearse {
					a.rehearseFor(ctx, r)
					continue
				}
				next, err := a.once(ctx, r)
				if r.done <- err; err == nil {
					step, answered = next, true // that was the look
				}
				runtime.Gosched() // the answer goes out before what nobody waits for is done
				waiting = false
			}
		}
		if !answered {
			step, _ = a.round(ctx)
		}
	}
}

// unchanged says whether the files are as the last round left them: most hints tell of
// what the agent itself has just done.
func (a *Agent) unchanged() bool {
	if a.own == nil {
		return false
	}
	state, err := a.opt.Store.Load()
	return err == nil && state.Same(a.process.disk)
}

// wake returns when to look again: for the plan, because the end of a certificate comes
// near, or because somebody waits for a regular sign of life.
func (a *Agent) wake(step plan.Step, looked time.Time) time.Time {
	at := step.At
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	sooner(a.process.nextEnd)
	sooner(a.giveUpAt())
	if a.process.rehearsal.After(looked) {
		sooner(a.process.rehearsal)
	}
	if a.roots.leaves.After(looked) {
		sooner(a.roots.leaves)
	}
	sooner(a.nextInspection(looked))
	sooner(a.nextRestart(looked))
	for _, about := range a.authorities {
		if next := about.inspectAt(); next.After(looked) {
			sooner(next)
		}
	}
	if a.opt.LookEvery > 0 {
		sooner(looked.Add(a.opt.LookEvery))
	}
	return at
}

// round takes steps until there is nothing to do but wait. It returns what to wait for,
// and what went wrong with a certificate that was asked for.
func (a *Agent) round(ctx context.Context) (step plan.Step, failure error) {
	for i := range a.servers {
		a.servers[i].fresh = false
	}
	for {
		a.alive()
		seen := a.look()
		a.notice(ctx, &seen)
		step = a.next(seen)
		if step.Do == plan.Look {
			a.handshakes(ctx, seen)
			step = a.next(seen)
		}
		if ctx.Err() != nil {
			return step, ctx.Err() // what was seen of a look that was broken off is not shown
		}
		a.tellExternalFault(ctx, seen)
		if step.Do == plan.Wait && a.inspect(ctx, seen) {
			continue // what was learned may call for another certificate
		}
		if (step.Do == plan.Wait || step.Do == plan.Load) && a.finishRotation(ctx, seen) {
			continue
		}
		a.show(ctx, seen, step)
		switch step.Do {
		case plan.Adopt:
			_ = a.adopt(ctx, seen) // it is among the files' faults
		case plan.Ask:
			a.askWindow(ctx, seen)
		case plan.Issue:
			failure = a.issue(ctx, seen, step)
			a.request.tried = true
		case plan.Bundle:
			_ = a.changeBundle(ctx, seen) // it has been logged, and is tried again
		case plan.Load:
			_ = a.load(ctx, seen, step) // each server's error is its own
		default:
			a.process.disk = seen.disk
			if len(seen.disk.All) > mostUnproven+len(a.servers) {
				a.process.prune = true
			}
			if a.process.prune && a.own != nil {
				a.process.inUse = slices.Concat(a.process.inUse, a.shown(seen), seen.toRevoke())
			}
			a.tellReady(ctx, seen)
			a.inspectAuthorities(ctx, seen, step.Wanted)
			a.rehearseIfDue(ctx, seen, step)
			a.restartSentinels(ctx, seen)
			return step, failure
		}
	}
}

// tellReady tells systemd once that redis-server may start: what could be done at once
// was done. Without an authority that is one attempt at a certificate, which has its
// time limits: a boot does not hang on it.
func (a *Agent) tellReady(ctx context.Context, seen observation) {
	if a.process.ready {
		return
	}
	a.process.ready = true
	if seen.newest == nil && a.process.running {
		next := "the agent goes on asking"
		if a.external != nil {
			next = "another program has to put it there"
		}
		journal.WaitingForFirst.Log(ctx, a.opt.Log, "there is no certificate yet: a redis-server that names the pair cannot start; "+next)
	}
	sdnotify.Ready()
}
