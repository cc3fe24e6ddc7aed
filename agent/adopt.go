package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/report"
)

// manners is how long broken files are left alone: the other hand may not have
// finished. Between its two writes certificate and key differ.
const manners = 10 * time.Second

// waits returns what to wait for while another hand's files are broken: at the
// very first start for that hand, later for a while. A person who wants a new
// certificate puts an end to it.
func (a *Agent) waits(see sight) (plan.Step, bool) {
	until := a.badSince.Add(manners)
	switch {
	case a.bad == "" || a.badSince.IsZero() || a.pressed:
		return plan.Step{}, false
	case len(see.disk.All) == 0:
		return plan.Step{Why: "another hand puts the files right, or `redis-cert-agent renew --force` replaces them"}, true
	}
	return plan.Step{Why: "another hand may not have finished", At: until}, see.now.Before(until)
}

// judge decides whether the pair that another hand put there is to be taken in.
// A bad one is named once, and left alone: the other hand may not have finished.
func (a *Agent) judge(ctx context.Context, see *sight) bool {
	if a.MonitorOnly {
		a.criticise(ctx, see)
		return false
	}
	f := see.disk.Foreign
	if f == nil {
		a.bad = ""
		return false
	}
	err := f.Err
	if err == nil {
		err = a.acceptable(ctx, *see, f.Pair)
	}
	if err == nil {
		a.bad = ""
		return true
	}
	if text := fmt.Sprintf("the pair that another hand put at %s is not loaded: %v; `redis-cert-agent renew --force` replaces it", strings.Join(f.Files, ", "), err); text != a.bad {
		a.bad, a.badSince = text, time.Time{}
		if f.Err != nil {
			a.badSince = see.now
		}
		report.ForeignBad.Log(ctx, a.Log, text, slog.String(report.KeyError, err.Error()))
	}
	return false
}

// acceptable returns why p, put there by another hand, is not loaded. The files
// found at the very first start are taken in as they are: redis serves them
// already, and they are how it is recognised when they have expired.
func (a *Agent) acceptable(ctx context.Context, see sight, p *cert.Pair) error {
	if c := see.disk.Current; c != nil && c.Leaf == p.Fingerprint() {
		return a.acceptableBundle(see, p)
	}
	if see.newest == nil {
		return nil
	}
	if ours := see.newest.Pair; !p.Leaf().NotBefore.After(ours.Leaf().NotBefore) && !p.Leaf().NotAfter.After(ours.Leaf().NotAfter) {
		return fmt.Errorf("%s is not newer than %s, which the agent holds", report.Serial(p.Leaf()), report.Serial(ours.Leaf()))
	}
	a.learn(ctx, see, p.Leaf())
	return a.passes(see, p, see.newest.Pair.CA)
}

// passes holds a pair of another hand's making against the gate: any type of key
// will do. Extra roots are trusted beside those of the pair and the
// configuration.
func (a *Agent) passes(see sight, p *cert.Pair, extra []*x509.Certificate) error {
	need := a.need(see, cert.Merge(p.CA, extra, a.Roots))
	need.KeyType = ""
	return need.Check(p, see.now)
}

// acceptableBundle is acceptable where the leaf is the same and the chain or the
// CA certificates changed alone: clients that go by them must still accept it.
func (a *Agent) acceptableBundle(see sight, p *cert.Pair) error {
	if c := see.disk.Current; len(p.CA) == 0 && (c.Pair == nil || len(c.Pair.CA) > 0) {
		return errors.New("there is no CA certificate any more: put one back, or redis cannot load its files")
	}
	return a.passes(see, p, nil)
}

// adopt takes in the pair that another hand put there.
func (a *Agent) adopt(ctx context.Context, see sight) error {
	f := see.disk.Foreign
	g, err := a.Store.Adopt(f, pair.Origin{Method: pair.Adopted, Time: f.Pair.Leaf().NotBefore})
	if errors.Is(err, pair.ErrChanged) {
		return nil // the other hand is still at work: look again
	}
	if err != nil {
		err = fmt.Errorf("take in %s: %w", strings.Join(f.Files, ", "), err)
		a.adopting = failed(a.adopting, err)
		report.ForeignBad.Log(ctx, a.Log, err.Error(), slog.String(report.KeyError, err.Error()))
		return err
	}
	a.adopting = plan.Attempts{}
	if c := see.disk.Current; c != nil && c.Leaf == g.Leaf {
		a.outdate()
	}
	leaf := g.Pair.Leaf()
	report.Adopted.Log(ctx, a.Log, fmt.Sprintf("took in %s, valid until %s, found at %s",
		report.Serial(leaf), report.Time(leaf.NotAfter), strings.Join(f.Files, ", ")), about(leaf)...)
	return nil
}

// outdate has every server load the newest pair again although it shows its
// leaf: the chain or the CA certificates changed alone, and a handshake does not
// show those.
func (a *Agent) outdate() {
	for i := range a.servers {
		a.servers[i].behind = true
	}
}
