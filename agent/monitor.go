package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/report"
)

// With Options.MonitorOnly another hand renews the pair: certbot, Ansible, a
// person. The agent then looks, loads, proves and reports, and the loop is the
// same: what that hand put there is the newest pair, the gate says whether it
// is fit, and the plan issues nothing.

// ErrMonitorOnly answers who asks for a certificate that another hand renews.
var ErrMonitorOnly = errors.New("no certificate is asked for: another hand renews this pair (issuer: none); `redis-cert-agent renew` without --force makes redis load what is there")

// An otherHand is what is remembered of the pair that another hand renews.
type otherHand struct {
	sound   *pair.Generation // the latest that was good; nil before
	former  *pair.Generation // the good one before it
	settled *pair.Generation // had its time, whatever it is worth
	named   *pair.Generation // its fault was logged
	blind   string           // why its key cannot be read, as logged last
	lost    string           // why its leaf could not be written down, likewise
	hurried bool             // a person waits for the answer, and nobody for the other hand
}

// weigh judges the pair that another hand renews before anything is decided on
// it. Certificate, key and CA come one after the other: what is broken is left
// alone for a while, and the good pair before stands. So is what cannot be seen
// to match because its key cannot be read: an RSA certificate with the EC key
// before would be taken with OK, and fail every handshake.
func (a *Agent) weigh(ctx context.Context, see *sight) {
	g, r := see.disk.Current, &a.other
	fault := g.Err
	if fault == nil {
		see.unfit = a.unfit(*see)
		fault = see.unfit
	}
	if r.former != nil {
		see.disk.All = append([]*pair.Generation{r.former}, see.disk.All...)
	}
	a.tellBlind(g)
	// A clock that was set since must not hold us.
	fresh := see.now.Sub(g.Since).Abs() < manners
	if fresh && g != r.settled && !r.hurried && (fault != nil || g.KeyErr != nil) {
		see.settle = g.Since.Add(manners)
		a.Log.Debug("another hand may not have finished", report.KeyPath, a.Store.CertPath())
		if r.sound != nil && a.bad == "" {
			see.disk.Current, see.newest, see.unfit = r.sound, r.sound, nil
			see.disk.All = append(see.disk.All, r.sound)
		}
		return
	}
	r.settled = g
	if fault == nil {
		a.accept(ctx, g)
	}
}

// unfit returns why the pair there is not to be loaded. An older one than before
// is: the other hand decides.
func (a *Agent) unfit(see sight) error {
	return a.passes(see, see.disk.Current.Pair, nil)
}

// accept notes that the other hand has put a good pair there.
func (a *Agent) accept(ctx context.Context, g *pair.Generation) {
	r, leaf := &a.other, g.Pair.Leaf()
	before := r.sound
	r.sound = g
	switch {
	case before == nil || g.Equal(before):
		return
	case g.Leaf == before.Leaf:
		a.outdate()
	default:
		r.former = before
	}
	report.Adopted.Log(ctx, a.Log, fmt.Sprintf("another hand put %s, valid until %s, at %s",
		report.Serial(leaf), report.Time(leaf.NotAfter), a.Store.CertPath()), about(leaf)...)
}

// criticise tells what is wrong with the pair there, once, when every server
// has been looked at; and writes down that it was there.
func (a *Agent) criticise(ctx context.Context, see *sight) {
	a.remember()
	if !see.settle.IsZero() {
		return
	}
	g, r := see.disk.Current, &a.other
	if g.Err == nil && see.unfit == nil && (a.usage == nil || !a.allProven()) {
		a.learn(ctx, *see, g.Pair.Leaf())
		see.unfit = a.unfit(*see)
	}
	text := a.faultOf(see)
	if text != "" && (a.bad == "" || r.named != g) {
		r.named = g
		report.ForeignBad.Log(ctx, a.Log, text, slog.String(report.KeyError, text))
	}
	a.bad = text
}

// faultOf says what is wrong with the pair there, and what a redis-server makes
// of that; empty when all is well.
func (a *Agent) faultOf(see *sight) string {
	g := see.disk.Current
	shown := false
	for _, c := range see.served {
		shown = shown || c != nil && g.Pair != nil && g.Pair.Leaf().Equal(c)
	}
	path := a.Store.CertPath()
	const remedy = "whoever renews it has to put a good one there"
	switch {
	case errors.Is(g.Err, fs.ErrPermission):
		return fmt.Sprintf("the pair at %s, which another hand renews, cannot be seen and is not loaded: %v", path, g.Err)
	case g.Err != nil:
		return fmt.Sprintf("the pair at %s, which another hand renews, is not loaded: %v; a redis-server that runs keeps what it has, one that starts now fails: %s", path, g.Err, remedy)
	case see.unfit == nil:
		return ""
	case shown:
		return fmt.Sprintf("the pair at %s, which another hand renews and redis serves, is no good: %v; %s", path, see.unfit, remedy)
	}
	return fmt.Sprintf("the pair at %s, which another hand renews, is not loaded: %v; a redis-server that runs keeps what it has, one that starts now serves it: %s", path, see.unfit, remedy)
}

// remember lets the store write down which leaves were there, and logs once why
// it could not.
func (a *Agent) remember() {
	text := ""
	if err := a.Store.Remember(); err != nil {
		text = err.Error()
	}
	if changed(&a.other.lost, text) {
		a.Log.Warn(text)
	}
}

// tellBlind logs once that the key cannot be read.
func (a *Agent) tellBlind(g *pair.Generation) {
	text := ""
	if g.KeyErr != nil {
		text = g.KeyErr.Error()
	}
	if changed(&a.other.blind, text) {
		a.Log.Warn(fmt.Sprintf("the key cannot be checked, nor the pair presented to a server that wants a client certificate, and a new one is loaded only %s after it came: %s", manners, text))
	}
}

// changed keeps text in last and says whether it is a trouble that was not
// there before.
func changed(last *string, text string) bool {
	fresh := text != "" && text != *last
	*last = text
	return fresh
}
