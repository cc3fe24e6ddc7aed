package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// cmdMount changes what this stage sees, and what it starts from then on:
//
//	mount small DIR     makes DIR a small disk
//	mount full DIR      takes what is left of it, by DIR/filler
//	mount empty DIR     removes the filler
//	mount readonly DIR  lets nobody write to DIR
//
// The mounts are in a namespace of their own and end with the test.
func (s *stage) cmdMount(ts *testscript.TestScript, args []string) error {
	dir := ts.MkAbs(args[1])
	if args[0] == "readonly" && os.Geteuid() != 0 {
		return os.Chmod(dir, 0o555)
	}
	if os.Geteuid() != 0 {
		s.t.Skip("only root may mount")
	}
	if err := s.enter(); err != nil {
		return err
	}
	var err error
	s.do(func() { err = mount(args[0], dir) })
	return err
}

func mount(what, dir string) error {
	filler := filepath.Join(dir, "filler")
	switch what {
	case "small":
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
		return unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=750")
	case "full":
		err := os.WriteFile(filler, bytes.Repeat([]byte("x"), 1<<20), 0o600)
		if errors.Is(err, unix.ENOSPC) {
			return nil
		}
		return fmt.Errorf("the disk is not full: %v", err)
	case "empty":
		return os.Remove(filler)
	case "readonly":
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		return unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	}
	return fmt.Errorf("mount %s: no such mount", what)
}

// enter makes a mount namespace, of one thread and what that starts.
func (s *stage) enter() error {
	if s.inside != nil {
		return nil
	}
	work, ready := make(chan func()), make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		ready <- err
		for f := range work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		return fmt.Errorf("a mount namespace: %w: root needs CAP_SYS_ADMIN for this test", err)
	}
	s.inside = work
	s.t.Cleanup(func() { close(work) })
	return nil
}
