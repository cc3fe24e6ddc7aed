package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/report"
)

// recheck is how old a look may get on a quiet day before a watchdog tick
// renews it. It rides on the watchdog's wake-ups and causes none of its own.
const recheck = 10 * time.Minute

// A request is a person's wish for a look now.
type request struct {
	force bool
	done  chan error
}

// ErrStopped says that the agent stopped before it could answer.
var ErrStopped = errors.New("the agent is stopping")

// ErrBlind says that the files cannot be watched any more: Store.Watch, called
// again, tells why.
var ErrBlind = errors.New("the files cannot be watched any more")

// Run looks after the certificate until ctx ends. Hints wake it: something
// changed on disk. The error is nil then; it is ErrBlind when hints closes
// before, or that of the alarm.
func (a *Agent) Run(ctx context.Context, alarm Alarm, hints <-chan struct{}) error {
	defer frugal()()
	watchdog, stop := a.Notify.WatchdogTicks()
	defer stop()
	a.running = true
	for {
		step := a.settle(ctx)
		a.tidy()
		looked, calm := now(), time.After(breath)
		if err := alarm.Set(a.wake(step, looked)); err != nil {
			return err
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return nil
			case <-alarm.C():
				waiting = false
			case _, ok := <-hints:
				if !ok && ctx.Err() == nil {
					return ErrBlind
				}
				waiting = false
			case <-calm:
				rest()
			case <-watchdog:
				a.Notify.Watchdog()
				waiting = now().Sub(looked) < recheck
			case r := <-a.requests:
				r.done <- a.once(ctx, r.force)
				waiting = false
			}
		}
	}
}

// wake returns when to look again: for the plan, because the end of a
// certificate comes near, or because somebody waits for a regular sign of life.
func (a *Agent) wake(step plan.Step, looked time.Time) time.Time {
	at := step.At
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	sooner(report.NextChange(a.certificates, looked))
	if a.LookEvery > 0 {
		sooner(looked.Add(a.LookEvery))
	}
	return at
}

// Renew asks a running agent for a look now and waits for its end. With force
// it asks for a new certificate although the old one is not due. The error is
// what keeps the newest certificate from being issued, on disk, and proven at
// every server.
func (a *Agent) Renew(ctx context.Context, force bool) error {
	r := request{force: force, done: make(chan error, 1)}
	select {
	case a.requests <- r:
	case <-ctx.Done():
		return ErrStopped
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ErrStopped
	}
}

// Once does what Renew asks for, in the caller's goroutine. It must not run
// beside Run.
func (a *Agent) Once(ctx context.Context, force bool) error {
	defer a.tidy()
	return a.once(ctx, force)
}

func (a *Agent) once(ctx context.Context, force bool) error {
	if force && a.MonitorOnly {
		return ErrMonitorOnly
	}
	a.asked, a.pressed, a.other.hurried = force, force, true
	defer func() { a.pressed, a.other.hurried = false, false }()
	a.impatient()
	step := a.settle(ctx)
	switch {
	case ctx.Err() != nil:
		return ErrStopped
	case a.asked: // nothing was tried
		a.asked = false
		return fmt.Errorf("no certificate was asked for: %s", step.Why)
	}
	return a.trouble()
}

// impatient forgets the waiting times, not the failures: a person who asks
// wants an answer now, also from an authority that moved its renewal window.
func (a *Agent) impatient() {
	a.wish.next = time.Time{}
	a.issuing.Last = time.Time{}
	a.issuing.After = 0
	clear(a.quiet)
	for i := range a.servers {
		a.servers[i].failed.Last = time.Time{}
	}
}

// settle takes steps until there is nothing to do but wait. What a handshake
// has shown counts until a step touches that server, or the agent waits.
func (a *Agent) settle(ctx context.Context) plan.Step {
	var known []*x509.Certificate
	for {
		a.Notify.Watchdog()
		see := a.look(ctx, known)
		step := a.next(see)
		a.show(ctx, see, step)
		if step.Do == plan.Wait || ctx.Err() != nil {
			a.tellReady(ctx, see)
			return step
		}
		var err error
		switch step.Do {
		case plan.Adopt:
			err = a.adopt(ctx, see)
		case plan.Ask:
			err = a.askWindow(ctx, see)
		case plan.Issue:
			err = a.issue(ctx, see, step)
		case plan.Load:
			err = a.load(ctx, see, step)
		}
		if err != nil {
			a.last = &report.Failure{Text: err.Error(), At: now()}
		}
		known = see.after
	}
}

// next asks the plan, unless the disk cannot be read: then nothing is decided
// on what cannot be seen.
func (a *Agent) next(see sight) plan.Step {
	if see.err != nil {
		return plan.Step{Why: see.err.Error(), At: see.now.Add(time.Minute)}
	}
	if step, wait := a.waits(see); wait {
		return step
	}
	return plan.Next(see.now, see.facts(a), a.Policy)
}

// tellReady tells systemd once that redis-server may start: what could be done
// at once was done. Without an authority that is one attempt at a certificate,
// which has its time limits: a boot does not hang on it.
func (a *Agent) tellReady(ctx context.Context, see sight) {
	if a.ready {
		return
	}
	a.ready = true
	if see.newest == nil && a.running {
		next := "the agent goes on asking"
		if a.MonitorOnly {
			next = "another hand has to put it there"
		}
		report.WaitingForFirst.Log(ctx, a.Log, "there is no certificate yet: a redis-server that names the pair cannot start; "+next)
	}
	a.Notify.Ready()
}
