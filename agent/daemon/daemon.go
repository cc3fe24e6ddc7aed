// Package daemon runs one agent after the other: a new one for each configuration. It
// builds the agent from the configuration, answers the control socket, opens what is
// exposed of the status, and tells people.
package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/agent/discover"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/roots"
	"redis-cert-agent/agent/sdnotify"
	"redis-cert-agent/agent/status"
)

// A Daemon is the process that systemd runs. Its methods are for one use.
type Daemon struct {
	version string
	log     *slog.Logger
	first   *config.Config // that of the start, whose path, control socket and history stay
	board   *status.Board
	tally   *agent.Tally
	changed <-chan struct{} // there is another status on the board

	active    *active
	pairs     clientPairs
	roots     roots.Shared
	finder    finder
	findEvery time.Duration
	changes   chan change
	exposed   *exposure
	listeners listeners
	history   *journal.History                // nil until the directory is the agent's
	notifier  atomic.Pointer[notify.Notifier] // of the configuration in force

	successor bool // agents that are built from now on follow another
}

// New returns a daemon that begins with the configuration c. The version is that of
// the program.
func New(c *config.Config, version string, log *slog.Logger) *Daemon {
	d := &Daemon{version: version, first: c, board: new(status.Board), tally: new(agent.Tally), active: newActive(), changes: make(chan change),
		findEvery: findEvery}
	d.finder.places = discover.Usual()
	d.log = slog.New(journal.Tee(log.Handler(), d.record)).With(slog.String(journal.KeyInstance, c.Instance))
	d.exposed = newExposure(c.Instance, version, d.board, d.log)
	d.changed = d.board.Watch()
	d.notifier.Store(d.notifierOf(c))
	return d
}

// record is told of every event that is logged.
func (d *Daemon) record(e journal.Entry) {
	d.exposed.Observe(e)
	d.listeners.tell(e)
	if d.history != nil {
		d.history.Add(e)
	}
}

// HistoryPath returns the file that keeps the history of the pair of c.
func HistoryPath(c *config.Config) string { return filepath.Join(c.Pair.Dir, "history.json") }

// openHistory opens the history, once the directory is there and this process has
// its lock.
func (d *Daemon) openHistory() (closeIt func()) {
	d.history = journal.OpenHistory(HistoryPath(d.first), d.log)
	return d.history.Close
}

// Run looks after the pair until ctx ends.
func (d *Daemon) Run(ctx context.Context) error {
	defer d.exposed.close()
	current := resolution{base: d.first}
	store, a, err := d.start(ctx, &current)
	if err != nil {
		return err
	}
	listener, err := control.Listen(d.first.Control)
	if err != nil {
		store.Close()
		return err
	}
	defer d.openHistory()()
	ctx, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { d.answers().keep(ctx, listener, d.log) })
	beside.Go(func() { d.hangups(ctx) })
	journal.Started.Log(ctx, d.log, fmt.Sprintf("redis-cert-agent %s looks after %s in %s", d.version, d.first.Names[0], d.first.Pair.Dir),
		slog.String(journal.KeyVersion, d.version))

	d.successor = true
	d.tellFound(ctx, resolution{}, current)
	err = d.runAll(ctx, current, store, a)

	sdnotify.Stopping()
	stop()
	beside.Wait()
	journal.Stopped.Log(context.WithoutCancel(ctx), d.log, "stopped; redis goes on with the certificate that it has")
	return err
}

// answers is the control socket.
func (d *Daemon) answers() service {
	handlers := d.handlers()
	return service{
		listen: func() (net.Listener, error) { return control.Listen(d.first.Control) },
		serve:  func(ctx context.Context, l net.Listener) error { return control.Serve(ctx, l, handlers) },
	}
}

// runAll runs agents until ctx ends or one fails. A configuration whose agent cannot
// start gives way to the one before it.
func (d *Daemon) runAll(ctx context.Context, current resolution, store agent.Store, a *agent.Agent) error {
	defer d.pairs.end()
	var begun *config.Config
	for {
		if begun != current.base { // where only servers were found, the pairs of clients go on
			begun = current.base
			d.pairs.begin(d, begun)
		}
		stop := d.tell(ctx, current.base)
		d.finder.set(current, store)
		stopFinding := d.keepFinding(current)
		unrestrict := frugal(len(current.config().Servers))
		next, err := d.runOne(ctx, store, a)
		unrestrict()
		stopFinding()
		stop()
		d.finder.set(current, nil)
		store.Close()
		if next == nil {
			return err
		}
		if next.again && next.resolution.base != current.base { // it was found for a configuration that is gone
			next.resolution = current
		}
		store, a, err = d.start(ctx, &next.resolution)
		next.done <- err
		if err == nil {
			d.tellFound(ctx, current, next.resolution)
			current = next.resolution
			continue
		}
		if store, a, err = d.start(ctx, &current); err != nil {
			return fmt.Errorf("go on with the old configuration: %w", err)
		}
	}
}

// runOne runs one agent until ctx ends, it fails, or another configuration is
// asked for, which it returns.
func (d *Daemon) runOne(ctx context.Context, store agent.Store, a *agent.Agent) (*change, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	alarm, err := agent.NewAlarm()
	if err != nil {
		return nil, err
	}
	defer alarm.Close()
	hints, unwatch := d.watch(beginFor(store))
	defer unwatch()
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, alarm, hints) }()
	d.active.set(a)
	defer d.active.set(nil)
	select {
	case err := <-ended:
		return nil, err
	case c := <-d.changes:
		stop()
		return &c, <-ended
	}
}

// start opens the pair of r, finds the servers that r does not know, and opens what is
// exposed of the agent.
func (d *Daemon) start(ctx context.Context, r *resolution) (agent.Store, *agent.Agent, error) {
	store, a, err := d.open(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	if err := d.exposed.change(r.config()); err != nil {
		store.Close()
		return nil, nil, err
	}
	return store, a, nil
}

// open takes hold of the pair of r and builds its agent.
func (d *Daemon) open(ctx context.Context, r *resolution) (agent.Store, *agent.Agent, error) {
	store, err := openStore(r.base)
	if err != nil {
		return nil, nil, err
	}
	*r = r.find(ctx, d.finder.places, store)
	a, err := d.build(*r, store)
	if err != nil {
		store.Close()
		return nil, nil, err
	}
	return store, a, nil
}
