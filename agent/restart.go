package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/unit"
	"redis-cert-agent/reload"
)

// A Sentinel reads its files only when it starts. Where the configuration names its unit,
// that is restarted when the newest pair is current: one Sentinel at a time, none that its
// group cannot spare, and none that somebody has stopped. The loop does not wait for it.

const (
	restartLimit = 3 * time.Minute // for one restart, and until the group is whole again
	mostRestarts = 3               // for one certificate: what these do not bring, the next would not
	askStep      = time.Second     // between two questions whether it is back
)

// A Unit is the service that runs a Sentinel.
type Unit interface {
	Look(ctx context.Context) (unit.State, error)
	Restart(ctx context.Context) error
}

// A grouped server tells of those that watch the same masters.
type grouped interface {
	Group(ctx context.Context, t reload.Trust) (reload.Group, error)
}

// restarting is remembered of the restarts for the newest pair.
type restarting struct {
	made   int    // restarts
	failed int    // attempts in a row, those included that were held back
	text   string // why it was not restarted, or what the last restart did not bring; empty: nothing is wrong
}

// restarted is what became of a restart beside the loop.
type restarted struct {
	server int
	leaf   cert.Fingerprint // for which it was
	made   bool             // systemd was asked to
	took   time.Duration
	err    error
}

// restartable says whether server i may be restarted at all.
func (a *Agent) restartable(i int) bool { return a.servers[i].sentinel && a.opt.Servers[i].Unit != nil }

// restartSentinels begins to restart one Sentinel that shows another certificate than the
// newest, or has not loaded its CA certificates, unless one is being restarted.
func (a *Agent) restartSentinels(ctx context.Context, seen observation) {
	if !a.process.running || a.process.restarting || seen.err != nil || !a.current(seen) || seen.unfit != nil || seen.clock != nil ||
		cert.ValidAt(seen.newest.Pair.Needed(), seen.now) != nil {
		return
	}
	for i, about := range a.servers {
		m := &a.newest.servers[i]
		leaf := about.leaf()
		if !a.restartable(i) || leaf == nil || leaf.Equal(seen.newest.Pair.Leaf()) && !m.behind || m.restart.made >= mostRestarts {
			continue
		}
		if after := about.restartAt; after.After(seen.now) && after.Sub(seen.now) <= 2*restartAgain.Longest { // else the clock was set back
			continue
		}
		a.process.restarting = true
		r := &restart{server: i, name: a.opt.Servers[i].Name, unit: a.opt.Servers[i].Unit, redis: a.opt.Servers[i].Redis, trust: a.trust(seen),
			newest: seen.newest.Pair, shown: leaf, pause: time.Duration(spread(seen.newest.Pair) * float64(5*time.Second))}
		a.beside.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, restartLimit)
			defer cancel()
			start := now()
			made, err := r.run(ctx)
			a.restarts <- restarted{i, r.newest.Fingerprint(), made, now().Sub(start), err} // there is room for it
		})
		return
	}
}

// restartAgain is the distance between two attempts at the same Sentinel: another one that
// is being restarted is back in seconds.
var restartAgain = plan.Backoff{First: 10 * time.Second, Longest: 5 * time.Minute}

// nextRestart returns when a Sentinel that was held back is to be tried again; zero: none is.
func (a *Agent) nextRestart(looked time.Time) (next time.Time) {
	for i, s := range a.servers {
		if at := s.restartAt; a.restartable(i) && at.After(looked) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// restartEnded takes note of what became of a restart.
func (a *Agent) restartEnded(ctx context.Context, r restarted) {
	a.process.restarting = false
	if ctx.Err() != nil || r.leaf != a.newest.leaf {
		return
	}
	m, name := &a.newest.servers[r.server], a.opt.Servers[r.server].Name
	if r.made {
		m.restart.made++
		a.servers[r.server].fresh = false
	}
	if r.err == nil {
		m.behind, m.restart.text = false, ""
		a.servers[r.server].restartAt = time.Time{}
		journal.SentinelRestarted.Log(ctx, a.logServer(r.server), fmt.Sprintf("%s was restarted, shows the newest certificate, and its group is whole", name),
			slog.Duration(journal.KeyDuration, r.took))
		return
	}
	m.restart.failed++
	a.servers[r.server].restartAt = now().Add(restartAgain.Delay(m.restart.failed, 0))
	text := plain.OneLine(r.err.Error())
	if r.made && m.restart.made >= mostRestarts {
		text += fmt.Sprintf("; it was restarted %d times, and is left to a person", m.restart.made)
	}
	if changed(&m.restart.text, text) {
		event := journal.SentinelHeld
		if r.made {
			event = journal.ReloadFailed
		}
		event.Log(ctx, a.logServer(r.server), fmt.Sprintf("%s: %s", name, text), slog.String(journal.KeyError, text))
	}
}

// A restart is the restart of one Sentinel.
type restart struct {
	server int
	name   string
	unit   Unit
	redis  Redis
	trust  reload.Trust
	newest *cert.Pair
	shown  *x509.Certificate
	pause  time.Duration // this host's place among those that got their certificates at the same time
}

// run restarts it, and returns when its group is whole again. It says whether systemd was
// asked to.
func (r *restart) run(ctx context.Context) (made bool, err error) {
	if err := r.spared(ctx); err != nil {
		return false, err
	}
	if err := sleep(ctx, r.pause); err != nil {
		return false, err
	}
	if err := r.spared(ctx); err != nil {
		return false, err
	}
	if err := r.unit.Restart(ctx); err != nil {
		return false, err
	}
	if err := r.until(ctx, "it was restarted and", r.back); err != nil {
		return true, err
	}
	return true, r.until(ctx, "it was restarted, shows the newest certificate, and", r.whole)
}

// spared returns why the unit is not to be restarted now. Where what it shows has expired,
// nobody can use it, the other Sentinels neither, and nothing is lost.
func (r *restart) spared(ctx context.Context) error {
	state, err := r.unit.Look(ctx)
	if err != nil {
		return err
	}
	if why := state.LeftAlone(); why != "" {
		return errors.New("its unit is not restarted: " + why)
	}
	group, err := r.group(ctx)
	if err != nil {
		return fmt.Errorf("its unit is not restarted: %w", err)
	}
	if group.PID != state.PID {
		return fmt.Errorf("its unit is not restarted: it has the process %d, and the Sentinel is %d: name the unit that runs it as restart", state.PID, group.PID)
	}
	if now().After(r.shown.NotAfter) {
		return nil
	}
	if why := group.NotSpared(endsSoon(r.shown, now())); why != "" {
		return errors.New("its unit is not restarted while its group cannot spare it: " + why)
	}
	return nil
}

func (r *restart) group(ctx context.Context) (reload.Group, error) {
	s, ok := r.redis.(grouped)
	if !ok {
		return reload.Group{}, errors.New("nothing is known of its group")
	}
	return s.Group(ctx, r.trust)
}

// back returns nil when the Sentinel shows the newest certificate, as clients accept it.
func (r *restart) back(ctx context.Context) error {
	return r.redis.Prove(ctx, r.trust, r.newest.Leaf())
}

// whole returns nil when every Sentinel of the group answers this one, and could agree.
func (r *restart) whole(ctx context.Context) error {
	group, err := r.group(ctx)
	if err != nil {
		return err
	}
	for _, m := range group.Masters {
		if m.Fault != "" {
			return errors.New(m.Fault)
		}
		if len(m.Absent) > 0 {
			return fmt.Errorf("of the Sentinels of %s, %s does not answer it", m.Name, m.Absent[0])
		}
	}
	return nil
}

// until asks again and again until what holds is true.
func (r *restart) until(ctx context.Context, so string, holds func(ctx context.Context) error) error {
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		if sleep(ctx, askStep) != nil {
			return fmt.Errorf("%s within %s: %w", so, restartLimit, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
