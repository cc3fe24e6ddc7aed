package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/agent/daemon"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/status"
)

func newRenewCommand(path *string) *cobra.Command {
	var force, dry bool
	var client string
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Look now, and renew what is due",
		Long: `Look now: renew the certificate if it is due, make every redis-server show the
newest one, and prove it. The running agent does it; when none runs, this command
does it itself, under the same lock.

With --dry-run, try everything that a renewal needs instead, without issuing: the CA
and what it must be shown, the directories, each Redis, and who is told of failures.
Nothing stays changed. The exit code is 1 when something would fail.

With --pair it is about the pair of a client that has this name in the configuration,
and what is to be done after a change; that the running agent alone does.`,
		Example: `  redis-cert-agent renew
  redis-cert-agent renew --dry-run   # would it work?
  redis-cert-agent renew --force     # a new certificate although the old one is not due
  redis-cert-agent renew --pair exporter`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dry && force {
				return usageError{errors.New("--dry-run issues nothing, and --force does: give one of them")}
			}
			switch {
			case dry && client != "":
				return usageError{errors.New("--dry-run is about the servers' pair: leave --pair out")}
			case client != "":
				return renewPair(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), *path, client, force)
			case dry:
				return rehearse(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), *path)
			}
			return renew(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), *path, force)
		},
	}
	cmd.Flags().StringVar(&client, "pair", "", "the pair of a client, by its name")
	completePairs(cmd, path)
	cmd.Flags().BoolVar(&force, "force", false, "get a new certificate although the old one is not due")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "try everything that a renewal needs, without issuing")
	return cmd
}

func renew(ctx context.Context, w, talk io.Writer, path string, force bool) error {
	outcome, err := askToRenew(ctx, talk, path, force)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, outcome.Text)
	return err
}

// askToRenew has the running agent renew, or does it where none runs.
func askToRenew(ctx context.Context, talk io.Writer, path string, force bool) (control.Outcome, error) {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return control.Outcome{}, err
	}
	p := waiting(talk, "renewing")
	defer p.clear()
	running := control.Dial(c.Control)
	outcome, err := running.Renew(ctx, force)
	if errors.Is(err, control.ErrNotRunning) {
		outcome, err = renewAlone(ctx, p, path, force)
	}
	if errors.Is(err, pair.ErrLocked) && answersSoon(ctx, running) {
		outcome, err = running.Renew(ctx, force)
	}
	return outcome, err
}

// rehearse tries everything that a renewal needs, and prints what was found.
func rehearse(ctx context.Context, w, talk io.Writer, path string) error {
	p := waiting(talk, "trying what a renewal needs")
	s, err := askToRehearse(ctx, path)
	p.clear()
	if err != nil {
		return err
	}
	if s.Rehearsal == nil {
		return errors.New("the certificate changed meanwhile: ask again")
	}
	if err := s.Rehearsal.WriteText(w, isColourful(w)); err != nil {
		return err
	}
	if n := len(s.Rehearsal.Faults()); n > 0 {
		return exitError{exitFailed, fmt.Errorf("a renewal would fail: %d of %d things that it needs are not there", n, len(s.Rehearsal.Findings))}
	}
	return nil
}

// askToRehearse has the running agent rehearse, or does it where none runs.
func askToRehearse(ctx context.Context, path string) (status.Status, error) {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return status.Status{}, err
	}
	s, err := control.Dial(c.Control).Rehearse(ctx)
	if !errors.Is(err, control.ErrNotRunning) {
		return s, err
	}
	if c, err = config.Load(path); err != nil {
		return status.Status{}, err
	}
	return daemon.New(c, releaseVersion(), slog.New(slog.DiscardHandler)).Examine(ctx)
}

// renewPair has the running agent renew the pair of a client.
func renewPair(ctx context.Context, w, talk io.Writer, path, name string, force bool) error {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return err
	}
	p := waiting(talk, "renewing "+name)
	outcome, err := control.Dial(c.Control).RenewPair(ctx, name, force)
	p.clear()
	if err != nil {
		return startIt(c, err)
	}
	_, err = fmt.Fprintln(w, outcome.Text)
	return err
}

// answersSoon waits for an agent that has the lock and does not listen yet: it
// has only just begun. One that has another control socket never will.
func answersSoon(ctx context.Context, c *control.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := c.Status(ctx); err == nil {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

// renewAlone does what the running agent would.
func renewAlone(ctx context.Context, p *progress, path string, force bool) (control.Outcome, error) {
	c, err := config.Load(path)
	if err != nil {
		return control.Outcome{}, err
	}
	log := slog.New(warnings{journal.NewLogger(os.Stderr, slog.LevelWarn).Handler(), p})
	return daemon.New(c, releaseVersion(), log).RenewOnce(ctx, force)
}

// warnings passes on what is no error: that is the last line of a command that
// fails.
type warnings struct {
	slog.Handler
	beside *progress
}

func (w warnings) Handle(ctx context.Context, r slog.Record) (err error) {
	failed := r.Level >= slog.LevelError
	r.Attrs(func(a slog.Attr) bool {
		failed = failed || a.Key == journal.KeyError
		return !failed
	})
	if failed {
		return nil
	}
	w.beside.aside(func() { err = w.Handler.Handle(ctx, r) })
	return err
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs), w.beside}
}

func (w warnings) WithGroup(name string) slog.Handler {
	return warnings{w.Handler.WithGroup(name), w.beside}
}
