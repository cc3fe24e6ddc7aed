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

// cmdMount changes what this host sees, and what it starts from then on:
//
//	mount small DIR     makes DIR a small disk
//	mount full DIR      takes what is left of it, by DIR/filler
//	mount empty DIR     removes the filler
//	mount readonly DIR  lets nobody write to DIR
//	mount hung DIR      nothing answers in DIR, and whoever opens a file there hangs
//	mount back DIR      DIR is as it was
//
// The mounts are in a namespace of their own and end with the test.
func (s *host) cmdMount(ts *testscript.TestScript, args []string) error {
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
	s.do(func() { err = s.mount(args[0], dir) })
	return err
}

func (s *host) mount(what, dir string) error {
	switch what {
	case "hung":
		server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
		if err != nil {
			return err
		}
		s.hung = server // who asks waits for an answer from it, which never comes
		s.t.Cleanup(func() { server.Close() })
		return unix.Mount("hung", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", server.Fd()))
	case "back":
		return errors.Join(unix.Unmount(dir, unix.MNT_DETACH), s.hung.Close())
	}
	return mount(what, dir)
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
func (s *host) enter() error {
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

// cmdUnprivileged takes from what this host starts from now on what root may do
// with files that belong to others. A redis that runs keeps it:
//
//	unprivileged
func (s *host) cmdUnprivileged(*testscript.TestScript, []string) error {
	if os.Geteuid() != 0 {
		s.t.Skip("only root can let redis read what the agent may not")
	}
	if err := s.enter(); err != nil {
		return err
	}
	var err error
	s.do(func() { err = giveUp(unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH) })
	return err
}

// giveUp keeps this thread's programs from ever having the capabilities: root
// gets at exec what is bounding or inheritable (capabilities(7)).
func giveUp(capabilities ...uintptr) error {
	for _, c := range capabilities {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	return unix.Capset(&header, &data[0])
}
