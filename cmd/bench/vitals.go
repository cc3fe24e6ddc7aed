package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"redis-cert-agent/cmd/internal/testbed"
)

// vitals are what the kernel knows of a process (proc(5)).
type vitals struct {
	RSS, Anon int64 // VmRSS and RssAnon, in KiB
	Threads   int64
	Files     int64 // open file descriptors
}

func readVitals(pid int) (v vitals, err error) {
	dir := fmt.Sprintf("/proc/%d", pid)
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return v, err
	}
	for name, into := range map[string]*int64{"VmRSS": &v.RSS, "RssAnon": &v.Anon, "Threads": &v.Threads} {
		if *into, err = statusField(string(status), name); err != nil {
			return v, err
		}
	}
	files, err := os.ReadDir(dir + "/fd")
	v.Files = int64(len(files))
	return v, err
}

// readWakeups adds up the voluntary context switches of all threads. Each is the
// beginning of a wait, so that there are as many wake-ups.
func readWakeups(pid int) (sum int64, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return 0, err
	}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // the thread has just ended
		}
		if err != nil {
			return 0, err
		}
		n, err := statusField(string(status), "voluntary_ctxt_switches")
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// statusField returns a number of /proc/PID/status.
func statusField(status, name string) (int64, error) {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			return strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		}
	}
	return 0, fmt.Errorf("no %s in /proc/PID/status", name)
}

// atRest is how long an agent must not have woken up before its memory is read.
// The agent writes its history a second after its last step.
const atRest = 3 * time.Second

// awaitIdle waits until the process has not woken up for a while.
func awaitIdle(ctx context.Context, p *testbed.Process, still time.Duration) error {
	last, since := int64(-1), time.Now()
	for {
		n, err := readWakeups(p.PID())
		if err != nil {
			return err
		}
		if n != last {
			last, since = n, time.Now()
		} else if time.Since(since) >= still {
			return nil
		}
		if err := testbed.Sleep(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}
