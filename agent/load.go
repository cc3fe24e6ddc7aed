package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/reload"
)

// An attempt is what became of one server's load of the newest pair.
type attempt struct {
	reloaded reload.Reloaded // its connection is open, where redis answered OK
	taken    bool            // redis has the new pair in memory, or may have
	took     time.Duration
	shown    []*x509.Certificate // what the server showed before; nil: nothing, or it is not known
	err      error               // nil when it is proven

	asked    bool            // the settings are what the server says after it
	settings reload.Settings // which the next reload needs
	fault    error           // why they are not known
}

// load makes the servers of step load the newest pair, all at the same time, each proven
// by a handshake. It becomes current as soon as one of them has nothing against it, or
// when all have been asked and none has refused it. What a server took and did not prove is
// taken back there; where none proved it, current goes back too.
func (a *Agent) load(ctx context.Context, seen observation, step plan.Step) error {
	c := &change{make: func() error { return a.makeCurrent(seen) }}
	if len(step.Servers) == 0 {
		return a.loadNowhere(c)
	}
	before := a.shown(seen)
	attempts, proven := make([]attempt, len(a.servers)), 0
	defer func() {
		for _, t := range attempts {
			t.reloaded.Close()
		}
	}()
	a.sideBySide(step.Servers, func(i int) error {
		attempts[i] = a.loadOne(ctx, seen, i, c)
		return attempts[i].err
	}, func(i int, err error) {
		attempts[i].err = err
		if shown := attempts[i].shown; shown != nil {
			a.servers[i].shown = shown
		}
		if ctx.Err() != nil {
			return // stopped halfway; the next start goes on from what it sees
		}
		if err != nil {
			down := errors.Is(err, reload.ErrUnreachable) && !attempts[i].taken && !errors.Is(err, reload.ErrUncertain)
			a.fail(ctx, seen, i, err, down)
			return
		}
		proven++
		a.servers[i].shown, a.servers[i].fresh = seen.newest.Pair.Chain, true
		a.servers[i].link.loaded = now()
		a.succeed(ctx, seen, i, slog.Duration(journal.KeyDuration, attempts[i].took))
		if t := attempts[i]; t.asked {
			a.inspected(seen, i, t.settings, t.fault)
		}
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if proven > 0 {
		a.process.prune, a.process.inUse = true, before
		if a.allProven() {
			a.opt.Tally.rotated()
		}
	}
	errs := []error{a.takeBack(ctx, seen, c, attempts)}
	for _, i := range step.Servers {
		errs = append(errs, attempts[i].err)
	}
	return plain.Join(errs...)
}

// loadNowhere makes the newest pair current where no server loads it now.
func (a *Agent) loadNowhere(c *change) error {
	err := c.ready()
	if err != nil {
		a.newest.switching = failed(a.newest.switching)
		a.opt.Log.Error(err.Error(), journal.KeyError, err.Error())
	}
	return err
}

// A change makes the newest pair current, once, for whichever server is ready first.
type change struct {
	make  func() error
	tried reload.Trials

	once sync.Once
	made bool // the servers' files hold the newest pair, or may
	err  error
}

// ready returns when the newest pair is current, or why it could not become so.
func (c *change) ready() error {
	c.once.Do(func() { c.made, c.err = true, c.make() })
	return c.err
}

// current returns the number of the pair that a server which starts now loads; 0: none.
func (c *change) current(seen observation) int {
	switch {
	case c.made:
		return seen.newest.ID
	case seen.disk.Current == nil:
		return 0
	}
	return seen.disk.Current.ID
}

// makeCurrent lets servers that start from now on load the newest pair, and points the
// plain paths at it. What another program renews is current by itself.
func (a *Agent) makeCurrent(seen observation) error {
	if a.own == nil {
		return nil
	}
	if c := seen.disk.Current; c == nil || c.ID != seen.newest.ID {
		if err := a.own.Switch(seen.newest.ID); err != nil {
			return err
		}
	}
	return a.own.Link(seen.disk)
}

// loadOne makes server i load the newest pair, and proves it.
func (a *Agent) loadOne(ctx context.Context, seen observation, i int, c *change) (t attempt) {
	start := now()
	defer func() { t.took = now().Sub(start) }()
	s, trust := a.opt.Servers[i], a.trustAt(seen, i)
	t.shown = a.shownBefore(ctx, i, trust)
	load := reload.Load{Pair: seen.newest.Pair, Tried: &c.tried}
	load.Ready = func(settings reload.Settings) error {
		if len(t.shown) == 0 { // it hung, and answers at last: what it shows may have to be given back to it
			if served, err := s.Served(ctx, trust); err == nil {
				t.shown = served.Chain
			}
		}
		if load.Shown != nil {
			if err := a.keepsPeers(seen, i, settings, t.shown); err != nil {
				return err
			}
		}
		return c.ready()
	}
	if len(t.shown) > 0 && !endsSoon(t.shown[0], start) {
		load.Shown = t.shown[0]
	}
	t.reloaded, t.err = s.Reload(ctx, trust, load)
	if old := former(seen); errors.Is(t.err, reload.ErrClientCertificate) && old != nil {
		// A server that does not trust the new certificate's CA yet may still know that
		// of the one before.
		trust.Client = old
		t.reloaded, t.err = s.Reload(ctx, trust, load)
	}
	if a.opt.Encrypted && errors.Is(t.err, reload.ErrRefused) && !errors.Is(t.err, reload.ErrUnfit) {
		t.err = fmt.Errorf("%w; the key is encrypted: the tls-key-file-pass of this redis has to be the passphrase in key.passphrase_file", t.err)
	}
	t.taken = t.err == nil || errors.Is(t.err, reload.ErrUncertain)
	if !t.taken {
		return t
	}
	// Whatever redis answered, or did not: only a handshake tells what is true.
	unproven := s.Prove(ctx, a.trust(seen), seen.newest.Pair.Leaf())
	if unproven == nil && t.reloaded.Login != nil && load.Shown != nil {
		// Nor is it loaded where it would lock the agent out, as long as the one before lasts.
		unproven = t.reloaded.Login(ctx, a.trust(seen))
	}
	switch {
	case unproven == nil:
		if t.err = nil; t.reloaded.Settings != nil { // what the next reload needs, while the connection is there
			t.asked = true
			t.settings, t.fault = t.reloaded.Settings(ctx)
		}
	case t.err == nil:
		t.err = fmt.Errorf("redis answered OK to the reload, but %w", a.explain(ctx, seen, i, unproven))
	default:
		t.taken = !errors.Is(unproven, reload.ErrOtherLeaf)
		t.err = plain.Join(t.err, unproven)
	}
	return t
}

// shownBefore returns the chain that server i shows before a load. One that was not reached
// since this agent knows of it, or since it was away, is asked: nobody could tell else what
// the load costs its clients and this agent.
func (a *Agent) shownBefore(ctx context.Context, i int, trust reload.Trust) []*x509.Certificate {
	if about := a.servers[i]; about.fresh || about.leaf() != nil {
		return about.shown
	}
	served, err := a.opt.Servers[i].Served(ctx, trust)
	if err != nil {
		return nil // the reload says why
	}
	return served.Chain
}

// former returns the latest pair before the newest that is still valid; nil when there
// is none.
func former(seen observation) *tls.Certificate {
	var former *tls.Certificate
	for _, g := range seen.disk.All {
		if g.Sound() && g != seen.newest && g.Pair.Key != nil && cert.ValidAt(g.Pair.Needed(), now()) == nil {
			c := g.Pair.TLS()
			former = &c
		}
	}
	return former
}

// explain adds to a failed proof that redis loads other files than ours, if that is so.
func (a *Agent) explain(ctx context.Context, seen observation, i int, err error) error {
	settings, asked := a.opt.Servers[i].Settings(ctx, a.trustAt(seen, i))
	if asked != nil || a.loads(settings) {
		return err
	}
	return fmt.Errorf("%w; its tls-cert-file is %s, which does not lead to the agent's %s: "+
		"name that in redis.conf, or give the file as paths.cert in the agent's configuration",
		err, settings.Cert, a.opt.Store.CertPath())
}

// succeed notes that server i shows the newest pair. A duration among the attributes is
// that of a reload; one that was found to show it has none.
func (a *Agent) succeed(ctx context.Context, seen observation, i int, attrs ...slog.Attr) {
	a.newest.servers[i], a.servers[i].inspected = loading{proven: true}, time.Time{}
	leaf := seen.newest.Pair.Leaf()
	text := fmt.Sprintf("%s serves %s, valid until %s, proven by a handshake", a.opt.Servers[i].Name, cert.Serial(leaf), plain.Time(leaf.NotAfter))
	if a.opt.Servers[i].NoServer {
		text = fmt.Sprintf("what is to be done after a change was done for %s, valid until %s", cert.Serial(leaf), plain.Time(leaf.NotAfter))
	}
	a.reached(seen, i, pair.Proven)
	journal.Loaded.Log(ctx, a.logServer(i), text, append(about(leaf), attrs...)...)
}

// fail notes that server i did not load the newest pair. One that is down is not asked
// again in this round.
func (a *Agent) fail(ctx context.Context, seen observation, i int, err error, down bool) {
	m := &a.newest.servers[i]
	m.failed = failed(m.failed)
	if m.err == nil || !errors.Is(err, reload.ErrDistrusted) {
		m.err = err // else the one before says more than that the server is not asked again
	}
	a.reached(seen, i, pair.Asked)
	event := journal.ReloadFailed
	a.servers[i].fresh = false
	if down {
		event = journal.ServerDown // the usual order of a boot: the certificate first, then redis
		m.proven = false
		a.servers[i].shown, a.servers[i].seen, a.servers[i].fresh, a.servers[i].answers = nil, true, true, false
	}
	event.Log(ctx, a.logServer(i), err.Error(),
		slog.String(journal.KeyError, err.Error()), slog.Int(journal.KeyAttempt, m.failed.Failed))
}

func (a *Agent) allProven() bool {
	for _, s := range a.newest.servers {
		if !s.proven {
			return false
		}
	}
	return true
}

// logServer logs with the server's name.
func (a *Agent) logServer(i int) *slog.Logger {
	return a.opt.Log.With(slog.String(journal.KeyServer, a.opt.Servers[i].Name))
}
