// Package sdnotify tells systemd how the service does (sd_notify(3)).
//
// Without systemd, which is without $NOTIFY_SOCKET, its functions do nothing. A
// message that cannot be sent is dropped: systemd has its own time limits, and there
// is nobody else to tell.
package sdnotify

import (
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Ready says that the service is up, or that a reload has ended.
func Ready() { notify(daemon.SdNotifyReady) }

// Status sets the line that systemctl status shows.
func Status(text string) {
	// A newline would begin another assignment.
	notify("STATUS=" + strings.Join(strings.Fields(text), " "))
}

// Reloading says that the configuration is read again; Ready must follow.
// With Type=notify-reload systemd wants to know when that began.
func Reloading() {
	notify(daemon.SdNotifyReloading + "\n" + strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
}

// Stopping says that the service is shutting down.
func Stopping() { notify(daemon.SdNotifyStopping) }

// Watchdog says that the service is alive.
func Watchdog() { notify(daemon.SdNotifyWatchdog) }

// WatchdogInterval tells how often to call Watchdog: in half of the time after
// which systemd takes this process for dead. It is zero when nobody watches.
func WatchdogInterval() time.Duration {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return limit / 2
}

// WatchdogTicks returns a channel that ticks whenever Watchdog is due, nil when
// nobody watches, and what stops it.
func WatchdogTicks() (<-chan time.Time, func()) {
	interval := WatchdogInterval()
	if interval <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(interval)
	return t.C, t.Stop
}

func notify(state string) {
	_, _ = daemon.SdNotify(false, state)
}
