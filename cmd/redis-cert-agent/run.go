package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/report"
)

func newRunCommand(path *string) *cobra.Command {
	var debug bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Look after the certificate until stopped",
		Long: `Look after the certificate until stopped. This is what systemd runs.

SIGHUP reads the configuration again, as redis-cert-agent reload does; a faulty
one is refused and the old one goes on. SIGTERM stops; nothing has to be saved.`,
		Example: `  redis-cert-agent run
  redis-cert-agent run --config ./redis.yaml --debug`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(*path)
			if err != nil {
				return err
			}
			level := slog.LevelInfo
			if debug {
				level = slog.LevelDebug
			}
			return newDaemon(c, report.NewLogger(os.Stderr, level)).run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&debug, "debug", false, "log details")
	return cmd
}

// A daemon runs one agent after the other: a new one for each configuration.
type daemon struct {
	base
	first   *config.Config // the one of the start; its path, control socket and history stay
	slot    slot
	changes chan change
	exposed *exposure

	history *report.History // nil until the directory is the agent's

	notifier atomic.Pointer[notify.Notifier] // of the configuration in force
	changed  <-chan struct{}                 // there is another status on the board
}

// A change asks for another configuration.
type change struct {
	config *config.Config
	done   chan error
}

func newDaemon(c *config.Config, log *slog.Logger) *daemon {
	d := &daemon{first: c, slot: make(slot, 1), changes: make(chan change)}
	log = slog.New(report.Tap(log.Handler(), d.record)).With(slog.String(report.KeyInstance, c.Instance))
	d.base = base{log: log, board: new(report.Board)}
	d.exposed = newExposure(c.Instance, d.board, log)
	d.changed = d.board.Watch()
	d.notifier.Store(notifierOf(c, d.base))
	return d
}

// record is told of every event that is logged.
func (d *daemon) record(e report.Entry) {
	d.exposed.Observe(e)
	if d.history != nil {
		d.history.Add(e)
	}
}

// remember opens the history. The directory is there, and this process has its
// lock.
func (d *daemon) remember() (forget func()) {
	d.history = report.OpenHistory(filepath.Join(d.first.Directory, historyFile), d.log)
	return d.history.Close
}

const historyFile = "history.json"

func (d *daemon) run(ctx context.Context) error {
	defer d.exposed.close()
	store, a, err := d.start(d.first)
	if err != nil {
		return err
	}
	control, err := report.Listen(d.first.Control)
	if err != nil {
		store.Close()
		return err
	}
	defer d.remember()()
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- report.Serve(ctx, control, d.handlers()) }()
	go func() { ended <- d.hangups(ctx) }()
	report.Started.Log(ctx, d.log, fmt.Sprintf("redis-cert-agent %s looks after %s in %s", releaseVersion(), d.first.Names[0], d.first.Directory),
		slog.String(report.KeyVersion, releaseVersion()))

	d.successor = true
	err = d.runAll(ctx, store, a)

	d.notify.Stopping()
	stop()
	err = errors.Join(err, <-ended, <-ended)
	report.Stopped.Log(context.WithoutCancel(ctx), d.log, "stopped; redis goes on with the certificate that it has")
	return err
}

// runAll runs agents until ctx ends or one fails. A configuration whose
// agent cannot start gives way to the one before it.
func (d *daemon) runAll(ctx context.Context, store *pair.Store, a *agent.Agent) error {
	current := d.first
	for {
		stop := d.tell(ctx, current)
		next, err := d.runOne(ctx, store, a)
		stop()
		if errors.Is(err, agent.ErrBlind) {
			continue // watch anew, or tell why that is impossible
		}
		store.Close()
		if next == nil {
			return err
		}
		store, a, err = d.start(next.config)
		next.done <- err
		if err == nil {
			current = next.config
			continue
		}
		if store, a, err = d.start(current); err != nil {
			return fmt.Errorf("go on with the old configuration: %w", err)
		}
	}
}

// runOne runs one agent until ctx ends, it fails, or another configuration is
// asked for, which it returns.
func (d *daemon) runOne(ctx context.Context, store *pair.Store, a *agent.Agent) (*change, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	hints, err := store.Watch(ctx)
	if err != nil {
		return nil, err
	}
	alarm, err := agent.NewAlarm()
	if err != nil {
		return nil, err
	}
	defer alarm.Close()
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, alarm, hints) }()
	defer d.slot.take(a)()
	select {
	case err := <-ended:
		return nil, err
	case c := <-d.changes:
		stop()
		return &c, <-ended
	}
}

// start opens c, and what it exposes of the agent.
func (d *daemon) start(c *config.Config) (*pair.Store, *agent.Agent, error) {
	store, a, err := d.open(c)
	if err != nil {
		return nil, nil, err
	}
	if err := d.exposed.change(c); err != nil {
		store.Close()
		return nil, nil, err
	}
	return store, a, nil
}

// open takes hold of the pair of c and puts its agent together.
func (d *daemon) open(c *config.Config) (*pair.Store, *agent.Agent, error) {
	store, err := pair.Open(storeOptions(c))
	if err != nil {
		return nil, nil, err
	}
	a, err := d.build(c, store)
	if err != nil {
		store.Close()
		return nil, nil, err
	}
	return store, a, nil
}

func (d *daemon) handlers() report.Handlers {
	return report.Handlers{
		Metrics: d.exposed,
		Status:  d.board.Get,
		History: d.history.All,
		Renew: func(ctx context.Context, force bool) (report.Outcome, error) {
			report.RenewalRequested.Log(ctx, d.log, "a person asked for a renewal", slog.Bool("force", force))
			before := d.board.Get()
			err := d.slot.renew(ctx, force)
			return report.OutcomeOf(before, d.board.Get()), err
		},
		Reload:     d.reload,
		TestNotify: d.testNotify,
	}
}

// hangups reloads the configuration at each SIGHUP until ctx ends.
func (d *daemon) hangups(ctx context.Context) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	defer signal.Stop(signals)
	for {
		select {
		case <-signals:
			_ = d.reload(ctx) // it has logged why
		case <-ctx.Done():
			return nil
		}
	}
}

// reload reads the configuration again. A faulty one changes nothing.
func (d *daemon) reload(ctx context.Context) error {
	d.notify.Reloading()
	defer d.notify.Ready()
	err := d.change(ctx)
	if err != nil {
		report.ConfigRefused.Log(ctx, d.log, fmt.Sprintf("the configuration is refused, the old one goes on: %v", err),
			slog.String(report.KeyError, err.Error()))
		return err
	}
	report.ConfigReloaded.Log(ctx, d.log, "the configuration was read again")
	return nil
}

func (d *daemon) change(ctx context.Context) error {
	c, err := config.Load(d.first.Path)
	if err != nil {
		return err
	}
	if c.Control != d.first.Control {
		return fmt.Errorf("control cannot change from %s to %s while the agent runs: restart it", d.first.Control, c.Control)
	}
	next := change{config: c, done: make(chan error, 1)}
	select {
	case d.changes <- next:
		return <-next.done
	case <-ctx.Done():
		return agent.ErrStopped
	}
}
