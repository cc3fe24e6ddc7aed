package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/sdnotify"
	"redis-cert-agent/agent/status"
)

// A change asks for another configuration. What becomes of it goes to done, which has
// room for that: whoever asked may have gone.
type change struct {
	resolution
	again bool // the configuration is the same, and its servers are others
	done  chan error
}

func (d *Daemon) handlers() control.Handlers {
	return control.Handlers{
		Metrics: d.exposed,
		Status:  d.status,
		History: d.history.All,
		Renew: func(ctx context.Context, force bool) (control.Outcome, error) {
			journal.RenewalRequested.Log(ctx, d.log, "a person asked for a renewal", slog.Bool("force", force))
			before := known(ctx, d.active, d.board.Get)
			_ = d.refind(ctx) // a server that was just started may be why
			err := d.active.renew(ctx, force)
			return control.OutcomeOf(before, d.board.Get()), stopped(err)
		},
		Rehearse: func(ctx context.Context) (status.Status, error) {
			s, err := d.rehearse(ctx)
			return s, stopped(err)
		},
		RenewPair: func(ctx context.Context, name string, force bool) (control.Outcome, error) {
			journal.RenewalRequested.Log(ctx, d.log, fmt.Sprintf("a person asked for a renewal of the pair %q", name), slog.Bool("force", force))
			p, err := d.pairs.named(name)
			if err != nil {
				return control.Outcome{}, err
			}
			get := func() status.Status { return d.board.Get().PairNamed(name) }
			before := known(ctx, p, get)
			err = p.renew(ctx, force)
			return control.OutcomeOf(before, get()), stopped(err)
		},
		Rotate:     d.rotate,
		Reload:     d.reload,
		TestNotify: func(ctx context.Context) []notify.Result { return d.notifier.Load().Test(ctx) },
	}
}

// known returns what holds before a renewal. Right after a start that is what the first
// look brings: what was there already is not issued by the renewal.
func known(ctx context.Context, a *active, get func() status.Status) status.Status {
	if s := get(); !s.Looked.IsZero() {
		return s
	}
	_ = a.look(ctx)
	return get()
}

// fresh is how old a look may be for who asks for the status, and patience how long a
// newer one is waited for: the loop may be busy with a step.
const (
	fresh    = 10 * time.Second
	patience = 3 * time.Second
)

// status returns what holds now, by a look that is not old.
func (d *Daemon) status(ctx context.Context) status.Status {
	if s := d.board.Get(); s.Now.Sub(s.Looked) < fresh {
		return s
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	_ = d.active.look(ctx) // what is known has its age
	return d.board.Get()
}

// stopped says that the agent stops where a request ended with the context of the
// control socket. One that ended because its client went away is read by nobody.
func stopped(err error) error {
	if errors.Is(err, context.Canceled) {
		return agent.ErrStopped
	}
	return err
}

// hangups reloads the configuration at each SIGHUP until ctx ends.
func (d *Daemon) hangups(ctx context.Context) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	defer signal.Stop(signals)
	for {
		select {
		case <-signals:
			_ = d.reload(ctx) // it has logged why
		case <-ctx.Done():
			return
		}
	}
}

// reload reads the configuration again. A faulty one changes nothing.
func (d *Daemon) reload(ctx context.Context) error {
	sdnotify.Reloading()
	defer sdnotify.Ready()
	err := stopped(d.change(ctx))
	if err != nil {
		journal.ConfigRefused.Log(ctx, d.log, fmt.Sprintf("the configuration is refused, the old one goes on: %v", err),
			slog.String(journal.KeyError, err.Error()))
		return err
	}
	journal.ConfigReloaded.Log(ctx, d.log, "the configuration was read again")
	return nil
}

func (d *Daemon) change(ctx context.Context) error {
	c, err := config.Load(d.first.Path)
	if err != nil {
		return err
	}
	if c.Control != d.first.Control {
		return fmt.Errorf("control cannot change from %s to %s while the agent runs: restart it", d.first.Control, c.Control)
	}
	return d.hand(ctx, change{resolution: resolution{base: c}})
}

// hand has another agent run, and returns what became of it.
func (d *Daemon) hand(ctx context.Context, next change) error {
	next.done = make(chan error, 1)
	select {
	case d.changes <- next:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-next.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
