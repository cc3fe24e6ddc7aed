package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/status"
)

// settleTime is how long broken files are left alone: the program that writes them may
// not have finished. Between its two writes certificate and key differ.
const settleTime = 10 * time.Second

// mayBeUnfinished returns what to wait for while the files that another program put in
// place of the agent's are broken: at the very first start for that program, later for a
// while. A person who wants a new certificate puts an end to it.
func (a *Agent) mayBeUnfinished(seen observation) (plan.Step, bool) {
	until := a.files.broken.Add(settleTime)
	switch {
	case a.files.fault == "" || a.files.broken.IsZero() || a.request.force:
		return plan.Step{}, false
	case len(seen.disk.All) == 0:
		return plan.Step{Why: "another program puts the files right, or `redis-cert-agent renew --force` replaces them"}, true
	}
	return plan.Step{Why: "another program may not have finished", At: until}, seen.now.Before(until)
}

// judgeForeign decides whether the pair that another program put there is to be taken
// in. A bad one is logged once, and left alone: that program may not have finished.
func (a *Agent) judgeForeign(ctx context.Context, seen *observation) {
	f := seen.disk.Foreign
	if f == nil {
		a.files.fault, a.files.adopting = "", plan.Attempts{}
		return
	}
	err := f.Err
	if err == nil {
		err = a.acceptable(ctx, *seen, f.Pair)
	}
	if err == nil {
		a.files.fault, seen.adopt = "", true
		return
	}
	text := fmt.Sprintf("the pair that another program put at %s is not loaded: %v", strings.Join(f.Files, ", "), err)
	if !errors.Is(err, fs.ErrPermission) { // else it may not be replaced either, and err says what to do
		text += "; `redis-cert-agent renew --force` replaces it"
	}
	if text == a.files.fault {
		return
	}
	a.files.fault, a.files.faultAt, a.files.broken = text, seen.now, time.Time{}
	if f.Err != nil {
		a.files.broken = seen.now
	}
	journal.ForeignBad.Log(ctx, a.opt.Log, text, slog.String(journal.KeyError, err.Error()))
}

// acceptable returns why p, put there by another program, is not loaded. The files
// found at the very first start are taken in as they are: redis serves them already, and
// they are how it is recognised when they have expired.
func (a *Agent) acceptable(ctx context.Context, seen observation, p *cert.Pair) error {
	if seen.distrusted(p) {
		return fmt.Errorf("the key of %s was given up, and may be in other hands", cert.Serial(p.Leaf()))
	}
	if c := seen.disk.Current; c != nil && c.Leaf == p.Fingerprint() {
		return a.acceptableBundle(seen, p)
	}
	if err := a.completed(seen, p); err != nil || len(seen.disk.All) == 0 {
		return err
	}
	if seen.newest == nil { // the agent's own are damaged
		a.learn(ctx, seen, p.Leaf())
		return a.passes(seen, p, nil)
	}
	if ours := seen.newest.Pair; !p.Leaf().NotBefore.After(ours.Leaf().NotBefore) && !p.Leaf().NotAfter.After(ours.Leaf().NotAfter) {
		return fmt.Errorf("%s is not newer than %s, which the agent holds", cert.Serial(p.Leaf()), cert.Serial(ours.Leaf()))
	}
	a.learn(ctx, seen, p.Leaf())
	return a.passes(seen, p, seen.newest.Pair.CA)
}

// completed gives a pair that was put there without CA certificates those that redis is to
// trust, where it does not start without. Where none are known, no server can start on the
// files as they are: they cannot be taken in, and wait for nobody.
func (a *Agent) completed(seen observation, p *cert.Pair) error {
	if len(p.CA) > 0 || !a.own.NeedsCA() {
		return nil
	}
	if p.CA = a.opt.Roots; seen.newest != nil {
		p.CA = cert.Merge(p.CA, seen.newest.Pair.CA)
	}
	if len(p.CA) == 0 {
		return fmt.Errorf("redis.conf names %s, which is missing, so that redis does not start: put the root of the issuer there", a.own.CAPath())
	}
	return nil
}

// acceptableBundle is acceptable where the leaf is the same and the chain or the CA
// certificates changed alone: clients that go by them must still accept it.
func (a *Agent) acceptableBundle(seen observation, p *cert.Pair) error {
	if c := seen.disk.Current; len(p.CA) == 0 && (c.Pair == nil || len(c.Pair.CA) > 0) {
		return errors.New("there is no CA certificate any more: put one back, or redis cannot load its files")
	}
	return a.passes(seen, p, nil)
}

// passes holds a pair that another program made against the gate: any type of key will
// do. Extra roots are trusted beside those of the pair and the configuration.
func (a *Agent) passes(seen observation, p *cert.Pair, extra []*x509.Certificate) error {
	need := a.need(seen, cert.Merge(p.CA, extra, a.opt.Roots))
	need.KeyType, need.Lenient = "", true
	return need.Check(p, seen.now)
}

// adopt takes in the pair that another program put there.
func (a *Agent) adopt(ctx context.Context, seen observation) error {
	f := seen.disk.Foreign
	g, err := a.own.Adopt(f, pair.Origin{Method: pair.Adopted, Time: f.Pair.Leaf().NotBefore})
	if errors.Is(err, pair.ErrChanged) {
		return nil // that program is still at work: look again
	}
	if err != nil {
		err = fmt.Errorf("take in %s: %w", strings.Join(f.Files, ", "), err)
		a.files.adopting = failed(a.files.adopting)
		a.files.fault, a.files.faultAt, a.files.broken = err.Error(), now(), time.Time{}
		journal.ForeignBad.Log(ctx, a.opt.Log, err.Error(), slog.String(journal.KeyError, err.Error()))
		return err
	}
	a.files.adopting = plan.Attempts{}
	if c := seen.disk.Current; c != nil && c.Leaf == g.Leaf {
		a.outdate()
	}
	leaf := g.Pair.Leaf()
	journal.Adopted.Log(ctx, a.opt.Log, fmt.Sprintf("took in %s, valid until %s, found at %s",
		cert.Serial(leaf), plain.Time(leaf.NotAfter), strings.Join(f.Files, ", ")), about(leaf)...)
	return nil
}

// outdate has every server load the newest pair again although it shows its leaf: the
// chain or the CA certificates changed alone, and a handshake does not show those.
func (a *Agent) outdate() {
	for i := range a.newest.servers {
		a.newest.servers[i].behind = !a.servers[i].sentinel || a.restartable(i)
	}
}

// filesFailure is what is wrong with the files that another program put there; nil when
// nothing is.
func (a *Agent) filesFailure() *status.Failure {
	if a.files.fault == "" {
		return nil
	}
	return &status.Failure{Text: a.files.fault, At: a.files.faultAt}
}
