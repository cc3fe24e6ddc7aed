package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/plan"
)

// giving is remembered of what is left to do when the servers are proven.
type giving struct {
	failed plan.Attempts
	err    error // the last failure
}

// revoking is how far apart attempts are to revoke, or to remove a key.
var revoking = plan.Backoff{First: 15 * time.Second, Longest: time.Hour}

// finishRotation does what is left to do of a rotation, as far as it may be done: the old
// certificates are revoked, and then the old keys destroyed. It says whether that changed
// anything.
func (a *Agent) finishRotation(ctx context.Context, seen observation) (changed bool) {
	if a.own == nil || seen.err != nil || !seen.replacing() {
		return false
	}
	over := a.everywhere(seen)
	if !over && !seen.disk.Distrust.Rotation.Early || seen.now.Before(a.giveUpAt()) {
		return false
	}
	changed, err := a.revokeOld(ctx, seen)
	if ctx.Err() != nil {
		return false
	}
	if over && err == nil {
		changed, err = true, a.destroyOld(ctx)
	}
	a.process.giving.err = err
	if err == nil {
		a.process.giving = giving{}
		return changed
	}
	a.process.giving.failed = failed(a.process.giving.failed)
	journal.RevokeFailed.Log(ctx, a.opt.Log, fmt.Sprintf("keys that were given up are not dealt with yet: %v", err),
		slog.String(journal.KeyError, err.Error()), slog.Int(journal.KeyAttempt, a.process.giving.failed.Failed))
	return changed
}

// giveUpAt returns when to try again; zero: at once.
func (a *Agent) giveUpAt() time.Time {
	if g := a.process.giving; g.failed.Failed > 0 {
		return g.failed.Last.Add(revoking.Delay(g.failed.Failed, 0))
	}
	return time.Time{}
}

// everywhere says whether a handshake of this round has proven the newest pair at every
// server, and one that starts now loads it.
func (a *Agent) everywhere(seen observation) bool {
	c := seen.disk.Current
	if a.opt.Missing != "" || c == nil || c.ID != seen.newest.ID || len(seen.disk.Unlinked) > 0 {
		return false
	}
	for i := range a.servers {
		if !a.proves(seen, i) {
			return false
		}
	}
	return true
}

func (a *Agent) proves(seen observation, i int) bool {
	leaf, loading := a.servers[i].leaf(), a.newest.servers[i]
	return a.servers[i].fresh && leaf != nil && leaf.Equal(seen.newest.Pair.Leaf()) && loading.proven && !loading.behind
}

// revokeOld has the authorities revoke what is given up and has not ended, each once.
func (a *Agent) revokeOld(ctx context.Context, seen observation) (changed bool, err error) {
	d := seen.disk.Distrust.Clone()
	var errs []error
	for i := range d.Leaves {
		c := &d.Leaves[i]
		if !c.Revoke {
			continue
		}
		err := a.revokeOne(ctx, seen, c)
		if ctx.Err() != nil {
			return changed, ctx.Err()
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := a.own.SetDistrust(d); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, plain.Join(errs...)
}

// revokeOne revokes one certificate, or finds out that there is nothing to revoke.
func (a *Agent) revokeOne(ctx context.Context, seen observation, c *pair.Distrusted) error {
	var g *pair.Generation
	for _, o := range seen.disk.All {
		if o.Pair != nil && o.Leaf.String() == c.Leaf {
			g = o
		}
	}
	settled := func(why string) error {
		c.Revoke, c.Kept = false, why
		return nil
	}
	switch {
	case !seen.now.Before(c.NotAfter):
		return settled("it has expired")
	case g == nil:
		return settled("it is not on disk any more: revoke it at the CA")
	}
	err := a.revoke(ctx, g, ca.Revocation{Pair: g.Pair, Reason: seen.disk.Distrust.Rotation.Reason, Roots: seen.named(g.Origin.Pin)})
	switch {
	case err == nil:
		c.Revoke, c.Revoked = false, true
		journal.Revoked.Log(ctx, a.opt.Log, fmt.Sprintf("the old certificate %s is revoked", c.Serial), about(g.Pair.Leaf())...)
		return nil
	case errors.Is(err, ca.ErrOtherIssuer), g.Origin.Adopted() && refusedFor(err):
		return settled("it is from another authority, which is to revoke it")
	}
	return fmt.Errorf("revoke %s: %w; revoke it there yourself (step ca revoke), and run redis-cert-agent rotate --no-revoke", c.Serial, err)
}

// refusedFor says whether an authority has judged a revocation, and will judge the next one
// alike.
func refusedFor(err error) bool {
	var e *ca.Error
	return errors.As(err, &e) && e.Status/100 == 4 && !e.Unavailable()
}

// revoke asks the authorities one after the other, since the configuration may have
// others than the one that issued the certificate.
func (a *Agent) revoke(ctx context.Context, g *pair.Generation, r ca.Revocation) error {
	var errs, others []error
	for _, authority := range a.opt.Authorities {
		revoker, ok := authority.Issuer.(ca.Revoker)
		if !ok {
			continue
		}
		_, err := whileAlive(ctx, a, func(ctx context.Context) (struct{}, error) { return struct{}{}, revoker.Revoke(ctx, r) })
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ca.ErrOtherIssuer):
			others = append(others, err)
		default:
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return plain.Join(errs...)
	}
	if len(others) > 0 {
		return others[0]
	}
	return ca.Fault("revoke", ca.ErrOtherIssuer)
}

// destroyOld removes the old keys, and ends the rotation.
func (a *Agent) destroyOld(ctx context.Context) error {
	n, err := a.own.Destroy()
	if err != nil {
		return err
	}
	seen := a.look()
	if seen.err != nil {
		return seen.err
	}
	d := seen.disk.Distrust.Clone()
	result := a.rotated(seen)
	result.Done, result.Waiting, result.InUse, result.Destroyed = true, "", false, n
	d.Rotation, d.Ended = nil, now().UTC()
	if err := a.own.SetDistrust(d); err != nil {
		return err
	}
	a.process.rotated = *result
	journal.KeysDestroyed.Log(ctx, a.opt.Log, fmt.Sprintf("the keys that were given up are out of use: every server is proven on %s, and %s",
		cert.Serial(seen.newest.Pair.Leaf()), counted(n)), about(seen.newest.Pair.Leaf())...)
	return nil
}

func counted(n int) string {
	if n == 1 {
		return "the old key was destroyed"
	}
	return fmt.Sprintf("%d old keys were destroyed", n)
}
