package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// processors returns those that this process may use, two at least.
func processors() (found []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	for n := range len(set) * strconv.IntSize {
		if set.IsSet(n) {
			found = append(found, n)
		}
	}
	if len(found) < 2 {
		return nil, errors.New("there is one processor: two are needed, one of them for redis")
	}
	return found, nil
}

// place lets a process run on these processors alone: all of its threads, and those that
// they start.
func place(pid int, on ...int) error {
	var set unix.CPUSet
	for _, n := range on {
		set.Set(n)
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, fs.ErrNotExist) {
			return os.NewSyscallError("sched_setaffinity", err)
		}
	}
	return nil
}

// on has do run on one processor.
func on(processor int, do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		// The thread must not end, since processes that it has started end with it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var before, set unix.CPUSet
		set.Set(processor)
		if err := errors.Join(unix.SchedGetaffinity(0, &before), unix.SchedSetaffinity(0, &set)); err != nil {
			return fmt.Errorf("choose a processor: %w", err)
		}
		err := do(ctx)
		return errors.Join(err, unix.SchedSetaffinity(0, &before))
	}
}
