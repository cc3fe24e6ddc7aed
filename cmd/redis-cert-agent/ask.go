package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/report"
)

func newRenewCommand(path *string) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Look now, and renew what is due",
		Long: `Look now: renew the certificate if it is due, make every redis-server show the
newest one, and prove it. The running agent does it; when none runs, this command
does it itself, under the same lock.`,
		Example: `  redis-cert-agent renew
  redis-cert-agent renew --force     # a new certificate although the old one is not due`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return renew(cmd.Context(), cmd.OutOrStdout(), *path, force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "get a new certificate although the old one is not due")
	return cmd
}

func renew(ctx context.Context, w io.Writer, path string, force bool) error {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return err
	}
	running := report.Dial(c.Control)
	outcome, err := running.Renew(ctx, force)
	if errors.Is(err, report.ErrNotRunning) {
		outcome, err = renewAlone(ctx, path, force)
	}
	if errors.Is(err, pair.ErrLocked) && answersSoon(ctx, running) {
		outcome, err = running.Renew(ctx, force)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, outcome.Text)
	return err
}

// answersSoon waits for an agent that has the lock and does not listen yet: it
// has only just begun. One that has another control socket never will.
func answersSoon(ctx context.Context, c *report.Client) bool {
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
func renewAlone(ctx context.Context, path string, force bool) (report.Outcome, error) {
	c, err := config.Load(path)
	if err != nil {
		return report.Outcome{}, err
	}
	d := newDaemon(c, slog.New(warnings{report.NewLogger(os.Stderr, slog.LevelWarn).Handler()}))
	store, a, err := d.open(c)
	if err != nil {
		return report.Outcome{}, err
	}
	defer store.Close()
	defer d.remember()()
	before, err := diskStatus(c)
	if err != nil {
		return report.Outcome{}, err
	}
	err = a.Once(ctx, force)
	return report.OutcomeOf(before, d.board.Get()), err
}

// warnings passes on what is no error: that is the last line of a command that
// fails.
type warnings struct{ slog.Handler }

func (w warnings) Handle(ctx context.Context, r slog.Record) error {
	failed := r.Level >= slog.LevelError
	r.Attrs(func(a slog.Attr) bool {
		failed = failed || a.Key == report.KeyError
		return !failed
	})
	if failed {
		return nil
	}
	return w.Handler.Handle(ctx, r)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }

func newReloadCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the running agent read its configuration again",
		Long: `Make the running agent read its configuration again. A faulty one is refused,
the faults are printed, and the agent goes on with the old one.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.LoadWithoutSecrets(*path)
			if err != nil {
				return err
			}
			return startIt(report.Dial(c.Control).Reload(cmd.Context()))
		},
	}
}

func newStatusCommand(path *string) *cobra.Command {
	var asJSON, history bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the certificate on disk, what each server shows, and what comes next",
		Long: `Show what the running agent last knew: the certificate on disk, what each
redis-server shows, the CA, the next step, and the last error. When no agent
runs, show what is on disk and exit with 1.

With --history, show the last hundred events instead, which survive restarts:
what was issued, refused, loaded, proven and rolled back, and why.`,
		Example: `  redis-cert-agent status
  redis-cert-agent status --json | jq .servers
  redis-cert-agent status --history`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if history {
				return showHistory(cmd.Context(), cmd.OutOrStdout(), *path, asJSON)
			}
			return status(cmd.Context(), cmd.OutOrStdout(), *path, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&history, "history", false, "show the last hundred events")
	return cmd
}

// showHistory shows the running agent's history, or what the last one left.
func showHistory(ctx context.Context, w io.Writer, path string, asJSON bool) error {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return err
	}
	deeds, err := report.Dial(c.Control).History(ctx)
	if errors.Is(err, report.ErrNotRunning) {
		deeds, err = report.ReadHistory(filepath.Join(c.Directory, historyFile))
	}
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, append([]report.Deed{}, deeds...)) // [] rather than null
	}
	return report.WriteHistory(w, deeds, isColourful(w))
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// isColourful reports whether w is a terminal whose user does not mind colour
// (no-color.org).
func isColourful(w io.Writer) bool {
	f, _ := w.(*os.File)
	return f != nil && report.IsTerminal(f) && os.Getenv("NO_COLOR") == ""
}

func status(ctx context.Context, w io.Writer, path string, asJSON bool) error {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return err
	}
	s, asked := report.Dial(c.Control).Status(ctx)
	if asked != nil && !errors.Is(asked, report.ErrNotRunning) {
		return asked
	}
	if asked != nil {
		if s, err = diskStatus(c); err != nil {
			return errors.Join(asked, err)
		}
	}
	if asJSON {
		err = printJSON(w, s)
	} else {
		err = s.WriteText(w, isColourful(w))
	}
	return errors.Join(err, startIt(asked))
}

// startIt adds the remedy when no agent runs.
func startIt(err error) error {
	if errors.Is(err, report.ErrNotRunning) {
		return fmt.Errorf("%w: start it (systemctl start redis-cert-agent)", err)
	}
	return err
}

// diskStatus is what can be told without an agent.
func diskStatus(c *config.Config) (report.Status, error) {
	disk, err := pair.Read(storeOptions(c))
	if err != nil {
		return report.Status{}, err
	}
	s := report.Status{
		Instance: c.Instance, Version: releaseVersion(), Now: time.Now().UTC(),
		Degraded: true, MonitorOnly: c.MonitorOnly,
	}
	if g := disk.Current; g != nil && g.Err == nil {
		s.Pair = agent.Describe(g)
	}
	for _, i := range c.Issuers {
		s.CAs = append(s.CAs, describe(i))
	}
	for _, server := range c.Servers {
		s.Servers = append(s.Servers, report.Server{Address: server.Address, State: report.Unknown})
	}
	return s, nil
}
