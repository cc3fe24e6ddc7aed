package sdnotify

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestMessages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	for want, send := range map[string]func(){
		"READY=1":                  Ready,
		"STOPPING=1":               Stopping,
		"WATCHDOG=1":               Watchdog,
		"STATUS=ok, for READY=1 x": func() { Status("ok, for\nREADY=1\t x") },
	} {
		send()
		if got := readState(t, socket); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}

	Reloading()
	usec, ok := strings.CutPrefix(readState(t, socket), "RELOADING=1\nMONOTONIC_USEC=")
	told, err := strconv.ParseInt(usec, 10, 64)
	var now unix.Timespec
	if err2 := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err2 != nil {
		t.Fatal(err2)
	}
	if age := time.Duration(now.Nano()) - time.Duration(told)*time.Microsecond; !ok || err != nil || age < 0 || age > time.Minute {
		t.Errorf("MONOTONIC_USEC=%s is %v old, %v", usec, age, err)
	}
}

func readState(t *testing.T, socket *net.UnixConn) string {
	t.Helper()
	if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := socket.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// Without systemd, and with a socket that is gone, nothing happens.
func TestMessagesAlone(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "gone")} {
		t.Setenv("NOTIFY_SOCKET", path)
		Ready()
		Status("x")
		Reloading()
	}
}

func TestWatchdogInterval(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"30000000", own, 15 * time.Second},
		{"30000000", "", 15 * time.Second},
		{"30000000", "1", 0},
		{"", own, 0},
		{"x", own, 0},
		{"-5", own, 0},
	} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		if got := WatchdogInterval(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestWatchdogTicks(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "")
	ticks, stop := WatchdogTicks()
	stop()
	if ticks != nil {
		t.Error("ticks although nobody watches")
	}
	t.Setenv("WATCHDOG_USEC", "60000000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ticks, stop := WatchdogTicks()
		defer stop()
		<-ticks
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("the first tick comes after %v", took)
		}
	})
}
