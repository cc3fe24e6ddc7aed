package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/report"
	"redis-cert-agent/reload"
)

// load makes the newest pair current and the servers of step load it, each
// proven by a handshake. When a server was there and none proved it, current
// goes back to what it was.
func (a *Agent) load(ctx context.Context, see sight, step plan.Step) error {
	newest, before := see.newest, see.disk.Current
	if err := a.makeCurrent(newest, before); err != nil {
		for _, i := range step.Servers {
			a.fail(ctx, i, err)
		}
		return err
	}
	var errs []error
	proven := 0
	for _, i := range step.Servers {
		start := now()
		err := a.loadOne(ctx, see, i)
		a.Notify.Watchdog()
		if ctx.Err() != nil {
			return ctx.Err() // stopped halfway; the next start goes on from what it sees
		}
		if err != nil {
			a.fail(ctx, i, err)
			errs = append(errs, err)
			continue
		}
		proven++
		a.succeed(ctx, see, i, slog.Duration(report.KeyDuration, now().Sub(start)))
	}
	if proven == 0 && len(step.Servers) == len(a.Servers) {
		errs = append(errs, a.rollBack(ctx, see, step, errs))
	}
	if proven > 0 {
		if a.allProven() {
			a.rotations++
		}
		a.done = &see
	}
	return together(errs...)
}

// makeCurrent lets servers that start from now on load g, and points the plain
// paths at it.
func (a *Agent) makeCurrent(g, before *pair.Generation) error {
	if before == nil || before.ID != g.ID {
		if err := a.Store.Switch(g.ID); err != nil {
			return err
		}
	}
	return a.Store.Link()
}

// loadOne makes server i load what is current and proves it.
func (a *Agent) loadOne(ctx context.Context, see sight, i int) error {
	s, leaf, trust := a.Servers[i], see.newest.Pair.Leaf(), a.trust(see)
	see.after[i] = nil
	err := s.Reload(ctx, trust)
	if old := a.former(see); errors.Is(err, reload.ErrClientCertificate) && old != nil {
		// A server that does not trust the new certificate's CA yet may still
		// know that of the one before.
		trust.Client = old
		err = s.Reload(ctx, trust)
	}
	if err != nil {
		return err
	}
	if err := s.Prove(ctx, a.trust(see), leaf); err != nil {
		return fmt.Errorf("redis answered OK to the reload, but %w", a.explain(ctx, see, i, err))
	}
	see.after[i], a.servers[i].chain = leaf, see.newest.Pair.Chain
	return nil
}

// former returns the latest pair before the newest that is still valid; nil when
// there is none.
func (a *Agent) former(see sight) *tls.Certificate {
	var former *tls.Certificate
	for _, g := range see.disk.All {
		if g.Err == nil && g != see.newest && g.Pair.Key != nil && cert.ValidAt(g.Pair.Chain, now()) == nil {
			c := g.Pair.TLS()
			former = &c
		}
	}
	return former
}

// explain adds to a failed proof that redis loads other files than ours, if
// that is so.
func (a *Agent) explain(ctx context.Context, see sight, i int, err error) error {
	settings, asked := a.Servers[i].Settings(ctx, a.trust(see))
	if asked != nil || a.Store.Serves(settings.Cert) {
		return err
	}
	return fmt.Errorf("%w; its tls-cert-file is %s, which does not lead to the agent's %s: name that in redis.conf, or give the file as paths.cert in the agent's configuration",
		err, settings.Cert, a.Store.CertPath())
}

// rollBack returns current to what it was before the load of step failed at
// every server, so that a server that restarts comes back with what was proven.
//
// Two cases stay with the newest pair. A server that is down has refused
// nothing, and its next start should find the newest. And where the pair before
// has expired, a server that did not get to see the newest one is better off
// starting with it.
func (a *Agent) rollBack(ctx context.Context, see sight, step plan.Step, errs []error) error {
	newest, back := see.newest, a.backTo(see)
	down, judged := true, false
	for _, i := range step.Servers {
		down = down && see.served[i] == nil // one that serves and cannot be asked is not down
	}
	for _, err := range errs {
		down = down && errors.Is(err, reload.ErrUnreachable)
		judged = judged || errors.Is(err, reload.ErrRefused)
	}
	if judged {
		a.refused = newest.ID
	}
	if back == nil || down && a.refused != newest.ID {
		return nil
	}
	if !judged && a.refused != newest.ID && cert.ValidAt(back.Pair.Chain, now()) != nil {
		return nil
	}
	if err := a.Store.Switch(back.ID); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	if judged {
		a.restore(ctx, see, step)
	}
	report.RolledBack.Log(ctx, a.Log, fmt.Sprintf("no server proved %s: servers that start now load %s again; the reload is tried again, no new certificate is asked for",
		report.Serial(newest.Pair.Leaf()), report.Serial(back.Pair.Leaf())), about(back.Pair.Leaf())...)
	return nil
}

// backTo returns the generation to go back to: the one that was current, or,
// when that is the newest itself because the agent was killed in between, the
// one that a server shows.
func (a *Agent) backTo(see sight) *pair.Generation {
	if c := see.disk.Current; c != nil && c.ID != see.newest.ID && c.Err == nil {
		return c
	}
	for _, g := range see.disk.All {
		for _, shown := range see.served {
			if g.ID != see.newest.ID && g.Err == nil && shown != nil && g.Pair.Leaf().Equal(shown) {
				return g
			}
		}
	}
	return nil
}

// restore makes servers that answered OK and then did not prove the new pair
// load the old one again: some mismatches load with OK and fail every handshake.
func (a *Agent) restore(ctx context.Context, see sight, step plan.Step) {
	for _, i := range step.Servers {
		if err := a.Servers[i].Reload(ctx, a.trust(see)); err != nil {
			a.logServer(i).Debug("reload after roll-back", report.KeyError, err.Error())
		}
	}
}

// succeed notes that server i shows the newest pair. A duration among the
// attributes is that of a reload; one that was found to show it has none.
func (a *Agent) succeed(ctx context.Context, see sight, i int, attrs ...slog.Attr) {
	m := &a.servers[i]
	m.proven, m.behind, m.failed, m.err = true, false, plan.Attempts{}, nil
	leaf := see.newest.Pair.Leaf()
	report.Loaded.Log(ctx, a.logServer(i), fmt.Sprintf("%s serves %s, valid until %s, proven by a handshake",
		a.Servers[i].Name, report.Serial(leaf), report.Time(leaf.NotAfter)), append(about(leaf), attrs...)...)
}

func (a *Agent) allProven() bool {
	for i := range a.servers {
		if !a.servers[i].proven {
			return false
		}
	}
	return true
}

// fail notes that server i did not.
func (a *Agent) fail(ctx context.Context, i int, err error) {
	m := &a.servers[i]
	m.failed, m.err = failed(m.failed, err), err
	event := report.ReloadFailed
	if errors.Is(err, reload.ErrUnreachable) {
		event = report.ServerDown // the usual order of a boot: the certificate first, then redis
	}
	event.Log(ctx, a.logServer(i), err.Error(),
		slog.String(report.KeyError, err.Error()), slog.Int(report.KeyAttempt, m.failed.Failed))
}

// tidy removes old generations, but none that a server still showed before the
// last load. It comes when the newest one has been proven and who asked for it
// has been answered: nobody waits for it.
func (a *Agent) tidy() {
	if a.done == nil {
		return
	}
	var keep []int
	for _, g := range a.done.disk.All {
		for _, shown := range a.done.served {
			if g.Err == nil && shown != nil && g.Pair.Leaf().Equal(shown) {
				keep = append(keep, g.ID)
			}
		}
	}
	a.done = nil
	if err := a.Store.Prune(keep...); err != nil {
		a.last = &report.Failure{Text: err.Error(), At: now()}
	}
}
