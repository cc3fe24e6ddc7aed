package agent

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload"
)

// Half-way to the due date everything that a renewal needs is tried, without issuing: a
// port that something else took, a DNS key that was withdrawn, a directory that became
// read-only would else show when the certificate is all that is left. It runs beside the
// loop, which goes on whatever it does, and has its time.

const (
	// rehearsalLimit bounds a rehearsal. A record in the DNS may take two minutes to be seen.
	rehearsalLimit = 5 * time.Minute
	// rehearsalLead is the shortest time before the due date in which a fault is worth
	// finding. Of shorter certificates the renewals themselves come as often.
	rehearsalLead = 10 * time.Minute
)

// again is how long after a rehearsal that found faults the next one comes.
var again = plan.Backoff{First: 10 * time.Minute, Longest: 6 * time.Hour}

// A Need is something that a renewal, or who is told of it, needs beside authorities,
// servers and the disk.
type Need struct {
	Kind    status.Need
	Subject string
	// Try says in one line what it found. It may hang: it is not waited for then.
	Try func(ctx context.Context) (found string, err error)
}

// rehearser is a server that can be taken through a reload that changes nothing.
type rehearser interface {
	Rehearse(ctx context.Context, t reload.Trust) (found string, err error)
}

// diskRehearser is a Store that can try whether it could write.
type diskRehearser interface {
	Rehearse() (found string, err error)
}

// aboutRehearsal is remembered of the rehearsals for the newest pair.
type aboutRehearsal struct {
	last   *status.Rehearsal
	failed int // how many in a row found faults
}

// rehearsed is what a rehearsal found that ended beside the loop.
type rehearsed struct {
	status.Rehearsal
	leaf cert.Fingerprint // of the pair that it was for
}

// rehearseAt returns when the next rehearsal is due, if the newest pair was had at the
// time since and is renewed at the time due; zero: never.
func (a *Agent) rehearseAt(since, due time.Time) time.Time {
	r := a.newest.rehearsal
	switch {
	case r.last != nil && r.failed > 0:
		return r.last.At.Add(again.Delay(r.failed, 0))
	case r.last != nil, due.IsZero(), due.Sub(since) < 2*rehearsalLead:
		return time.Time{}
	}
	return since.Add(due.Sub(since) / 2)
}

// rehearseIfDue begins a rehearsal when it is time for one. While a certificate is wanted,
// the attempts at it tell the same.
func (a *Agent) rehearseIfDue(ctx context.Context, seen observation, step plan.Step) {
	if !a.process.running || step.Wanted || a.external != nil || seen.err != nil || seen.newest == nil {
		return
	}
	at := a.rehearsalDue(seen, step)
	if !at.IsZero() && !seen.now.Before(at) {
		a.beginRehearsal(ctx, seen)
	}
}

// rehearsalDue returns when the next rehearsal is due; zero: none is.
func (a *Agent) rehearsalDue(seen observation, step plan.Step) time.Time {
	if seen.newest == nil || a.external != nil || a.opt.Beside { // whose CA the agent of the servers tries
		return time.Time{}
	}
	since := latest(seen.newest.Origin.Time, seen.newest.Pair.Leaf().NotBefore)
	return a.rehearseAt(since, step.Due)
}

// beginRehearsal rehearses beside the loop, unless somebody does.
func (a *Agent) beginRehearsal(ctx context.Context, seen observation) {
	if a.process.rehearsing {
		return
	}
	a.process.rehearsing = true
	work, leaf := a.rehearsalOf(seen), a.newest.leaf
	a.beside.Go(func() {
		found := work(ctx)
		a.rehearsals <- rehearsed{found, leaf} // there is room for it
	})
}

// rehearsalOf returns what tries everything, and does not use the agent when it runs.
// Authorities come one after the other, because they may share a port.
func (a *Agent) rehearsalOf(seen observation) func(ctx context.Context) status.Rehearsal {
	var asked, rest []Need
	for _, authority := range a.opt.Authorities {
		if r, ok := authority.Issuer.(ca.Rehearser); ok {
			asked = append(asked, tryAuthority(r, authority, a.opt.Names, seen))
		}
	}
	if d, ok := a.opt.Store.(diskRehearser); ok {
		rest = append(rest, Need{Kind: status.NeedDisk, Subject: a.opt.Store.CertPath(), Try: func(context.Context) (string, error) { return d.Rehearse() }})
	}
	trust := a.trust(seen)
	for _, server := range a.opt.Servers {
		if r, ok := server.Redis.(rehearser); ok {
			rest = append(rest, Need{Kind: status.NeedServer, Subject: server.Name, Try: func(ctx context.Context) (string, error) { return r.Rehearse(ctx, trust) }})
		}
	}
	rest = append(rest, a.opt.Needs...)
	return func(ctx context.Context) status.Rehearsal {
		ctx, cancel := context.WithTimeout(ctx, rehearsalLimit)
		defer cancel()
		findings := make([]status.Finding, len(asked)+len(rest))
		var all sync.WaitGroup
		all.Go(func() {
			for i, need := range asked {
				findings[i] = need.try(ctx)
			}
		})
		for i, need := range rest {
			all.Go(func() { findings[len(asked)+i] = need.tryInTime(ctx) })
		}
		all.Wait()
		return status.Rehearsal{At: now(), Findings: findings}
	}
}

// tryAuthority is a Need of an authority. It is waited for whatever happens, because it
// takes down what it put up.
func tryAuthority(r ca.Rehearser, authority Authority, names []string, seen observation) Need {
	named := seen.named(authority.Pin)
	return Need{Kind: status.NeedAuthority, Subject: authority.URL, Try: func(ctx context.Context) (string, error) {
		found, ahead, err := r.Rehearse(ctx, names, named)
		if err == nil && far(ahead) {
			found += fmt.Sprintf(", its clock is %s from this host's", plain.Span(ahead.Abs()))
		}
		return found, err
	}}
}

// try tries n. What a peer sends must not end the process.
func (n Need) try(ctx context.Context) (f status.Finding) {
	f = status.Finding{Need: n.Kind, Subject: n.Subject}
	defer func() {
		if p := recover(); p != nil {
			f.Fault = fmt.Sprintf("this program cannot cope with it: %v; please report it", p)
		}
	}()
	found, err := n.Try(ctx)
	f.Found = plain.OneLine(found)
	if err != nil {
		f.Fault, f.Hint = plain.OneLine(err.Error()), plain.Hint(err)
	}
	return f
}

// tryInTime is try for what may not heed the end of ctx, as a disk that hangs.
func (n Need) tryInTime(ctx context.Context) status.Finding {
	tried := make(chan status.Finding, 1)
	go func() { tried <- n.try(ctx) }()
	select {
	case f := <-tried:
		return f
	case <-ctx.Done():
	}
	return status.Finding{Need: n.Kind, Subject: n.Subject, Fault: fmt.Sprintf("it did not answer within %s: find out what hangs there", rehearsalLimit)}
}

// rehearsalEnded takes note of what a rehearsal found. It says whether there are faults, or
// were: the loop has to look when the next one is due.
func (a *Agent) rehearsalEnded(ctx context.Context, r rehearsed) (news bool) {
	a.process.rehearsing = false
	if r.leaf != a.newest.leaf || ctx.Err() != nil {
		return true // another pair is the newest by now, or what was found is that the agent ends
	}
	about := &a.newest.rehearsal
	before := faultsOf(about.last)
	about.last = &r.Rehearsal
	if len(r.Faults()) == 0 {
		about.failed = 0
		s := a.opt.Board.Get()
		s.Rehearsal, s.RehearsalDue = about.last, time.Time{}
		a.opt.Board.Set(s)
		a.process.rehearsal = time.Time{}
		return len(before) > 0
	}
	about.failed++
	for _, f := range r.Faults() {
		if before[f.Subject] != "" { // once: an authority names each request anew
			continue
		}
		journal.RehearsalFailed.Log(ctx, a.opt.Log, fmt.Sprintf("the next renewal would fail at %s: %s", f.Subject, f.Fault),
			slog.String(journal.KeyError, f.Fault))
	}
	return true
}

func faultsOf(r *status.Rehearsal) map[string]string {
	faults := map[string]string{}
	for _, f := range r.Faults() {
		faults[f.Subject] = f.Fault
	}
	return faults
}

// Rehearse makes a running agent try everything that a renewal needs, without issuing, and
// waits for the end. What was found is on the board then.
func (a *Agent) Rehearse(ctx context.Context) error {
	return a.await(ctx, request{rehearse: true, done: make(chan error, 1)})
}

// rehearseFor begins a rehearsal for somebody who waits, or lets them wait for the one that
// is under way.
func (a *Agent) rehearseFor(ctx context.Context, r request) {
	seen := a.look()
	a.beginRehearsal(ctx, seen)
	a.process.waiters = append(a.process.waiters, r.done)
}

// answerWaiters answers those who waited for a rehearsal, when its findings are on the board.
func (a *Agent) answerWaiters() {
	if a.process.rehearsing {
		return
	}
	for _, done := range a.process.waiters {
		done <- nil // there is room for it
	}
	a.process.waiters = nil
}

// Trust is by what servers are recognised now. It must not run beside Run.
func (a *Agent) Trust() reload.Trust { return a.trust(a.look()) }

// Examine looks, asks every server what a reload needs, and rehearses, without issuing,
// loading or changing anything. It must not run beside Run.
func (a *Agent) Examine(ctx context.Context) (status.Status, error) {
	seen := a.look()
	a.notice(ctx, &seen)
	a.handshakes(ctx, seen)
	a.inspect(ctx, seen)
	found := a.rehearsalOf(seen)(ctx)
	if err := ctx.Err(); err != nil {
		return status.Status{}, err
	}
	a.newest.rehearsal.last = &found
	return a.status(seen, a.next(seen)), nil
}
