package agent

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/report"
	"redis-cert-agent/reload"
)

// A sight is what one look saw.
type sight struct {
	now     time.Time
	disk    pair.State
	newest  *pair.Generation    // the newest sound pair; nil when there is none
	foreign bool                // disk.Foreign is good and newer
	unfit   error               // why newest does not satisfy the configuration
	served  []*x509.Certificate // the leaf that each server shows; nil for one that was not reached
	after   []*x509.Certificate // the same after the step that follows; nil where only another handshake can tell
	clock   error
	settle  time.Time // until when another hand may not have finished, with MonitorOnly
	recheck time.Time
	err     error // the disk could not be read
}

// look reads the disk and asks every server for a handshake, but for those of
// which known tells what they show. It changes nothing.
func (a *Agent) look(ctx context.Context, known []*x509.Certificate) sight {
	see := sight{now: now(), served: make([]*x509.Certificate, len(a.Servers))}
	copy(see.served, known)
	see.disk, see.err = a.Store.Load()
	if see.err != nil {
		return see
	}
	for _, g := range see.disk.All {
		if g.Err == nil {
			see.newest = g
		}
	}
	if a.MonitorOnly {
		a.weigh(ctx, &see)
	}
	trust := a.trust(see)
	if see.newest != nil {
		a.attend(see.newest.Pair.Fingerprint().String())
		see.unfit = a.fits(see)
	}
	for i, s := range a.Servers {
		if see.served[i] == nil {
			a.servers[i].chain = nil
			if served, err := s.Served(ctx, trust); err == nil {
				see.served[i], a.servers[i].chain = served.Chain[0], served.Chain
			}
		}
		if see.served[i] != nil {
			a.recognise(ctx, see, i, trust)
		}
		a.Notify.Watchdog()
	}
	see.after = slices.Clone(see.served)
	see.foreign = a.judge(ctx, &see)
	see.recheck, see.clock = a.clock(see)
	return see
}

// attend starts the counts of failures anew when the newest pair changes.
func (a *Agent) attend(newest string) {
	if a.newest == newest {
		return
	}
	a.newest, a.refused, a.wish = newest, 0, wish{}
	for i := range a.servers {
		m := &a.servers[i]
		m.proven, m.failed, m.err = false, plan.Attempts{}, nil
	}
}

// recognise proves a server that shows the newest leaf although the agent has
// not made it so: it started after the pair was written, or the agent did.
func (a *Agent) recognise(ctx context.Context, see sight, i int, trust reload.Trust) {
	if see.newest == nil || a.servers[i].proven || !see.newest.Pair.Leaf().Equal(see.served[i]) {
		return
	}
	if a.Servers[i].Prove(ctx, trust, see.newest.Pair.Leaf()) == nil {
		a.succeed(ctx, see, i)
	}
}

// fits returns why the newest pair does not satisfy the configuration any more,
// whatever the time: that calls for another one at once, not at two-thirds.
func (a *Agent) fits(see sight) error {
	if a.MonitorOnly {
		return see.unfit // weighed already
	}
	g := see.newest
	need := a.need(see, g.Pair.CA)
	if g.Origin.Adopted() {
		need.KeyType = "" // another hand may choose; it counts at the next renewal
	} else if len(g.Origin.Names) > 0 && !sameNames(g.Origin.Names, a.Names) {
		return errors.New("the configured names changed")
	}
	if len(g.Pair.CA) == 0 {
		need.Roots = nil
	}
	return need.Check(g.Pair, within(g.Pair.Chain, see.now))
}

// named returns the roots that authorities named with the pairs on disk. What
// another hand put into ca.crt is for redis to trust; it does not vouch for an
// authority.
func (see sight) named() []*x509.Certificate {
	var roots []*x509.Certificate
	for _, g := range see.disk.All {
		if g.Err != nil {
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

// within returns the time nearest to t at which the whole chain is valid, so
// that a check at it does not speak of expiry. At the issue it is t itself, so
// that what passed the gate fits.
func within(chain []*x509.Certificate, t time.Time) time.Time {
	for _, c := range chain {
		if t.Before(c.NotBefore) {
			t = c.NotBefore
		}
	}
	for _, c := range chain {
		if t.After(c.NotAfter) {
			t = c.NotAfter
		}
	}
	return t
}

// sameNames reports whether two lists hold the same names in any order.
func sameNames(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	have := map[string]bool{}
	for _, n := range a {
		have[n] = true
	}
	for _, n := range b {
		if !have[n] {
			return false
		}
	}
	return true
}

// clock returns why the time cannot be believed. A certificate of our own that
// is not valid yet says so as clearly as the kernel does.
func (a *Agent) clock(see sight) (time.Time, error) {
	if g := see.newest; g != nil && !g.Origin.Adopted() && see.now.Before(g.Pair.Leaf().NotBefore) {
		return g.Pair.Leaf().NotBefore, fmt.Errorf("it says %s, before the certificate on disk began", see.now.UTC().Format(time.RFC3339))
	}
	return a.Clock(see.now)
}

// need returns the gate for pairs of this configuration.
func (a *Agent) need(see sight, roots []*x509.Certificate) cert.Need {
	n := cert.Need{Names: a.Names, KeyType: a.KeyType, Roots: cert.Pool(roots)}
	switch {
	case a.Client == ServerAndClient:
		n.Client = true
	case a.Client == Auto && a.usage != nil:
		n.Client = *a.usage
	case a.Client == Auto && see.newest != nil:
		n.Client = cert.CanAuthenticateClients(see.newest.Pair.Leaf())
	}
	return n
}

// trust returns how servers are recognised: by the roots of the pairs on disk,
// and by every leaf that is or was there.
func (a *Agent) trust(see sight) reload.Trust {
	t := reload.Trust{Names: a.Names, Now: now}
	roots := a.Roots
	leaves := map[cert.Fingerprint]bool{}
	for _, g := range see.disk.All {
		leaves[g.Leaf] = true // also when its files were damaged since
		if g.Err == nil {
			roots = cert.Merge(roots, g.Pair.CA)
		}
	}
	if len(roots) > 0 {
		t.Roots = cert.Pool(roots)
	}
	t.Known = func(leaf *x509.Certificate) bool { return leaves[cert.FingerprintOf(leaf)] }
	if see.newest != nil && see.newest.Pair.Key != nil {
		c := see.newest.Pair.TLS()
		t.Client = &c
	}
	return t
}

// facts returns what the plan needs of the sight.
func (see sight) facts(a *Agent) plan.Facts {
	f := plan.Facts{Clock: see.clock, Recheck: see.recheck, Foreign: see.foreign, Adopt: a.adopting, Issue: a.issuing, Asked: a.asked, Unsaved: a.unsaved != nil,
		MonitorOnly: a.MonitorOnly, Settle: see.settle}
	if g := see.newest; g != nil {
		f.Newest = &plan.Pair{ID: g.Pair.Fingerprint().String(), Since: g.Origin.Time, Spread: spread(g.Pair), Window: a.wish.window}
		if len(a.suggestible(see)) > 0 {
			f.Suggest = a.wish.next
			if f.Suggest.IsZero() {
				f.Suggest = see.now // not asked yet
			}
		}
		for _, c := range g.Pair.Chain {
			f.Newest.Chain = append(f.Newest.Chain, plan.Window{NotBefore: c.NotBefore, NotAfter: c.NotAfter})
		}
		if see.unfit != nil {
			f.Newest.Unfit = see.unfit.Error()
		}
		f.Current = see.disk.Current != nil && see.disk.Current.ID == g.ID &&
			(len(see.disk.Unlinked) == 0 || see.disk.Foreign != nil) // what another hand put there stays until it is taken in or replaced
	}
	for i, c := range see.served {
		if f.Newest == nil {
			break
		}
		s := plan.Server{Failed: a.servers[i].failed}
		if c != nil && !a.servers[i].behind && (a.servers[i].proven || !see.newest.Pair.Leaf().Equal(c)) {
			s.Served = cert.FingerprintOf(c).String()
		}
		f.Servers = append(f.Servers, s)
	}
	return f
}

// spread places this host in the jitter. It comes from the public key, so a
// restart does not move it and two hosts rarely meet.
func spread(p *cert.Pair) float64 {
	sum := sha256.Sum256(p.Leaf().RawSubjectPublicKeyInfo)
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}

// logServer logs with the server's name.
func (a *Agent) logServer(i int) *slog.Logger {
	return a.Log.With(slog.String(report.KeyServer, a.Servers[i].Name))
}
