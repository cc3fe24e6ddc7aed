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
)

// Vitals are what the kernel knows of a process (proc(5)).
type vitals struct {
	rss, anon int64         // VmRSS and RssAnon, in KiB
	threads   int64         // of the process
	files     int           // open file descriptors
	wakeups   int64         // voluntary context switches of all threads that live
	cpu       time.Duration // user and system, in ticks of 10 ms
}

func readVitals(pid int) (vitals, error) {
	dir := fmt.Sprintf("/proc/%d", pid)
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return vitals{}, err
	}
	var v vitals
	for name, into := range map[string]*int64{"VmRSS": &v.rss, "RssAnon": &v.anon, "Threads": &v.threads} {
		if *into, err = statusField(string(status), name); err != nil {
			return vitals{}, err
		}
	}
	files, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return vitals{}, err
	}
	v.files = len(files)
	if v.wakeups, err = readWakeups(pid); err != nil {
		return vitals{}, err
	}
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return vitals{}, err
	}
	v.cpu, err = statCPU(string(stat))
	return v, err
}

// readWakeups adds up the voluntary context switches of all threads: each is
// a wait that began, so there are as many wake-ups.
func readWakeups(pid int) (int64, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return 0, err
	}
	var sum int64
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

// statCPU returns user and system time of /proc/PID/stat. The name in the
// second field may hold anything, so fields count from its closing parenthesis.
func statCPU(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat is too short")
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err
}

// settled is how long an agent must not have woken up to be at rest: longer than
// it waits before it gives memory back.
const settled = 3 * time.Second

// quiet waits until the process has not woken up for a while, so that what it
// does after an answer does not count as somebody else's work.
func quiet(ctx context.Context, pid int, still time.Duration) error {
	const step = 2 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	last, since := int64(-1), time.Now()
	for {
		n, err := readWakeups(pid)
		if err != nil {
			return err
		}
		if n != last {
			last, since = n, time.Now()
		} else if time.Since(since) >= still {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
