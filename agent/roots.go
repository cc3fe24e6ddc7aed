package agent

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/roots"
	"redis-cert-agent/agent/status"
)

// An authority moves to another root while certificates of both are in use. Servers judge
// each other, and clients, by the CA certificates that they have loaded: so old and new
// stand there together before the first certificate below the new one is loaded, and the
// old one leaves long after the last.

// aboutRoots is remembered of the roots.
type aboutRoots struct {
	book    *roots.Book // nil until the first look
	opened  bool        // what it says was loaded has been compared
	learned []*x509.Certificate
	sources []string      // who may name roots
	leaves  time.Time     // when the next one may leave; zero: none is to
	failed  plan.Attempts // to put another bundle on disk
	fault   string        // why the book could not be written, as it was logged
}

// federated is added to the address of an authority for the roots of its federation.
const federated = " (federation)"

// named takes note of what authority i named when it was asked for its roots, and says
// whether that is news.
func (a *Agent) named(i int, n ca.Named) (news bool) {
	if a.own == nil || len(n.Roots) == 0 {
		return false
	}
	if a.roots.book == nil { // the disk could not be read so far
		a.roots.book = roots.Read(a.opt.RootsBook)
	}
	a.authorities[i].named, a.authorities[i].ownAt, a.authorities[i].own = now(), now(), n.Roots
	list := func(all []*x509.Certificate) []*x509.Certificate {
		return slices.DeleteFunc(slices.Clone(all), func(c *x509.Certificate) bool { return !c.IsCA || !now().Before(c.NotAfter) })
	}
	url, own, others := a.opt.Authorities[i].URL, list(n.Roots), list(n.Federated)
	changed := a.roots.book.Named(url, own, now())
	changed = a.roots.book.Named(url+federated, others, now()) || changed
	switch {
	case !a.opt.ExactRoots:
		a.roots.learned = cert.Merge(a.roots.learned, own, others)
	case len(a.opt.Authorities) == 1: // else only those of the one that issues
		a.roots.learned = cert.Merge(a.roots.learned, own)
	}
	a.authorities[i].names = cert.Merge(own, others)
	a.tellNamed()
	return changed
}

// namedAtIssue takes note of the roots that came with a certificate. A CA that is asked by
// ACME gives none: they are what this host trusts for it, and with a fingerprint the
// authority is asked for them beside.
func (a *Agent) namedAtIssue(i int, list []*x509.Certificate) {
	authority := a.opt.Authorities[i]
	if a.roots.book != nil && (a.namesNone(i) || authority.Kind != "acme") {
		a.roots.book.Named(authority.URL, list, now())
		a.authorities[i].names, a.authorities[i].own, a.authorities[i].ownAt = list, list, now()
		a.tellNamed()
	}
}

// tellNamed tells the other agents of the process what the authorities name now, and which
// roots are put on disk besides.
func (a *Agent) tellNamed(added ...*x509.Certificate) {
	for _, about := range a.authorities {
		added = cert.Merge(added, about.names)
	}
	a.opt.Shared.Tell(a.who(), added)
}

// namesNone says that authority i cannot be asked for its roots.
func (a *Agent) namesNone(i int) bool {
	authority := a.opt.Authorities[i]
	_, names := authority.Issuer.(ca.Namer)
	return !names || authority.Kind == "acme" && authority.Pin == ""
}

// who is the name of this agent among those of the process.
func (a *Agent) who() string {
	if a.opt.Beside {
		return a.opt.Instance
	}
	return ""
}

// noticeRoots brings what is known of roots up to what a look saw, and says which bundle
// is to stand beside the newest pair.
func (a *Agent) noticeRoots(ctx context.Context, seen *observation) {
	if a.own == nil {
		return
	}
	if a.roots.book == nil {
		a.roots.book = roots.Read(a.opt.RootsBook)
	}
	b, g := a.roots.book, seen.newest
	if g == nil {
		if a.opt.Beside {
			a.opt.Shared.Present(a.opt.Instance, [][]*x509.Certificate{})
		}
		return
	}
	if !a.roots.opened {
		a.roots.opened = true
		a.compareLoaded(*seen)
	}
	for _, old := range seen.disk.All {
		for _, c := range g.Pair.CA {
			if old.Sound() && slices.Contains(old.Origin.Roots, cert.FingerprintOf(c).String()) {
				b.Knew(c, seen.now)
			}
		}
	}
	a.consult(seen.now)
	a.noteLoaded(ctx, *seen)
	facts := a.rootFacts(*seen)
	seen.added, seen.left = b.Next(seen.now, facts)
	if a.opt.ExactRoots {
		seen.left = nil // they go with the next certificate, as they always have
	}
	a.roots.leaves = time.Time{}
	for _, r := range b.Roots {
		if at := r.Gone.Add(b.Grace(a.opt.Grace)); !r.Gone.IsZero() && (a.roots.leaves.IsZero() || at.Before(a.roots.leaves)) {
			a.roots.leaves = at
		}
	}
	a.writeBook()
}

// compareLoaded has the servers load the bundle once more where the process before has not
// seen to it that they did: a handshake does not show that.
func (a *Agent) compareLoaded(seen observation) {
	b, digest := a.roots.book, roots.Digest(seen.newest.Pair.CA)
	if b.Loaded == "" {
		b.Loaded = digest
	}
	if b.Loaded != digest {
		a.outdate()
	}
}

// consult takes note of what the other agents of this process know of roots.
func (a *Agent) consult(now time.Time) {
	var sources []string
	for _, authority := range a.opt.Authorities {
		sources = append(sources, authority.URL, authority.URL+federated)
	}
	for who, named := range a.opt.Shared.Told(a.who()) {
		source := "the agent of the servers"
		if who != "" {
			source = "the pair " + who
		}
		sources = append(sources, source)
		a.roots.book.Named(source, named, now)
		if !a.opt.ExactRoots || len(a.opt.Authorities) == 1 {
			a.roots.learned = cert.Merge(a.roots.learned, named)
		}
	}
	a.roots.sources = sources
}

// rootFacts is what decides which roots stand in the bundle.
func (a *Agent) rootFacts(seen observation) roots.Facts {
	f := roots.Facts{
		Bundle: seen.newest.Pair.CA, Sources: a.roots.sources, Learned: a.roots.learned, Configured: a.opt.Roots, Grace: a.opt.Grace,
		Complete: seen.clock == nil && a.apart() == "" && a.current(seen),
	}
	for _, g := range seen.disk.All {
		if g.Sound() && (g == seen.newest || g == seen.disk.Current || a.isShown(g)) {
			f.Chains = append(f.Chains, g.Pair.Chain)
		}
	}
	if a.opt.Beside {
		a.opt.Shared.Present(a.opt.Instance, f.Chains)
	}
	for i, s := range a.servers {
		f.Chains = append(f.Chains, s.shown)
		f.Complete = f.Complete && (s.leaf() == nil || s.sentinel || a.newest.servers[i].proven && !a.newest.servers[i].behind)
	}
	for i, about := range a.authorities {
		f.Complete = f.Complete && (a.namesNone(i) || seen.now.Sub(about.named).Abs() < 3*inspectEvery)
	}
	if !a.opt.Beside {
		others, complete := a.opt.Shared.Presented()
		f.Chains, f.Complete = append(f.Chains, others...), f.Complete && complete
	}
	for _, read := range a.watchedNow(f) {
		f.Chains = append(f.Chains, read.certs)
	}
	for _, chain := range f.Chains {
		if len(chain) > 0 {
			a.roots.book.Saw(chain[0])
		}
	}
	return f
}

// watchedNow reads the certificates of others where a root may have to stay for them.
func (a *Agent) watchedNow(f roots.Facts) []content {
	for _, c := range f.Bundle {
		r := a.roots.book.Roots[cert.FingerprintOf(c).String()]
		if r != nil && len(r.NamedBy(a.roots.sources)) == 0 && !slices.ContainsFunc(f.Configured, c.Equal) {
			return readAll(a.opt.Watched)
		}
	}
	return nil
}

// current says whether servers that start now load the newest pair.
func (a *Agent) current(seen observation) bool {
	return seen.disk.Current != nil && seen.newest != nil && seen.disk.Current.ID == seen.newest.ID
}

// noteLoaded takes note that every server that can load files has loaded the bundle of the
// newest pair: from then on certificates of its roots may be presented to them.
func (a *Agent) noteLoaded(ctx context.Context, seen observation) {
	if !a.current(seen) {
		return
	}
	for i, s := range a.newest.servers {
		if (!a.servers[i].sentinel || a.restartable(i)) && (!s.proven || s.behind) {
			return
		}
	}
	bundle := seen.newest.Pair.CA
	digest := roots.Digest(bundle)
	if !a.opt.Beside {
		a.opt.Shared.Trust(bundle)
	}
	if digest == a.roots.book.Loaded {
		return
	}
	a.share() // clients of this host go by it
	if a.roots.book.Loaded != "" {
		journal.RootsLoaded.Log(ctx, a.opt.Log, fmt.Sprintf("every server trusts %d CA certificates from now on: %s", len(bundle), rootNames(bundle)))
	}
	a.roots.book.Loaded = digest
	a.writeBook()
}

func (a *Agent) writeBook() {
	text := ""
	if err := a.roots.book.Write(); err != nil {
		text = fmt.Sprintf("what is known of roots is not kept: %v", err)
	}
	if changed(&a.roots.fault, text) {
		a.opt.Log.Warn(text)
	}
}

// rootStatus describes the roots that authorities name or have named.
func (a *Agent) rootStatus(seen observation) (all []status.Root) {
	if a.roots.book == nil || seen.newest == nil {
		return nil
	}
	for _, c := range cert.Merge(seen.newest.Pair.CA, seen.added) {
		id := cert.FingerprintOf(c).String()
		known := a.roots.book.Roots[id]
		if known == nil {
			continue
		}
		r := status.Root{Name: cert.CommonName(c), Fingerprint: id, NotAfter: c.NotAfter, NamedBy: known.NamedBy(a.roots.sources)}
		r.Loaded = slices.ContainsFunc(seen.newest.Pair.CA, c.Equal) && a.roots.book.Loaded == roots.Digest(seen.newest.Pair.CA)
		if !known.Gone.IsZero() && !a.opt.ExactRoots {
			r.Leaves = known.Gone.Add(a.roots.book.Grace(a.opt.Grace))
		}
		all = append(all, r)
	}
	return all
}
