package agent

import (
	"errors"
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
		var tx unix.Timex
		if state, err := unix.Adjtimex(&tx); err != nil || (state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0) {
			return time.Time{}, nil
		}
		return now.Add(left), errors.New("it is not synchronised yet")
	}
}
