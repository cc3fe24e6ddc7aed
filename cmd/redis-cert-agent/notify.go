package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/report"
)

// toldFile is where a pair's directory has what was told.
const toldFile = "notify.json"

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
				return testNotify(cmd.Context(), cmd.OutOrStdout(), *path)
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

func testNotify(ctx context.Context, w io.Writer, path string) error {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return err
	}
	all, err := report.Dial(c.Control).TestNotify(ctx)
	if errors.Is(err, report.ErrNotRunning) {
		if c, err = config.Load(path); err != nil {
			return err
		}
		all = notifierOf(c, base{board: new(report.Board)}).Test(ctx)
	}
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errNobody(c)
	}
	failed := 0
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, trial := range all {
		word := "ok"
		if trial.Error != "" {
			word, failed = "failed", failed+1
		}
		fmt.Fprintln(t, strings.TrimSpace(fmt.Sprintf("%s\t%s\t%.2f s\t%s", trial.Target, word, trial.Took.Seconds(), trial.Error)))
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
	targets := targetsOf(c)
	if len(targets) == 0 {
		return errNobody(c)
	}
	all, err := notify.Read(filepath.Join(c.Directory, toldFile))
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; ask as root or as the user of the agent", err)
	}
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, target := range targets {
		known := slices.SortedFunc(maps.Values(all[target.ID]), func(a, b notify.Told) int {
			return cmp.Or(cmp.Compare(a.Problem.Severity, b.Problem.Severity), a.Since.Compare(b.Since), cmp.Compare(a.Problem.Key, b.Problem.Key))
		})
		if len(known) == 0 {
			fmt.Fprintf(t, "%s\tnothing\n", target.Name)
		}
		for _, k := range known {
			fmt.Fprintf(t, "%s\t%s\tsince %s\ttold %s\t%s\n", target.Name, k.Problem.Severity, report.Time(k.Since), report.Time(k.At), k.Problem.Text)
		}
	}
	return t.Flush()
}

// tell tells people what the agent of c finds, until stop is called. That waits
// until nothing of it runs any more.
func (d *daemon) tell(ctx context.Context, c *config.Config) (stop func()) {
	n := notifierOf(c, d.base)
	n.Unlogged = func(target string) {
		d.exposed.Observe(report.Entry{Event: report.NotifyFailed, Time: time.Now(), Attrs: map[string]slog.Value{report.KeyTarget: slog.StringValue(target)}})
	}
	d.notifier.Store(n)
	if len(n.Targets) == 0 && n.Heartbeat == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Run(ctx, d.changed)
	}()
	return func() {
		cancel()
		<-done
	}
}

// testNotify sends a test message for the control socket.
func (d *daemon) testNotify(ctx context.Context) []report.Trial {
	return d.notifier.Load().Test(ctx)
}

// notifierOf returns who tells people about the pair of c.
func notifierOf(c *config.Config, b base) *notify.Notifier {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host" // news without a name is better than none
	}
	n := &notify.Notifier{
		Instance: c.Instance, Host: host, Version: releaseVersion(),
		Targets: targetsOf(c), File: filepath.Join(c.Directory, toldFile),
		Board: b.board, Log: b.log,
	}
	if h := c.Heartbeat; h != nil {
		n.Heartbeat = &notify.Heartbeat{Service: service(config.Webhook{URL: h.URL, URLFile: h.URLFile, RootsFile: h.RootsFile}), Every: h.Every}
	}
	return n
}

func targetsOf(c *config.Config) []notify.Target {
	var all []notify.Target
	kinds := map[string]int{} // how many there are of each
	ids := map[string]int{}
	for _, n := range c.Notify {
		t := notify.Target{After: n.After, Repeat: n.Repeat}
		var place string // what tells it from others of its kind
		switch {
		case n.Webhook != nil:
			t.Name, place, t.Sender = "webhook", placeOf(*n.Webhook), notify.Webhook{Service: service(*n.Webhook)}
		case n.Slack != nil:
			t.Name, place, t.Sender = "slack", placeOf(*n.Slack), notify.Slack{Service: service(*n.Slack)}
		case n.PagerDuty != nil:
			t.Name, place = "pagerduty", n.PagerDuty.URL+"\x00"+n.PagerDuty.KeyFile.String()
			t.Sender = notify.PagerDuty{Service: service(config.Webhook{URL: n.PagerDuty.URL, RootsFile: n.PagerDuty.RootsFile}), Key: text(n.PagerDuty.KeyFile)}
		default:
			t.Name, place, t.Sender = "command", strings.Join(n.Command, "\x00"), notify.Command{Args: n.Command}
		}
		// A hash: a URL may be a secret. The place in the list does not count, so
		// that the list may be put in another order.
		sum := sha256.Sum256([]byte(t.Name + "\x00" + place))
		t.ID = hex.EncodeToString(sum[:8])
		if ids[t.ID]++; ids[t.ID] > 1 {
			t.ID += fmt.Sprintf("-%d", ids[t.ID])
		}
		kinds[t.Name]++
		all = append(all, t)
	}
	number := map[string]int{}
	for i := range all {
		kind := all[i].Name
		if kinds[kind] > 1 {
			all[i].Name = fmt.Sprintf("%s[%d]", kind, number[kind])
		}
		number[kind]++
	}
	return all
}

func placeOf(w config.Webhook) string { return w.URL + "\x00" + w.URLFile.String() }

func service(w config.Webhook) notify.Service {
	s := notify.Service{Roots: w.RootsFile, Agent: "redis-cert-agent/" + releaseVersion()}
	s.URL = func() (string, error) { return w.URL, nil }
	if w.URLFile.Set() {
		s.URL = text(w.URLFile)
	}
	if w.TokenFile.Set() {
		s.Token = text(w.TokenFile)
	}
	return s
}

// text returns what reads a secret.
func text(s config.Secret) func() (string, error) {
	return func() (string, error) {
		data, err := s.Read()
		return string(data), err
	}
}
