package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/status"
)

// A request is what a person asks for.
type request struct {
	asked bool // a look now
	force bool // a new certificate although the old one is not due
	tried bool // a certificate was asked for

	rotate *rotating // every key is given up

	rehearse bool // nothing but a rehearsal
	done     chan error

	// presents says whether a tls-client-cert-file has changed: servers that present it
	// are to read their files again.
	presents func(path string) bool
}

// ErrStopped says that the agent stopped before it could answer.
var ErrStopped = errors.New("the agent is stopping")

// Renew asks a running agent for a look now and waits for its end. With force it asks
// for a new certificate although the old one is not due. The error is what keeps the
// newest certificate from being issued, on disk, and proven at every server; it is
// ErrStopped when the agent ended without an answer, and that of ctx when ctx ended.
func (a *Agent) Renew(ctx context.Context, force bool) error {
	if force && a.external != nil {
		return ErrExternal
	}
	return a.await(ctx, request{asked: true, force: force, done: make(chan error, 1)})
}

func (a *Agent) await(ctx context.Context, r request) error {
	select {
	case a.requests <- r:
	case <-a.ended:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-a.ended:
		select {
		case err := <-r.done:
			return err
		default:
			return ErrStopped
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Look makes a running agent look now, and waits for its end. The error is ErrStopped when
// the agent ended before that, and that of ctx when ctx ended.
func (a *Agent) Look(ctx context.Context) error {
	return a.await(ctx, request{done: make(chan error, 1)})
}

// Once does what Renew asks for, in the caller's goroutine. It must not run beside Run.
func (a *Agent) Once(ctx context.Context, force bool) error {
	if force && a.external != nil {
		return ErrExternal
	}
	defer a.tidy()
	_, err := a.once(ctx, request{asked: true, force: force})
	return err
}

// once makes the round that was asked for. It returns what to wait for after it, and why
// it did not bring what was asked for.
func (a *Agent) once(ctx context.Context, r request) (plan.Step, error) {
	if r.force {
		// Each try of a person would cost a certificate that no server gets.
		if err := a.own.Linkable(); err != nil {
			return plan.Step{}, fmt.Errorf("no certificate was asked for, since redis would not get it: %w", err)
		}
	}
	if r.presents != nil {
		if err := a.reread(ctx, r.presents); err != nil {
			return plan.Step{}, err
		}
		r.asked = false
	}
	if !r.asked {
		step, _ := a.round(ctx)
		if ctx.Err() != nil {
			return step, ErrStopped // what it saw is not shown
		}
		return step, nil
	}
	a.request = r
	defer func() { a.request = request{} }()
	a.forgetDelays()
	if r.force {
		a.forgetRival()
	}
	if r.rotate != nil {
		if err := a.beginRotation(ctx, r.rotate); err != nil {
			return plan.Step{}, err
		}
	}
	step, err := a.round(ctx)
	switch {
	case ctx.Err() != nil:
		return step, ErrStopped
	case r.force && !a.request.tried:
		return step, fmt.Errorf("no certificate was asked for: %s", step.Why)
	case r.rotate != nil:
		return step, a.answerRotation(r.rotate)
	}
	if problems := obstacles(a.opt.Board.Get()); problems != nil {
		return step, problems
	}
	return step, err
}

// obstacles returns the problems that keep the newest certificate from being issued, on
// disk, and proven at every server, in one line; nil when there are none.
func obstacles(s status.Status) error {
	var errs []error
	for _, p := range s.Problems() {
		if p.KeepsFromServing() {
			errs = append(errs, errors.New(cmp.Or(p.Cause, p.Text)))
		}
	}
	if len(errs) > 1 && s.Newest() == nil && s.DiskError == "" {
		errs = errs[1:] // that there is no certificate follows from the others
	}
	return plain.Join(errs...)
}

// forgetDelays forgets how long to wait, not what failed: a person who asks wants an
// answer now, also from an authority that moved its renewal window.
func (a *Agent) forgetDelays() {
	a.newest.askAgain = time.Time{}
	a.newest.issuing = plan.Attempts{Failed: a.newest.issuing.Failed}
	for i := range a.authorities {
		if !a.request.force { // else the request itself tells
			a.authorities[i].inspected = time.Time{}
		}
	}
	for i := range a.newest.authorities {
		a.newest.authorities[i] = plan.Attempts{Refused: a.newest.authorities[i].Refused}
	}
	for i := range a.newest.servers {
		s := &a.newest.servers[i]
		s.failed, s.undone = plan.Attempts{Failed: s.failed.Failed}, false
		a.servers[i].inspected, a.servers[i].restartAt, s.restart = time.Time{}, time.Time{}, restarting{}
	}
}
