package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload"
	"slices"
	"time"
)

// fits returns why the newest pair does not satisfy the configuration any more,
// whatever the time: that calls for another one at once, not at two-thirds.
func (a *Agent) fits(seen observation) error {
	g := seen.newest
	need := a.need(seen, g.Pair.CA)
	if g.Origin.Adopted() {
		need.KeyType, need.Lenient = "", true // another program may choose; it counts at the next renewal
	} else if len(g.Origin.Names) > 0 && !sameNames(g.Origin.Names, a.opt.Names) {
		return errors.New("the configured names changed")
	}
	if len(g.Pair.CA) == 0 {
		need.Roots = nil
	}
	return need.Check(g.Pair, within(g.Pair.Needed(), seen.now))
}

// refusedBySome returns which clients refuse the newest pair, and why, where another
// program made it and others accept it. What an authority gives never gets that far.
func (a *Agent) refusedBySome(seen observation) string {
	g := seen.newest
	if g == nil || seen.unfit != nil || a.external == nil && !g.Origin.Adopted() {
		return ""
	}
	v := a.need(seen, cert.Merge(g.Pair.CA, a.opt.Roots)).Judge(g.Pair, within(g.Pair.Needed(), seen.now))
	for _, who := range []cert.Clients{cert.OpenSSL, cert.Go} {
		if err := v.Refusal(who); err != nil {
			return fmt.Sprintf("%s: %v", who, err)
		}
	}
	return ""
}

// within returns the time nearest to t at which the whole chain is valid, so that a
// check at it does not speak of expiry. At the issue it is t itself, so that what
// passed the gate fits.
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

// someTime returns the time nearest to now at which the whole chain is valid; now, when
// it never is.
func someTime(chain []*x509.Certificate) time.Time {
	if t := within(chain, now()); cert.ValidAt(chain, t) == nil {
		return t
	}
	return now()
}

// sameNames reports whether two lists hold the same names in any order.
func sameNames(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// clock returns why the time cannot be believed. A certificate of our own that is not
// valid yet says so as clearly as the kernel does.
func (a *Agent) clock(seen observation) (time.Time, error) {
	if c := a.newest.unsaved; c.pending(seen.now) {
		return c.begins(), earlyError(c)
	}
	if g := seen.newest; g != nil && !g.Origin.Adopted() && seen.now.Before(g.Pair.Leaf().NotBefore) {
		return g.Pair.Leaf().NotBefore, fmt.Errorf("it says %s, before the certificate on disk began", seen.now.UTC().Format(time.RFC3339))
	}
	return a.opt.Clock(seen.now)
}

// need returns the gate for pairs of this configuration.
func (a *Agent) need(seen observation, roots []*x509.Certificate) cert.Need {
	n := cert.Need{Names: a.opt.Names, KeyType: a.keyType(seen), Roots: append([]*x509.Certificate{}, roots...)}
	switch {
	case a.opt.Client == ServerAndClient:
		n.Client = true
	case a.opt.Client == ClientOnly:
		n.NoServer = true
	case a.opt.Client == Auto && a.process.clientUse != nil:
		n.Client = *a.process.clientUse
	case a.opt.Client == Auto && seen.newest != nil:
		n.Client = cert.CanAuthenticateClients(seen.newest.Pair.Leaf())
	}
	return n
}

// keyType returns the type of the next key: what the configuration wants, or else what
// was there before, for clients and servers may be set for it: one whose tls-ciphers are
// for RSA keys could not serve another kind.
func (a *Agent) keyType(seen observation) cert.KeyType {
	switch {
	case a.opt.KeyType != "":
		return a.opt.KeyType
	case seen.newest != nil:
		return cert.NextKeyType(seen.newest.Pair.Leaf().PublicKey)
	case seen.disk.Foreign != nil && seen.disk.Foreign.Pair != nil:
		return cert.NextKeyType(seen.disk.Foreign.Pair.Leaf().PublicKey)
	}
	return cert.KeyTypes[0]
}

// learn asks the servers whether they present the pair as a client, because then the
// gate must insist on clientAuth; but only when leaf is without, else the answer changes
// nothing. What could not be learned stays as it was.
func (a *Agent) learn(ctx context.Context, seen observation, leaf *x509.Certificate) {
	if a.opt.Client != Auto || cert.CanAuthenticateClients(leaf) {
		return
	}
	use := make([]bool, len(a.servers))
	known, client := false, false
	work := func(i int) error {
		settings, err := a.opt.Servers[i].Settings(ctx, a.trustAt(seen, i))
		use[i] = settings.ClientAuth
		return err
	}
	a.sideBySide(a.all(), work, func(i int, err error) {
		known, client = known || err == nil, client || err == nil && use[i]
	})
	if known {
		a.process.clientUse = &client
	}
}

// trust returns how servers are recognised: by the roots of the pairs on disk, and by
// every leaf that is or was there.
func (a *Agent) trust(seen observation) reload.Trust {
	t := reload.Trust{Names: a.carried(seen), Now: now}
	roots := a.opt.Roots
	for _, g := range seen.disk.All {
		if g.Sound() {
			roots = cert.Merge(roots, g.Pair.CA)
		}
	}
	t.Roots = roots
	if d := seen.disk.Distrust; len(d.Leaves) > 0 {
		t.Distrusted = d.Distrusts
	}
	t.Known = func(leaf *x509.Certificate) bool { return slices.Contains(seen.disk.Known, cert.FingerprintOf(leaf)) }
	if seen.newest != nil && seen.newest.Pair.Key != nil {
		c := seen.newest.Pair.TLS()
		t.Client = &c
	}
	return t
}

// carried returns the names by which servers are known and proven: those of the
// configuration that the newest pair carries. As long as no authority has given a
// certificate for the others, the pair lacks them, and no reload of a server helps.
func (a *Agent) carried(seen observation) []string {
	if a.own == nil || seen.newest == nil {
		return a.opt.Names
	}
	leaf := seen.newest.Pair.Leaf()
	names := slices.DeleteFunc(slices.Clone(a.opt.Names), func(name string) bool { return !cert.Carries(leaf, name) })
	if len(names) == 0 {
		return cert.NamesOf(leaf)
	}
	return names
}

// now is the wall clock without the monotonic reading, which stands still in a
// suspend.
func now() time.Time { return time.Now().Round(0) }
