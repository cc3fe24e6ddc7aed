package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plain"
)

// With a pair.External another program renews the pair: certbot, Ansible, or a person
// with an editor. The agent then looks, loads, proves and reports, and the loop is the
// same: what that program put there is the newest pair, the gate says whether it is
// fit, and the plan issues nothing.

// ErrExternal answers who asks for a certificate that another program renews.
var ErrExternal = errors.New("no certificate is asked for: another program renews this pair (issuer: none); " +
	"`redis-cert-agent renew` without --force makes redis load what is there")

// lookExternal says what to make of the pair that another program renews. Certificate,
// key and CA come one after the other: what is broken is left alone for a while, and the
// good pair before stands. So is what cannot be seen to match because its key cannot be
// read: an RSA certificate with the EC key before would be taken with OK, and fail every
// handshake.
func (a *Agent) lookExternal(seen *observation) {
	g := seen.disk.Current
	seen.files = g
	fault := g.Err
	if fault == nil {
		seen.unfit = a.passes(*seen, g.Pair, nil)
		fault = seen.unfit
	}
	if a.files.former != nil {
		seen.disk.All = append([]*pair.Generation{a.files.former}, seen.disk.All...)
	}
	// A clock that was set since must not hold us.
	fresh := seen.now.Sub(g.Since).Abs() < settleTime
	asked := a.request.asked
	if !fresh || g == a.files.complete || asked || fault == nil && g.KeyErr == nil {
		return
	}
	seen.settle = g.Since.Add(settleTime)
	if good := a.files.good; good != nil && a.files.fault == "" {
		seen.disk.Current, seen.newest, seen.unfit = good, good, nil
		seen.disk.All = append(seen.disk.All, good)
	}
}

// noticeExternal takes note of the pair that another program renews: that a good one
// came, or what is wrong with the one that is there, once.
func (a *Agent) noticeExternal(ctx context.Context, seen *observation) {
	a.tellKeyFault(seen.files)
	if text := strings.Join(seen.files.Unread, "; "); changed(&a.files.unread, text) {
		a.opt.Log.Warn(text)
	}
	if !seen.settle.IsZero() {
		a.opt.Log.Debug("another program may not have finished", journal.KeyPath, a.opt.Store.CertPath())
		return
	}
	g := seen.disk.Current
	a.files.complete = g
	if g.Err == nil && seen.unfit == nil && (a.process.clientUse == nil || !a.allProven()) {
		a.learn(ctx, *seen, g.Pair.Leaf())
		seen.unfit = a.passes(*seen, g.Pair, nil)
	}
	if g.Err == nil && seen.unfit == nil {
		a.accept(ctx, g)
	}
}

// tellExternalFault says what is wrong with the pair that is there, once, when the
// servers have been looked at.
func (a *Agent) tellExternalFault(ctx context.Context, seen observation) {
	if a.external == nil || seen.err != nil || !seen.settle.IsZero() {
		return
	}
	g, text := seen.files, a.externalFault(seen)
	if text != "" && (a.files.fault == "" || a.files.logged != g) {
		a.files.logged = g
		journal.ForeignBad.Log(ctx, a.opt.Log, text, slog.String(journal.KeyError, text))
	}
	if text != a.files.fault {
		a.files.fault, a.files.faultAt = text, seen.now
	}
}

// accept notes that another program has put a good pair there. An older one than before
// is taken as well: that program decides.
func (a *Agent) accept(ctx context.Context, g *pair.Generation) {
	before, leaf := a.files.good, g.Pair.Leaf()
	a.files.good = g
	switch {
	case before == nil || g.Equal(before):
		return
	case g.Leaf == before.Leaf:
		a.outdate()
	default:
		a.files.former = before
	}
	journal.Adopted.Log(ctx, a.opt.Log, fmt.Sprintf("another program put %s, valid until %s, at %s",
		cert.Serial(leaf), plain.Time(leaf.NotAfter), a.opt.Store.CertPath()), about(leaf)...)
}

// externalFault says what is wrong with the pair there, and what a redis-server makes
// of that; empty when all is well.
func (a *Agent) externalFault(seen observation) string {
	g := seen.disk.Current
	shown := false
	for _, s := range a.servers {
		shown = shown || s.leaf() != nil && g.Pair != nil && g.Pair.Leaf().Equal(s.leaf())
	}
	path := a.opt.Store.CertPath()
	const remedy = "whoever renews it has to put a good one there"
	switch {
	case errors.Is(g.Err, fs.ErrPermission):
		return fmt.Sprintf("the pair at %s, which another program renews, cannot be seen and is not loaded: %v", path, g.Err)
	case g.Err != nil:
		return fmt.Sprintf("the pair at %s, which another program renews, is not loaded: %v; "+
			"a redis-server that runs keeps what it has, one that starts now fails: %s", path, g.Err, remedy)
	case seen.unfit == nil:
		return ""
	case shown:
		return fmt.Sprintf("the pair at %s, which another program renews and redis serves, is no good: %v; %s", path, seen.unfit, remedy)
	}
	return fmt.Sprintf("the pair at %s, which another program renews, is not loaded: %v; "+
		"a redis-server that runs keeps what it has, one that starts now serves it: %s", path, seen.unfit, remedy)
}

// tellKeyFault logs once that the key cannot be read.
func (a *Agent) tellKeyFault(g *pair.Generation) {
	text := ""
	if g.KeyErr != nil {
		text = g.KeyErr.Error()
	}
	if changed(&a.files.keyFault, text) {
		a.opt.Log.Warn(fmt.Sprintf("the key cannot be checked, nor the pair presented to a server that wants a client certificate, "+
			"and a new one is loaded only %s after it came: %s", settleTime, text))
	}
}

// changed keeps text in last and says whether it is a fault that was not there before.
func changed(last *string, text string) bool {
	fresh := text != "" && text != *last
	*last = text
	return fresh
}
