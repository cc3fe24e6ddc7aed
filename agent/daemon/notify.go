package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/notify"
)

// ToldPath returns the file that keeps what the targets of c were told.
func ToldPath(c *config.Config) string { return filepath.Join(c.Pair.Dir, "notify.json") }

// tell tells people what the agent of c finds, until stop is called. That waits
// until nothing of it runs any more.
func (d *Daemon) tell(ctx context.Context, c *config.Config) (stop func()) {
	n := d.notifierOf(c)
	n.Unlogged = func(target string) {
		d.exposed.Observe(journal.Entry{Event: journal.NotifyFailed, Time: time.Now(),
			Attrs: map[string]slog.Value{journal.KeyTarget: slog.StringValue(target)}})
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

// notifierOf returns who tells people about the pair of c.
func (d *Daemon) notifierOf(c *config.Config) *notify.Notifier {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host" // news without a name is better than none
	}
	return &notify.Notifier{
		Instance: c.Instance, Host: host, Version: d.version,
		Targets: c.Notify, Heartbeat: c.Heartbeat, File: ToldPath(c),
		Board: d.board, Log: d.log,
	}
}
