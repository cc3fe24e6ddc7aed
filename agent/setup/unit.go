package setup

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"redis-cert-agent/agent/control"
	"redis-cert-agent/agent/status"
)

// home is the directory in which the units of the package look for configurations.
const home = "/etc/redis-cert-agent"

// closed are the directories that the unit hides from the agent.
var closed = []string{"/etc/redis", "/etc/valkey", "/var/lib/redis", "/var/lib/valkey", "/var/log/redis", "/var/log/valkey"}

// hasUnit says whether systemd is to run the agent.
func (b *builder) hasUnit() bool { return booted() && filepath.Dir(b.Config) == home }

// dropIn plans what the unit needs beyond what the package gives it.
func (b *builder) dropIn() {
	text := ""
	if b.group != "redis" {
		text += "Group=" + b.group + "\n"
	}
	if b.paths.Cert != "" {
		text += opened(filepath.Dir(b.paths.Cert))
	}
	if text == "" || !b.hasUnit() {
		return
	}
	text = "# Written by redis-cert-agent init.\n[Service]\n" + text
	path := filepath.Join("/etc/systemd/system", b.Plan.Config.Unit()+".service.d", "init.conf")
	b.add(write(path, []byte(text), 0o644, strings.Split(strings.TrimSuffix(text, "\n"), "\n")))
}

// opened lets the agent write to a directory. Where that lies in one that the unit hides,
// the agent sees it alone.
func opened(dir string) string {
	for i, hidden := range closed {
		if !strings.HasPrefix(dir, hidden+"/") {
			continue
		}
		others := "InaccessiblePaths=\nInaccessiblePaths="
		for j, other := range closed {
			if j != i {
				others += "-" + other + " "
			}
		}
		return strings.TrimSuffix(others, " ") + "\nTemporaryFileSystem=" + hidden + ":ro\nBindPaths=" + dir + "\n"
	}
	return "ReadWritePaths=" + dir + "\n"
}

// renewer plans that the timer that has renewed the pair until now stops.
func (b *builder) renewer() {
	if b.Renewer == "" {
		return
	}
	b.add(action{
		what:   "disable " + b.Renewer + ", which has renewed the pair until now",
		done:   func(ctx context.Context) bool { return !is(ctx, "enabled", b.Renewer) && !is(ctx, "active", b.Renewer) },
		before: func() (entry, error) { return entry{Disabled: b.Renewer}, nil },
		do:     func(ctx context.Context) error { return systemctl(ctx, "disable", "--now", b.Renewer) },
	})
}

// start plans that the agent runs.
func (b *builder) start() {
	agent := control.Dial(b.Plan.Config.Control)
	answers := func(ctx context.Context) bool {
		_, err := agent.Status(ctx)
		return err == nil
	}
	if !b.hasUnit() {
		b.add(action{what: "start the agent", done: answers, do: func(context.Context) error {
			return fmt.Errorf("systemd does not run it here: start redis-cert-agent run --config %s, and run init again, which goes on from here", b.Config)
		}})
		return
	}
	unit := b.Plan.Config.Unit() + ".service"
	b.add(action{
		what: "enable and start " + unit,
		done: func(ctx context.Context) bool {
			return is(ctx, "enabled", unit) && is(ctx, "active", unit) && answers(ctx)
		},
		before: func() (entry, error) { return entry{Enabled: unit}, nil },
		do: func(ctx context.Context) error {
			for _, command := range [][]string{{"daemon-reload"}, {"enable", unit}, {"restart", unit}} {
				if err := systemctl(ctx, command...); err != nil {
					return fmt.Errorf("%w; journalctl -u %s tells more", err, unit)
				}
			}
			return nil
		},
	})
}

// patience is how long the first certificate may take, DNS and all.
const patience = 3 * time.Minute

// firstCertificate plans to wait until there is a pair.
func (b *builder) firstCertificate() {
	agent := control.Dial(b.Plan.Config.Control)
	b.add(action{
		what: "get the first certificate",
		done: func(ctx context.Context) bool {
			s, err := agent.Status(ctx)
			return err == nil && s.Pair != nil
		},
		do: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				s, err := agent.Status(ctx)
				if err == nil && s.Pair != nil {
					return nil
				}
				if f := s.IssueError; err == nil && f != nil {
					return fmt.Errorf("%s; mend that and run init again, which goes on from here", f.Text)
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return fmt.Errorf("there is none yet (%w): redis-cert-agent status tells what it waits for", ctx.Err())
				}
			}
		},
	})
}

// prove plans that every server is shown to serve the pair, where all can.
func (b *builder) prove() {
	for _, s := range b.servers {
		if s.plain && !b.live(s) {
			return
		}
	}
	agent := control.Dial(b.Plan.Config.Control)
	b.add(action{
		what: "prove by a handshake that redis serves it",
		done: func(ctx context.Context) bool {
			s, err := agent.Status(ctx)
			return err == nil && proven(s)
		},
		do: func(ctx context.Context) error {
			_, err := agent.Renew(ctx, false)
			return err
		},
	})
}

func proven(s status.Status) bool {
	for _, server := range s.Servers {
		if server.State != status.Proven {
			return false
		}
	}
	return len(s.Servers) > 0
}
