package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/report"
)

// refusedAgain is how long an authority that minds is left alone after it gave a
// certificate that is of no use.
const refusedAgain = 2 * time.Hour

// issueLimit is longer than any order may be configured to take.
const issueLimit = time.Hour

// A candidate is a pair that passed the gate and is not on disk yet.
type candidate struct {
	pair   *cert.Pair
	origin pair.Origin
	from   string // the authority's URL
}

// issue gets a certificate, holds it against the gate, and puts it on disk,
// where no server loads it yet.
func (a *Agent) issue(ctx context.Context, see sight, step plan.Step) error {
	start := now()
	c, err := a.obtain(ctx, see, step)
	if err == nil {
		err = a.save(c)
	}
	a.Notify.Watchdog()
	if ctx.Err() != nil {
		return ctx.Err() // stopped, not failed
	}
	if err != nil {
		a.issuing, a.issueErr, a.asked = failed(a.issuing, err), err, false
		report.IssueFailed.Log(ctx, a.Log, fmt.Sprintf("no new certificate: %v", err),
			slog.String(report.KeyError, err.Error()), slog.Int(report.KeyAttempt, a.issuing.Failed))
		return together(err, a.keep())
	}
	a.issuing, a.issueErr, a.asked = plan.Attempts{}, nil, false
	if err := a.keep(); err != nil {
		a.Log.Warn(err.Error())
	}
	leaf := c.pair.Leaf()
	report.Issued.Log(ctx, a.Log, fmt.Sprintf("issued %s, valid until %s, by %s (%s)",
		report.Serial(leaf), report.Time(leaf.NotAfter), c.origin.Method, step.Why),
		append(about(leaf), slog.String(report.KeyMethod, c.origin.Method), slog.String(report.KeyIssuer, c.from), slog.Duration(report.KeyDuration, now().Sub(start)))...)
	return nil
}

// obtain returns a pair that passed the gate: the one that the disk did not
// take the last time, or a new one from the authority. A full disk costs the
// authority one certificate, not one per attempt.
func (a *Agent) obtain(ctx context.Context, see sight, step plan.Step) (*candidate, error) {
	if c := a.unsaved; c != nil {
		a.learn(ctx, see, c.pair.Leaf())
		if a.need(see, c.pair.CA).Check(c.pair, now()) == nil {
			return c, nil
		}
	}
	a.unsaved = nil
	r := ca.Request{Names: a.Names, KeyType: a.KeyType, ReuseKey: a.ReuseKey, Fresh: step.Fresh, Now: see.now, Roots: see.named()}
	// An authority that fails on renewals alone must not let the certificate end.
	r.Fresh = r.Fresh || a.issuing.Failed%4 == 3
	if g := see.newest; g != nil {
		r.Current = g.Pair
		r.Fresh = r.Fresh || g.Origin.Adopted() // it may be from anywhere
	}
	var errs []error
	for i := range a.Authorities {
		c, err := a.ask(ctx, i, r, see)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		errs = append(errs, err)
	}
	return nil, unanimous(errs)
}

// ask gets a pair from authority i and holds it against the gate. One that
// wants to be left alone is left alone, unless a person asks.
func (a *Agent) ask(ctx context.Context, i int, r ca.Request, see sight) (*candidate, error) {
	if wait := a.quiet[i].Sub(see.now); wait > 0 && !a.asked {
		return nil, &patience{fmt.Errorf("%s wants to be left alone until %s", a.cas[i].URL, report.Time(a.quiet[i])), wait}
	}
	issued, err := a.wait(ctx, a.Authorities[i], r)
	if err != nil {
		a.cas[i].LastError = &report.Failure{Text: err.Error(), At: now()}
		a.cas[i].LastFailure = now()
		a.cas[i].Failed++
		a.quiet[i] = now().Add(retryAfter(err))
		return nil, err
	}
	a.cas[i].LastSuccess, a.cas[i].LastError = now(), nil
	p, err := cert.New(issued.Chain, issued.Key, a.bundle(issued.Roots, see))
	if err == nil {
		a.learn(ctx, see, p.Leaf())
		err = a.need(see, cert.Merge(issued.Roots, a.Roots)).Check(p, now())
	}
	if err != nil {
		err = fmt.Errorf("the certificate that %s gave is refused, nothing was changed: %w; mend what the CA is set to issue, or the names, key and usages that this configuration wants", issued.Issuer, err)
		a.cas[i].Refused++
		report.GateRefused.Log(ctx, a.Log, err.Error(), slog.String(report.KeyError, err.Error()), slog.String(report.KeyIssuer, a.cas[i].URL))
		if a.Attempts != "" { // each costs a public CA's patience, and the next will be the same
			err = &patience{err, refusedAgain}
			a.quiet[i] = now().Add(refusedAgain)
		}
		return nil, err
	}
	o := pair.Origin{Issuer: issued.Issuer, Method: issued.Method, Names: a.Names, Time: now()}
	for _, root := range issued.Roots {
		o.Roots = append(o.Roots, cert.FingerprintOf(root).String())
	}
	a.cas[i].Succeeded++
	return &candidate{pair: p, origin: o, from: a.cas[i].URL}, nil
}

// wait lets an authority take its time, and goes on telling the watchdog that
// the loop is alive. An Issuer bounds itself; one that does not is cut off, so
// that a loop that hangs is still seen.
func (a *Agent) wait(ctx context.Context, i Issuer, r ca.Request) (issued ca.Issued, err error) {
	ctx, cancel := context.WithTimeout(ctx, issueLimit)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		issued, err = i.Issue(ctx, r)
	}()
	ticks, stop := a.Notify.WatchdogTicks()
	defer stop()
	for {
		select {
		case <-done:
			a.Notify.Watchdog()
			return issued, err
		case <-ticks:
			if ctx.Err() == nil {
				a.Notify.Watchdog()
			}
		}
	}
}

// save puts c on disk, or keeps it for the next attempt.
func (a *Agent) save(c *candidate) error {
	if _, err := a.Store.Put(c.pair, c.origin); err != nil {
		a.unsaved = c
		return err
	}
	a.unsaved = nil
	return nil
}

// learn asks the servers whether they present the pair as a client, because
// then the gate must insist on clientAuth; but only when leaf is without, else
// the answer changes nothing. What could not be learned stays as it was.
func (a *Agent) learn(ctx context.Context, see sight, leaf *x509.Certificate) {
	if a.Client != Auto || cert.CanAuthenticateClients(leaf) {
		return
	}
	trust, client, known := a.trust(see), false, false
	for i, s := range a.Servers {
		if see.served[i] == nil {
			continue
		}
		if settings, err := s.Settings(ctx, trust); err == nil {
			known, client = true, client || settings.ClientAuth
		}
		a.Notify.Watchdog()
	}
	if known {
		a.usage = &client
	}
}

// bundle returns what redis gets as its trusted CAs: what the authority says,
// what the configuration adds, and, unless the configuration wants it exact,
// what the servers trusted before, as far as it has not expired. To forget a CA
// on the authority's word would lock out clients that still use it.
func (a *Agent) bundle(roots []*x509.Certificate, see sight) []*x509.Certificate {
	all := cert.Merge(roots, a.Roots)
	if !a.ExactRoots && see.newest != nil {
		all = cert.Merge(all, see.newest.Pair.CA)
	}
	valid := all[:0]
	for _, c := range all {
		if see.now.Before(c.NotAfter) {
			valid = append(valid, c)
		}
	}
	return valid
}

// failed counts one more failure and keeps what the other side asked for.
func failed(a plan.Attempts, err error) plan.Attempts {
	return plan.Attempts{Failed: a.Failed + 1, Last: now(), After: retryAfter(err)}
}

// retryAfter returns how long the other side of a failure wants to be left
// alone; zero when it did not say.
func retryAfter(err error) time.Duration {
	var p interface{ RetryAfter() time.Duration }
	if errors.As(err, &p) {
		return p.RetryAfter()
	}
	return 0
}

// patience is an error with what is left of a Retry-After.
type patience struct {
	error
	left time.Duration
}

func (p *patience) RetryAfter() time.Duration { return p.left }

// unanimous joins what all authorities said. The next attempt is worth while
// when the first of them wants to be asked again.
func unanimous(errs []error) error {
	first := retryAfter(errs[0])
	for _, err := range errs[1:] {
		first = min(first, retryAfter(err))
	}
	return &patience{together(errs...), first}
}
