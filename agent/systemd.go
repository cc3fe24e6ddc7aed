package agent

import (
	"time"

	"redis-cert-agent/agent/sdnotify"
)

// What systemd is told is about the agent of the servers. One that runs beside it must not
// speak for it: its signs of life would hide that the other hangs.

// alive tells systemd that the loop goes on.
func (a *Agent) alive() {
	if !a.opt.Beside {
		sdnotify.Watchdog()
	}
}

// ticks returns a channel that ticks whenever systemd expects a sign of life, and what
// stops it.
func (a *Agent) ticks() (<-chan time.Time, func()) {
	if a.opt.Beside {
		return nil, func() {}
	}
	return sdnotify.WatchdogTicks()
}

// tellLine sets the line that systemctl status shows.
func (a *Agent) tellLine(line string) {
	if !a.opt.Beside {
		sdnotify.Status(line)
	}
}
