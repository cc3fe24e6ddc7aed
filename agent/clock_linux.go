package agent

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Clock tells whether the wall clock can be believed at the time now. When it
// cannot, it says why, and when to ask again; zero means that the clock being
// set will tell.
type Clock func(now time.Time) (again time.Time, reason error)

// KernelClock returns a Clock that disbelieves a clock that the kernel holds to
// be unsynchronised (adjtimex(2), STA_UNSYNC) during the time wait after boot.
// A host without a battery-backed clock starts in the past and steps forward
// when its time service answers; a host with no time service at all goes on
// after the wait.
func KernelClock(wait time.Duration) Clock {
	return func(now time.Time) (time.Time, error) {
		var up unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
			return time.Time{}, nil
		}
		left := wait - time.Duration(up.Nano())
		if left <= 0 {
			return time.Time{}, nil
		}
		if synchronised() {
			return time.Time{}, nil
		}
		return now.Add(left), errors.New("it is not synchronised yet")
	}
}

// timesync is where systemd-timesyncd (8) makes the file "synchronized" once it
// has set the clock.
const timesync = "/run/systemd/timesync"

// synchronised asks the kernel. A sandbox that protects the clock refuses the
// question too (ProtectClock=, systemd.exec(5)); then systemd-timesyncd may
// tell, and without it the clock is believed.
func synchronised() bool {
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	if err == nil {
		return state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0
	}
	if _, err := os.Stat(timesync); err != nil {
		return true
	}
	_, err = os.Stat(filepath.Join(timesync, "synchronized"))
	return err == nil
}
