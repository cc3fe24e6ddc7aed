package agent

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/roots"
)

// Another bundle beside the same certificate is a generation of its own, loaded and proven
// as every other.

// changeBundle puts the newest pair on disk once more, beside the CA certificates that
// seen calls for. The next look has the servers load it.
func (a *Agent) changeBundle(ctx context.Context, seen observation) error {
	// One that was taken in without CA certificates has none of the configured ones either.
	bundle := without(cert.Merge(seen.newest.Pair.CA, a.opt.Roots, seen.added), seen.left)
	err := a.putBundle(seen, bundle, a.pinned(seen.added))
	if err != nil {
		a.roots.failed = failed(a.roots.failed)
		err = fmt.Errorf("put other CA certificates beside the certificate: %w", err)
		a.opt.Log.Error(err.Error(), journal.KeyError, err.Error())
		return err
	}
	a.roots.failed = plan.Attempts{}
	a.tellAdded(ctx, seen.added)
	for _, c := range seen.left {
		a.roots.learned = slices.DeleteFunc(a.roots.learned, c.Equal)
		journal.RootLeft.Log(ctx, a.opt.Log, fmt.Sprintf("%s leaves ca.crt: no authority names it any more, and nothing has needed it for %s", rootNames([]*x509.Certificate{c}),
			a.roots.book.Grace(a.opt.Grace)), slog.String(journal.KeySerial, cert.Serial(c)))
	}
	return nil
}

// without returns those of all that are not among others.
func without(all, others []*x509.Certificate) []*x509.Certificate {
	return slices.DeleteFunc(slices.Clone(all), func(c *x509.Certificate) bool { return slices.ContainsFunc(others, c.Equal) })
}

func (a *Agent) tellAdded(ctx context.Context, added []*x509.Certificate) {
	for _, c := range added {
		journal.RootAdded.Log(ctx, a.opt.Log, fmt.Sprintf("%s joins ca.crt, and every server loads it before a certificate of it", rootNames([]*x509.Certificate{c})),
			slog.String(journal.KeySerial, cert.Serial(c)), slog.Time(journal.KeyNotAfter, c.NotAfter))
	}
}

// pinned returns which of the roots are an authority's own, by which it is recognised from
// now on, and the fingerprint that the configuration has of it.
func (a *Agent) pinned(added []*x509.Certificate) (o pair.Origin) {
	for _, authority := range a.opt.Authorities {
		for _, c := range added {
			r := a.roots.book.Roots[cert.FingerprintOf(c).String()]
			if r != nil && slices.Contains(r.By, authority.URL) && (o.Pin == "" || o.Pin == authority.Pin) {
				o.Pin, o.Roots = authority.Pin, append(o.Roots, cert.FingerprintOf(c).String())
			}
		}
	}
	return o
}

// putBundle puts the newest pair on disk once more, beside bundle. Named are roots that an
// authority named for itself.
func (a *Agent) putBundle(seen observation, bundle []*x509.Certificate, named pair.Origin) error {
	p, o := *seen.newest.Pair, seen.newest.Origin
	p.CA = bundle
	if o.Pin == named.Pin || len(o.Roots) == 0 {
		o.Pin, o.Roots = named.Pin, slices.Concat(o.Roots, named.Roots)
	}
	o.Roots = slices.DeleteFunc(slices.Clone(o.Roots), func(id string) bool {
		return !slices.ContainsFunc(bundle, func(c *x509.Certificate) bool { return cert.FingerprintOf(c).String() == id })
	})
	if _, err := a.own.Put(&p, o); err != nil {
		return err
	}
	a.newest.refused = false
	a.outdate()
	return nil
}

// keepBack says whether c has to wait until the servers trust its root. Where they could
// not have loaded it yet, that root is put on disk first, beside the certificate that they
// have.
func (a *Agent) keepBack(ctx context.Context, seen observation, c *candidate) (bool, error) {
	if seen.newest == nil || a.own == nil || a.roots.book == nil || !now().Before(keptUntil(seen.newest)) {
		return false, nil
	}
	added := without(c.pair.CA, seen.newest.Pair.CA)
	if a.opt.Beside {
		if a.opt.Shared.Trusts(c.pair.Chain, c.pair.CA) {
			return false, nil
		}
		a.tellNamed(added...)
		return true, nil
	}
	known := seen.newest.Pair.CA
	if len(added) == 0 && a.roots.book.Loaded != roots.Digest(known) {
		return a.waitsForServers(seen), nil
	}
	if cert.Way(c.pair.Chain, known) != nil || a.opt.ExactRoots && cert.Way(seen.newest.Pair.Chain, c.pair.CA) == nil {
		return false, nil // it is of a root that they have; or the two may not stand together
	}
	err := a.putBundle(seen, cert.Merge(c.pair.CA, known), pair.Origin{Pin: c.origin.Pin, Roots: c.origin.Roots})
	if err != nil {
		return false, err
	}
	a.tellAdded(ctx, added)
	a.tellNamed(added...)
	return true, nil
}

// keptUntil is how long the next certificate may be kept back. An eighth of the lifetime
// before the end of the one that is there, nothing outranks that: a server that refuses to
// load the new root must not cost the others their certificate, and a reload that fails is
// tried again.
func keptUntil(g *pair.Generation) time.Time {
	end := g.Pair.Leaf().NotAfter
	for _, c := range g.Pair.Needed() {
		end = earliest(end, c.NotAfter)
	}
	return end.Add(-end.Sub(g.Pair.Leaf().NotBefore) / 8)
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// waitsForServers says whether a server that is there has not loaded the newest bundle. One
// that is away loads it when it starts.
func (a *Agent) waitsForServers(seen observation) bool {
	if !a.current(seen) {
		return true
	}
	for i, s := range a.newest.servers {
		if about := a.servers[i]; s.behind && (!about.seen || about.leaf() != nil) && (!about.sentinel || a.restartable(i)) {
			return true
		}
	}
	return false
}

// keptBack returns until when the certificate that is not on disk yet has to wait; zero
// when it need not.
func (a *Agent) keptBack(seen observation) time.Time {
	c := a.newest.unsaved
	if c == nil || !c.waits || seen.newest == nil {
		return time.Time{}
	}
	if a.opt.Beside && a.opt.Shared.Trusts(c.pair.Chain, c.pair.CA) || !a.opt.Beside && !a.waitsForServers(seen) {
		return time.Time{}
	}
	return keptUntil(seen.newest)
}

// rootNames names roots for people.
func rootNames(all []*x509.Certificate) (text string) {
	for i, c := range all {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("the root %q (%s…)", cert.CommonName(c), cert.FingerprintOf(c).String()[:16])
	}
	return text
}
