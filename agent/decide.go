package agent

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"slices"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
)

// next asks the plan, unless the disk cannot be read: then nothing is decided on what
// cannot be seen.
func (a *Agent) next(seen observation) plan.Step {
	if seen.err != nil {
		return plan.Step{Why: seen.err.Error(), At: seen.now.Add(time.Minute)}
	}
	if a.external == nil {
		if step, wait := a.mayBeUnfinished(seen); wait {
			if !a.allFresh() {
				step.Do = plan.Look
			}
			return step
		}
	}
	return a.inStages(seen, a.yield(seen, plan.Next(seen.now, a.facts(seen), a.opt.Policy)))
}

// facts returns what the plan needs of what was seen and of what is remembered.
func (a *Agent) facts(seen observation) plan.Facts {
	f := plan.Facts{
		Clock: seen.clock, Recheck: seen.recheck, Foreign: seen.adopt, Adopt: a.files.adopting,
		Issue: a.newest.issuing, Switch: a.newest.switching, Asked: a.request.force && !a.request.tried,
		Unsaved:  a.newest.unsaved.usable(seen.now) || a.newest.unsaved.pending(seen.now),
		External: a.external != nil, Settle: seen.settle, Seen: a.allFresh(),
	}
	f.Bundle, f.Bundling, f.Waits = len(seen.added)+len(seen.left) > 0, a.roots.failed, a.keptBack(seen)
	f.Newest = a.planned(seen)
	f.Hold = a.hold(seen.now, f.Newest)
	if g := seen.newest; g != nil {
		if len(a.suggesters(seen)) > 0 {
			f.Suggest = a.newest.askAgain
			if f.Suggest.IsZero() {
				f.Suggest = seen.now // not asked yet
			}
		}
		f.Current = seen.disk.Current != nil && seen.disk.Current.ID == g.ID &&
			(len(seen.disk.Unlinked) == 0 || seen.disk.Foreign != nil) // what another program put there stays until it is taken in or replaced
	}
	for i, about := range a.servers {
		loading, s := a.newest.servers[i], plan.Server{}
		s.Failed, s.Held = loading.failed, loading.undone && !endsSoon(about.leaf(), seen.now)
		s.Held = s.Held || a.waitsForAnother(seen, i)
		s.Passive = about.sentinel
		if c := about.leaf(); c != nil && seen.newest != nil && !loading.behind && (loading.proven || !seen.newest.Pair.Leaf().Equal(c)) {
			s.Served = cert.FingerprintOf(c).String()
		}
		f.Servers = append(f.Servers, s)
	}
	return f
}

// planned returns the newest pair as the plan sees it; nil when there is none.
func (a *Agent) planned(seen observation) *plan.Certificate {
	g := seen.newest
	if g == nil {
		return nil
	}
	p := planned(g.Pair, g.Origin)
	p.Window, p.Recalled = a.newest.suggested, a.newest.atOnce
	p.Late, p.Distrusted = a.rivalled(seen), seen.distrusted(g.Pair)
	if seen.unfit != nil {
		p.Unfit = seen.unfit.Error()
	}
	return p
}

// planned returns a pair as the plan sees it that knows nothing but the pair.
func planned(g *cert.Pair, o pair.Origin) *plan.Certificate {
	p := &plan.Certificate{ID: g.Fingerprint().String(), Since: o.Time, Spread: spread(g), First: o.First, Replaced: o.Replaced}
	for _, c := range g.Needed() {
		p.Chain = append(p.Chain, plan.Window{From: c.NotBefore, To: c.NotAfter})
	}
	return p
}

// hold returns until when every authority is left alone: zero when one is not.
func (a *Agent) hold(now time.Time, newest *plan.Certificate) (first time.Time) {
	for i, attempts := range a.newest.authorities {
		if until := attempts.Hold(now, newest); i == 0 || until.Before(first) {
			first = until
		}
	}
	return first
}

// endsSoon says that there is little to lose: a server that could not use the newest pair
// tries it again before the one that it shows ends, since it may have been restarted with
// other settings, unseen.
func endsSoon(leaf *x509.Certificate, now time.Time) bool {
	return leaf != nil && leaf.NotAfter.Sub(now) < min(15*time.Minute, leaf.NotAfter.Sub(leaf.NotBefore)/8)
}

// allFresh says whether every server has been looked at in this round.
func (a *Agent) allFresh() bool {
	return !slices.ContainsFunc(a.servers, func(s aboutServer) bool { return !s.fresh })
}

// spread places this host in the jitter. It comes from the public key, so a restart does
// not move it and two hosts rarely meet.
func spread(p *cert.Pair) float64 {
	sum := sha256.Sum256(p.Leaf().RawSubjectPublicKeyInfo)
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}
