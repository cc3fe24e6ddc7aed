package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/agent/daemon"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/status"
)

func newReloadCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the running agent read its configuration again",
		Long: `Make the running agent read its configuration again. A faulty one is refused,
the faults are printed, and the agent goes on with the old one.`,
		Example: `  redis-cert-agent reload
  redis-cert-agent reload --config /etc/redis-cert-agent/cache.yaml     # that of redis-cert-agent@cache`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.LoadWithoutSecrets(*path)
			if err != nil {
				return err
			}
			p := waiting(cmd.ErrOrStderr(), "the agent reads its configuration")
			err = control.Dial(c.Control).Reload(cmd.Context())
			p.clear()
			return startIt(c, err)
		},
	}
}

func newStatusCommand(path *string) *cobra.Command {
	var asJSON, history bool
	var ready string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the certificate on disk, what each server shows, and what comes next",
		Long: `Show what the running agent last knew: the certificate on disk, what each
redis-server shows, the CA, the next step, and the last error. When no agent
runs, show what is on disk. What is older than ten seconds is looked at anew.

The exit code is 0 when all is well, 1 when something is wrong, and 3 when no agent
runs.

With --ready, print one line and nothing else, for the probes of a container: exit 0
when a valid pair is on disk and every server is proven to show it, or, of
--ready=pair, when the pair is there, and of --ready=agent, when the agent answers.

With --history, show the last hundred events instead, which survive restarts:
what was issued, refused, loaded, proven and rolled back, and why.`,
		Example: `  redis-cert-agent status
  redis-cert-agent status --json | jq .servers
  redis-cert-agent status --history
  redis-cert-agent status --ready=pair     # before a redis-server starts that loads the pair`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ready != "" {
				return showReady(cmd.Context(), cmd.OutOrStdout(), *path, ready)
			}
			if history {
				return showHistory(cmd.Context(), cmd.OutOrStdout(), *path, asJSON)
			}
			return showStatus(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), *path, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&history, "history", false, "show the last hundred events")
	cmd.Flags().StringVar(&ready, "ready", "", "exit 0 when this is well, in one line: servers, pair, agent")
	cmd.Flags().Lookup("ready").NoOptDefVal = status.ReadyServers
	cmd.MarkFlagsMutuallyExclusive("ready", "json")
	cmd.MarkFlagsMutuallyExclusive("ready", "history")
	return cmd
}

// showHistory shows the running agent's history, or what the last one left.
func showHistory(ctx context.Context, w io.Writer, path string, asJSON bool) error {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return err
	}
	records, err := control.Dial(c.Control).History(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		records, err = journal.ReadHistory(daemon.HistoryPath(c))
	}
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, append([]journal.Record{}, records...)) // [] rather than null
	}
	return journal.WriteHistory(w, records, isColourful(w))
}

// showReady says in one line whether the running agent and what it looks after are ready.
func showReady(ctx context.Context, w io.Writer, path, what string) error {
	if !slices.Contains(status.ReadyKinds, what) {
		return fmt.Errorf("--ready: %q is none of %s", what, strings.Join(status.ReadyKinds, ", "))
	}
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return err
	}
	s, err := control.Dial(c.Control).Status(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		return exitError{exitNoAgent, startIt(c, err)}
	}
	if err != nil {
		return err
	}
	ok, text := s.Ready(what)
	if _, err := fmt.Fprintln(w, text); err != nil {
		return err
	}
	if !ok {
		return exitError{code: exitFailed}
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// isColourful reports whether w is a terminal whose user does not mind colour
// (no-color.org).
func isColourful(w io.Writer) bool { return isTerminal(w) && os.Getenv("NO_COLOR") == "" }

func showStatus(ctx context.Context, w, talk io.Writer, path string, asJSON bool) error {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return err
	}
	p := waiting(talk, "the agent looks")
	s, asked := control.Dial(c.Control).Status(ctx)
	p.clear()
	if asked != nil && !errors.Is(asked, control.ErrNotRunning) {
		return asked
	}
	if asked != nil {
		if s, err = daemon.DiskStatus(c, releaseVersion()); err != nil {
			return errors.Join(asked, err)
		}
	}
	if asJSON {
		err = printJSON(w, s)
	} else {
		err = s.WriteText(w, isColourful(w))
	}
	switch {
	case err != nil:
		return err
	case asked != nil:
		return exitError{exitNoAgent, startIt(c, asked)}
	case s.Verdict() != "ok":
		return exitError{code: exitFailed} // the page has said why
	}
	return nil
}

// startIt adds the remedy when no agent runs.
func startIt(c *config.Config, err error) error {
	if errors.Is(err, control.ErrNotRunning) {
		return fmt.Errorf("%w: start it (systemctl start %s)", err, c.Unit())
	}
	return err
}
