package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/agent/daemon"
	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/plain"
)

func newNotifyCommand(path *string) *cobra.Command {
	var test bool
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Show who was told what, or send everybody a test message",
		Long: `Show what each place under notify: in the configuration has been told and not
been told to be over.

With --test, send a marked message to each of them, and that it is over. The
running agent does it, with the secrets, the network and the sandbox that it has
and the configuration that it runs with; when none runs, this command does it
itself. It prints how each of them fared, and exits with 1 when one failed.

The heartbeat is left alone: fetched for a test, it would vouch for a host that
may not be well. The log tells when the agent could not fetch it.`,
		Example: `  redis-cert-agent notify
  redis-cert-agent notify --test`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if test {
				return testNotify(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), *path)
			}
			return showTold(cmd.OutOrStdout(), *path)
		},
	}
	cmd.Flags().BoolVar(&test, "test", false, "send a test message to everybody")
	return cmd
}

// errNobody says that there is no target.
func errNobody(c *config.Config) error {
	return fmt.Errorf("nobody is told anything: %s has no notify:; redis-cert-agent.yaml(5) describes it", c.Path)
}

func testNotify(ctx context.Context, w, talk io.Writer, path string) error {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return err
	}
	p := waiting(talk, "telling everybody")
	all, err := control.Dial(c.Control).TestNotify(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		if c, err = config.Load(path); err != nil {
			p.clear()
			return err
		}
		all = daemon.New(c, releaseVersion(), slog.New(slog.DiscardHandler)).TestNotify(ctx)
	}
	p.clear()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errNobody(c)
	}
	failed := 0
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, result := range all {
		word := "ok"
		if result.Error != "" {
			word, failed = "failed", failed+1
		}
		fmt.Fprintln(t, strings.TrimSpace(fmt.Sprintf("%s\t%s\t%.2f s\t%s", result.Target, word, result.Took.Seconds(), result.Error)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d could not be told", failed, len(all))
	}
	return nil
}

// showTold prints what is in the memory of the agent, whether it runs or not.
func showTold(w io.Writer, path string) error {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return err
	}
	targets := c.Notify
	if len(targets) == 0 {
		return errNobody(c)
	}
	all, err := notify.Read(daemon.ToldPath(c))
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; ask as root or as the user of the agent", err)
	}
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, target := range targets {
		known := slices.Collect(maps.Values(all[target.ID]))
		sort.Slice(known, func(i, j int) bool {
			a, b := known[i], known[j]
			return cmp.Or(cmp.Compare(a.Problem.Severity, b.Problem.Severity), a.Since.Compare(b.Since), cmp.Compare(a.Problem.Key, b.Problem.Key)) < 0
		})
		if len(known) == 0 {
			fmt.Fprintf(t, "%s\tnothing\n", target.Name)
		}
		for _, k := range known {
			fmt.Fprintf(t, "%s\t%s\tsince %s\ttold %s\t%s\n", target.Name, k.Problem.Severity, plain.Time(k.Since), plain.Time(k.At), k.Problem.Text)
		}
	}
	return t.Flush()
}
