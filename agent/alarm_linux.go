package agent

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An Alarm wakes the loop at a wall-clock time, and whenever the wall clock is
// set.
type Alarm interface {
	Set(t time.Time) error // replaces the time set before; zero means: only when the clock is set
	C() <-chan struct{}    // a tick may come early; it never stays out
	Close() error
}

// A wallAlarm is a timerfd on CLOCK_REALTIME. timerfd_create(2): such a timer
// "will be canceled if this clock is reset", which read(2) tells by ECANCELED,
// and after a suspend it fires at once if its time has passed meanwhile. A timer
// of the Go runtime runs on CLOCK_MONOTONIC, which stands still in a suspend
// and does not see the clock being set; with it the agent would have to poll.
type wallAlarm struct {
	f *os.File
	c chan struct{}
}

// NewAlarm returns an alarm on the wall clock of the kernel.
func NewAlarm() (Alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}
	a := &wallAlarm{f: os.NewFile(uintptr(fd), "timerfd"), c: make(chan struct{}, 1)}
	go a.read()
	return a, nil
}

// read passes expirations on until the file is closed. The file is non-blocking
// and so waits in the runtime's poller, not in a thread.
func (a *wallAlarm) read() {
	var expirations [8]byte
	for {
		if _, err := a.f.Read(expirations[:]); err != nil && !errors.Is(err, unix.ECANCELED) {
			return
		}
		select {
		case a.c <- struct{}{}:
		default:
		}
	}
}

func (a *wallAlarm) Set(t time.Time) error {
	if t.IsZero() {
		t = time.Now().AddDate(100, 0, 0) // a timer that is not armed cannot be cancelled by a clock step
	}
	// An it_value of zero disarms; any time that lies in the past fires at once.
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(t.UnixNano(), 1))}
	conn, err := a.f.SyscallConn()
	if err != nil {
		return fmt.Errorf("set alarm: %w", err)
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		failed = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &spec, nil)
	})
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("set alarm: %w", err)
	}
	return nil
}

func (a *wallAlarm) C() <-chan struct{} { return a.c }

func (a *wallAlarm) Close() error { return a.f.Close() }
