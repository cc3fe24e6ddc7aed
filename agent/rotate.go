package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload"
)

// After a compromise every key that is on disk is given up. What was asked for, and how far
// it got, stands in a file (pair.Distrust), and the loop goes by what it sees, as always:
// a newest pair whose key is given up is replaced; servers load the new one, the first
// alone; when a handshake has proven all of them, the old certificates are revoked, and
// then the old keys destroyed. A crash between any two of these is made good by the next
// look.

// RotateOptions say how keys are given up.
type RotateOptions struct {
	Asked  time.Time // when somebody asked: one who waited while another rotation ended gets what came of that
	Reason int       // of the revocation (RFC 5280, section 5.3.1)
	Keep   bool      // the old certificates are not revoked
	Early  bool      // they are revoked as soon as there is a new one, whatever the servers show
}

// errNotRotated answers who wants to rotate what another program renews.
var errNotRotated = errors.New("another program renews this pair (issuer: none): get a new key there and revoke the old certificate; " +
	"`redis-cert-agent renew` then makes redis load it")

// A rotating is a rotation that somebody waits for.
type rotating struct {
	RotateOptions
	result chan status.Rotation // has room for one
}

// Rotate gives up every key of a running agent's pair, and waits until the round that
// follows has ended. Where one is under way it goes on with that. The error says what is
// not done yet; the agent goes on with it by itself.
func (a *Agent) Rotate(ctx context.Context, o RotateOptions) (status.Rotation, error) {
	return rotate(o, func(r request) error { return a.await(ctx, r) }, a.external != nil)
}

// RotateOnce is Rotate in the caller's goroutine. It must not run beside Run.
func (a *Agent) RotateOnce(ctx context.Context, o RotateOptions) (status.Rotation, error) {
	defer a.tidy()
	return rotate(o, func(r request) error {
		_, err := a.once(ctx, r)
		return err
	}, a.external != nil)
}

func rotate(o RotateOptions, ask func(request) error, external bool) (status.Rotation, error) {
	if external {
		return status.Rotation{}, errNotRotated
	}
	r := &rotating{o, make(chan status.Rotation, 1)}
	err := ask(request{asked: true, rotate: r, done: make(chan error, 1)})
	select {
	case result := <-r.result:
		return result, err
	default:
		return status.Rotation{}, err
	}
}

// beginRotation writes down what is given up. From then on the loop does the rest.
func (a *Agent) beginRotation(ctx context.Context, r *rotating) error {
	seen := a.look()
	if seen.err != nil {
		return seen.err
	}
	d := seen.disk.Distrust.Clone()
	switch {
	case d.Rotation == nil && !d.Ended.IsZero() && !d.Ended.Before(r.Asked):
		return nil // it ended while this one waited for its turn
	case seen.newest == nil:
		return errors.New("there is no certificate, and so no key to give up: redis-cert-agent renew gets one")
	case d.Rotation == nil:
		if err := a.own.Linkable(); err != nil {
			return fmt.Errorf("nothing was given up, since redis would not get the new pair: %w", err)
		}
		d.Rotation = &pair.Rotation{Since: seen.now.UTC(), Servers: map[string]pair.ServerStage{}}
		a.giveUp(&d, seen)
		a.newest.unsaved = nil
	}
	d.Rotation.Reason, d.Rotation.Early = r.Reason, d.Rotation.Early || r.Early
	for _, s := range a.opt.Servers {
		if d.Rotation.Servers[s.Name] != pair.Proven {
			d.Rotation.Servers[s.Name] = pair.ToAsk
		}
	}
	for i := range d.Leaves {
		if c := &d.Leaves[i]; r.Keep && c.Revoke {
			c.Revoke, c.Kept = false, "--no-revoke was given"
		}
	}
	if err := a.own.SetDistrust(d); err != nil {
		return fmt.Errorf("nothing was given up: %w", err)
	}
	a.process.giving = giving{}
	text := fmt.Sprintf("every key on disk is given up, that of %s and those before", cert.Serial(seen.newest.Pair.Leaf()))
	if seen.disk.Distrust.Rotation != nil {
		text = "the keys that were given up before are replaced where that is not done yet"
	}
	journal.KeysGivenUp.Log(ctx, a.opt.Log, text)
	return nil
}

// answerRotation tells who waits how far the rotation is.
func (a *Agent) answerRotation(r *rotating) error {
	under := a.opt.Board.Get().Rotation
	if under == nil {
		r.result <- a.process.rotated
		return nil
	}
	r.result <- *under
	return fmt.Errorf("not all is done, and the agent goes on with it: %s", under.Waiting)
}

// giveUp distrusts every certificate that is on disk, or was lately.
func (a *Agent) giveUp(d *pair.Distrust, seen observation) {
	since := seen.now.UTC()
	add := func(p *cert.Pair, revoke bool) {
		leaf := p.Leaf()
		d.Add(pair.Distrusted{Leaf: cert.FingerprintOf(leaf).String(), Key: cert.KeyFingerprint(leaf.PublicKey),
			Serial: cert.Serial(leaf), NotAfter: leaf.NotAfter.UTC(), Since: since, Revoke: revoke && seen.now.Before(leaf.NotAfter)})
	}
	for _, g := range seen.disk.All {
		if g.Pair != nil {
			add(g.Pair, true)
		} else if g.Leaf != (cert.Fingerprint{}) {
			d.Add(pair.Distrusted{Leaf: g.Leaf.String(), Since: since})
		}
	}
	if f := seen.disk.Foreign; f != nil && f.Pair != nil {
		add(f.Pair, false) // it is on disk until it is replaced, and whoever put it there revokes it
	}
	for _, leaf := range seen.disk.Known {
		d.Add(pair.Distrusted{Leaf: leaf.String(), Since: since})
	}
}

// distrusted says whether the key of a pair was given up.
func (seen observation) distrusted(p *cert.Pair) bool { return seen.disk.Distrust.Distrusts(p.Leaf()) }

// replacing says whether servers are to leave a key that was given up: there is a pair with
// another one.
func (seen observation) replacing() bool {
	return seen.disk.Distrust.Rotation != nil && seen.newest != nil && !seen.distrusted(seen.newest.Pair)
}

// trustAt is trust for one server. While keys are replaced, each server gets one reload
// although it shows what is given up, and another one when a person asks again: the old
// certificate is all that it can be known by. Who shows it later may be anybody who has the
// key.
func (a *Agent) trustAt(seen observation, i int) reload.Trust {
	t := a.trust(seen)
	r := seen.disk.Distrust.Rotation
	if r != nil && (!seen.replacing() || r.Servers[a.opt.Servers[i].Name] == pair.ToAsk) {
		t.Distrusted = nil
	}
	return t
}

// inStages has servers load the pair with the new key one after the other.
func (a *Agent) inStages(seen observation, step plan.Step) plan.Step {
	if step.Do == plan.Load && seen.replacing() && len(step.Servers) > 1 {
		step.Servers = step.Servers[:1]
	}
	return step
}

// waitsForAnother says whether server i waits until another one has proven the pair with
// the new key, which that one refused.
func (a *Agent) waitsForAnother(seen observation, i int) bool {
	if !seen.replacing() || a.newest.servers[i].judged {
		return false
	}
	judged := false
	for _, s := range a.newest.servers {
		if s.proven {
			return false
		}
		judged = judged || s.judged
	}
	return judged
}

// reached writes down how far server i got.
func (a *Agent) reached(seen observation, i int, stage pair.ServerStage) {
	if !seen.replacing() {
		return
	}
	if seen = a.look(); seen.err != nil || !seen.replacing() { // others may have got on since
		return
	}
	name := a.opt.Servers[i].Name
	if have := seen.disk.Distrust.Rotation.Servers[name]; have == stage || have == pair.Proven {
		return
	}
	d := seen.disk.Distrust.Clone()
	d.Rotation.Servers[name] = stage
	if err := a.own.SetDistrust(d); err != nil {
		a.opt.Log.Warn(err.Error(), slog.String(journal.KeyError, err.Error()))
	}
}
