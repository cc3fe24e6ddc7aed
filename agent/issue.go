package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/status"
)

// soon is how much later than now a certificate may begin that is waited for: the clocks
// of two hosts differ by seconds or minutes. One that begins later, or has ended, says
// that one of the clocks is wrong.
const soon = 10 * time.Minute

// issueLimit is longer than any order may be configured to take.
const issueLimit = time.Hour

// A candidate is a pair that passed the gate and is not on disk yet: the disk did not
// take it, or it is not valid by the clock of this host.
type candidate struct {
	pair   *cert.Pair
	origin pair.Origin
	from   string // the authority's URL
	waits  bool   // until the servers trust its root
}

// begins returns when the whole chain is valid, unless some of it has ended by then.
func (c *candidate) begins() time.Time { return within(c.pair.Needed(), time.Time{}) }

// usable says whether c can be put on disk at the time t.
func (c *candidate) usable(t time.Time) bool {
	return c != nil && cert.ValidAt(c.pair.Needed(), t) == nil
}

// pending says whether c begins soon.
func (c *candidate) pending(t time.Time) bool {
	return c != nil && t.Before(c.begins()) && c.begins().Sub(t) <= soon && c.usable(c.begins())
}

// issue gets a certificate, holds it against the gate, and puts it on disk, where no
// server loads it yet.
func (a *Agent) issue(ctx context.Context, seen observation, step plan.Step) error {
	start := now()
	c, err := a.obtain(ctx, seen, step)
	if err == nil && c.pending(now()) {
		return a.postpone(c)
	}
	if err == nil {
		var wait bool
		if wait, err = a.keepBack(ctx, seen, c); wait {
			c.waits = true
			return a.holdBack(c)
		}
	}
	if err == nil {
		err = a.save(ctx, c, seen)
	} else if c != nil {
		a.newest.unsaved = c
	}
	if ctx.Err() != nil {
		return ctx.Err() // stopped, not failed
	}
	n := &a.newest
	if err != nil && errors.As(err, new(turnError)) && a.hold(now(), a.planned(seen)).After(now()) {
		n.issueFailed = status.Failure{Text: err.Error(), At: now()} // nothing failed anew
		a.opt.Log.Info(err.Error())
		return plain.Join(err, a.keepAttempts())
	}
	if err != nil {
		n.issuing = failed(n.issuing)
		n.issueFailed = status.Failure{Text: err.Error(), At: n.issuing.Last}
		journal.IssueFailed.Log(ctx, a.opt.Log, fmt.Sprintf("no new certificate: %v", err),
			slog.String(journal.KeyError, err.Error()), slog.Int(journal.KeyAttempt, n.issuing.Failed))
		return plain.Join(err, a.keepAttempts())
	}
	n.issuing, n.issueFailed = plan.Attempts{}, status.Failure{}
	if err := a.keepAttempts(); err != nil {
		a.opt.Log.Warn(err.Error())
	}
	leaf := c.pair.Leaf()
	journal.Issued.Log(ctx, a.opt.Log, fmt.Sprintf("issued %s, valid until %s, by %s (%s)",
		cert.Serial(leaf), plain.Time(leaf.NotAfter), c.origin.Method, step.Why),
		append(about(leaf), slog.String(journal.KeyMethod, c.origin.Method), slog.String(journal.KeyIssuer, c.from),
			slog.Duration(journal.KeyDuration, now().Sub(start)))...)
	return nil
}

// holdBack keeps a certificate until the servers trust its root.
func (a *Agent) holdBack(c *candidate) error {
	a.newest.unsaved = c
	a.newest.issuing, a.newest.issueFailed = plan.Attempts{}, status.Failure{}
	return a.keepAttempts()
}

// postpone keeps a certificate that begins soon. It is put on disk then, and no other is
// asked for: the authority would give the same again.
func (a *Agent) postpone(c *candidate) error {
	a.newest.unsaved = c
	a.newest.issuing, a.newest.issueFailed = plan.Attempts{}, status.Failure{}
	return errors.Join(earlyError(c), a.keepAttempts())
}

// earlyError says that c is waited for.
func earlyError(c *candidate) error {
	return fmt.Errorf("the CA's clock is ahead of this host's: the certificate %s that %s issued is not valid before %s, and is loaded then; "+
		"set the clock that is wrong",
		cert.Serial(c.pair.Leaf()), c.origin.Issuer, plain.Time(c.begins()))
}

// obtain returns a pair that passed the gate: the one that is not on disk since the last
// time, or a new one from the authority. A full disk costs the authority one
// certificate, not one per attempt.
func (a *Agent) obtain(ctx context.Context, seen observation, step plan.Step) (*candidate, error) {
	if c := a.newest.unsaved; c.usable(now()) {
		a.learn(ctx, seen, c.pair.Leaf())
		if a.need(seen, c.pair.CA).Check(c.pair, now()) == nil {
			return c, nil
		}
	}
	a.newest.unsaved = nil
	r := ca.Request{Names: a.opt.Names, KeyType: a.keyType(seen), ReuseKey: a.opt.ReuseKey, Fresh: step.Fresh, Now: seen.now}
	// An authority that fails on renewals alone must not let the certificate end.
	r.Fresh = r.Fresh || a.newest.issuing.Failed%4 == 3
	if g := seen.newest; g != nil {
		r.Current, r.NewKey = g.Pair, seen.distrusted(g.Pair)
		r.Fresh = r.Fresh || g.Origin.Adopted() // it may be from anywhere
	}
	var errs []error
	for i := range a.opt.Authorities {
		c, err := a.ask(ctx, i, r, seen)
		if err == nil {
			for _, missed := range a.opt.Authorities[:i] {
				a.opt.Tally.count(missed.CA, func(c *status.CA) { c.Missed++ })
			}
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		errs = append(errs, err)
	}
	return nil, plain.Join(errs...)
}

// ask gets a pair from authority i and holds it against the gate. One that wants to be
// left alone, or gave a certificate of no use, is left alone for a while, unless a person
// asks.
func (a *Agent) ask(ctx context.Context, i int, r ca.Request, seen observation) (*candidate, error) {
	authority, attempts := a.opt.Authorities[i], &a.newest.authorities[i]
	if until := attempts.Hold(seen.now, a.planned(seen)); seen.now.Before(until) && !a.request.force {
		return nil, fmt.Errorf("%s is left alone until %s", authority.URL, plain.Time(until))
	}
	start := now()
	r.Roots, r.Named = seen.named(authority.Pin), a.authorities[i].lately(seen.now, seen.newest)
	err := a.comeback(ctx, i, seen)
	if errors.As(err, new(turnError)) {
		return nil, err
	}
	var issued ca.Issued
	if err == nil {
		issued, err = whileAlive(ctx, a, func(ctx context.Context) (ca.Issued, error) { return authority.Issue(ctx, r) })
	}
	if err != nil {
		a.authorities[i].own = nil // another attempt asks for the roots first
		missed(attempts, err)
		a.blameClock(ctx, i, err)
		failure := &status.Failure{Text: err.Error(), At: attempts.Last}
		a.opt.Tally.count(authority.CA, func(c *status.CA) { c.LastFailure, c.LastError, c.Failed = failure.At, failure, c.Failed+1 })
		return nil, err
	}
	p, err := cert.New(issued.Chain, issued.Key, a.bundle(issued.Roots, seen))
	if err == nil && seen.distrusted(p) {
		err = errors.New("it is for a key that was given up")
	}
	if err == nil {
		a.learn(ctx, seen, p.Leaf())
		err = a.need(seen, cert.Merge(issued.Roots, a.opt.Roots)).Check(p, someTime(p.Needed()))
	}
	if err != nil {
		return nil, a.refuse(ctx, i, issued, fmt.Errorf("%w; "+
			"mend what the CA is set to issue, or the names, key and usages that this configuration wants", err))
	}
	o := pair.Origin{Issuer: issued.Issuer, Method: issued.Method, Names: a.opt.Names, Pin: authority.Pin, Time: now()}
	if before := a.planned(seen); before != nil {
		o.Replaced = plan.Due(*before, a.opt.Policy)
	} else {
		o.First = true
	}
	for _, root := range issued.Roots {
		o.Roots = append(o.Roots, cert.FingerprintOf(root).String())
	}
	c := &candidate{pair: p, origin: o, from: authority.URL}
	if err := a.timely(c, start); err != nil {
		return nil, a.refuse(ctx, i, issued, err)
	}
	*attempts = plan.Attempts{}
	if !issued.Named {
		a.namedAtIssue(i, issued.Roots)
	}
	a.compareClocks(ctx, i, issued.Ahead)
	a.opt.Tally.count(authority.CA, func(c *status.CA) { c.LastSuccess, c.LastError, c.Succeeded, c.Missed = now(), nil, c.Succeeded+1, 0 })
	return c, nil
}

// timely returns why c, which was asked for at the time start, is of no use at this time,
// nor soon. Where that tells of a wrong clock, c is kept: it is used when the clock has
// been set.
func (a *Agent) timely(c *candidate, start time.Time) error {
	t := now()
	err := cert.ValidAt(c.pair.Needed(), t)
	if err == nil || c.pending(t) {
		return nil
	}
	if leaf := c.pair.Leaf(); t.Before(leaf.NotBefore) || start.After(leaf.NotAfter) {
		a.newest.unsaved = c
		return fmt.Errorf("%w; this host's clock says %s, and that or the CA's is wrong: set it", err, plain.Time(t))
	}
	return err
}

// refuse keeps a certificate that did not pass the gate off the disk, and says why. The
// next one would be the same, so the authority is asked again at growing distances.
func (a *Agent) refuse(ctx context.Context, i int, issued ca.Issued, why error) error {
	authority, attempts := a.opt.Authorities[i], &a.newest.authorities[i]
	err := fmt.Errorf("the certificate that %s gave is refused, nothing was changed: %w", issued.Issuer, why)
	*attempts = failed(*attempts)
	attempts.After, attempts.Refused = 0, attempts.Refused+1
	attempts.Slow = a.opt.Attempts != "" || a.newest.unsaved != nil
	failure := &status.Failure{Text: err.Error(), At: attempts.Last}
	a.opt.Tally.count(authority.CA, func(c *status.CA) { c.LastFailure, c.LastError, c.Refused = failure.At, failure, c.Refused+1 })
	journal.GateRefused.Log(ctx, a.opt.Log, err.Error(), slog.String(journal.KeyError, err.Error()), slog.String(journal.KeyIssuer, authority.URL))
	return err
}

// whileAlive lets an authority take its time, and goes on telling the watchdog that the
// loop is alive. An authority bounds itself; one that does not is cut off, so that a loop
// that hangs is still seen.
func whileAlive[T any](ctx context.Context, a *Agent, do func(ctx context.Context) (T, error)) (got T, err error) {
	ctx, cancel := context.WithTimeout(ctx, issueLimit)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		got, err = do(ctx)
	}()
	ticks, stop := a.ticks()
	defer stop()
	for {
		select {
		case <-done:
			a.alive()
			return got, err
		case <-ticks:
			if ctx.Err() == nil {
				a.alive()
			}
		}
	}
}

// save puts c on disk, or keeps it for the next attempt.
func (a *Agent) save(ctx context.Context, c *candidate, seen observation) error {
	a.newest.unsaved = nil
	p := *c.pair
	p.CA = a.bundle(p.CA, seen) // others may have come meanwhile
	o := c.origin
	if planned(&p, o).Missed(now(), a.opt.Policy) { // it was kept for a while, and would be replaced at once
		o.First, o.Replaced = false, time.Time{}
	}
	_, err := a.own.Put(&p, o)
	if err != nil {
		a.newest.unsaved = c
	} else if seen.newest != nil {
		a.tellAdded(ctx, without(p.CA, seen.newest.Pair.CA))
	}
	return err
}

// bundle returns what redis gets as its trusted CAs: what the authority says, what the
// configuration adds, and, unless the configuration wants it exact, what the servers
// trusted before, as far as it has not expired. To forget a CA on the authority's word
// would lock out clients that still use it.
func (a *Agent) bundle(roots []*x509.Certificate, seen observation) []*x509.Certificate {
	all := cert.Merge(roots, a.opt.Roots)
	if !a.opt.ExactRoots && seen.newest != nil {
		all = cert.Merge(all, seen.newest.Pair.CA)
	}
	return slices.DeleteFunc(all, func(c *x509.Certificate) bool { return !seen.now.Before(c.NotAfter) })
}

// named returns the roots that authorities named with the pairs on disk, while the
// configuration wanted the same root as now: who configures another one no longer trusts
// what the one before led to. What another program put into ca.crt is for redis to trust;
// it does not vouch for an authority.
func (seen observation) named(pin string) []*x509.Certificate {
	var roots []*x509.Certificate
	for _, g := range seen.disk.All {
		if g.Err != nil || g.Origin.Pin != "" && g.Origin.Pin != pin { // one that was had without a fingerprint is taken as it is
			continue
		}
		for _, c := range g.Pair.CA {
			if slices.Contains(g.Origin.Roots, cert.FingerprintOf(c).String()) {
				roots = append(roots, c)
			}
		}
	}
	return cert.Merge(roots)
}

// failed counts one more failure.
func failed(a plan.Attempts) plan.Attempts {
	a.Failed, a.Last = a.Failed+1, now()
	return a
}
