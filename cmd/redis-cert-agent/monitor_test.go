package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// monitorConfig is that of an agent which leaves the renewal to another hand.
const monitorConfig = `issuer: none
names: [$NAME, localhost, 127.0.0.1]
servers:
  - address: $REDIS
    password_file: $WORK/redis-password
directory: $WORK/pair
control: $WORK/control.sock
files: {group: ""}
paths: {cert: $WORK/tls/redis.crt, key: $WORK/tls/redis.key, ca: $WORK/tls/ca.crt}
`

// cmdMonitor writes the configuration of an agent that watches the files in tls.
func (s *stage) cmdMonitor(ts *testscript.TestScript, args []string) error {
	return os.WriteFile(ts.MkAbs(args[0]), []byte(os.Expand(monitorConfig, ts.Getenv)), 0o600)
}

// cmdInodes holds everything below DIR against what it was: names, modes,
// owners, inodes, and the times of content and of inode. An agent that left it
// alone changed none of these.
//
//	inodes keep DIR
//	inodes same DIR
func (s *stage) cmdInodes(ts *testscript.TestScript, args []string) error {
	is, err := inodes(ts.MkAbs(args[1]))
	if err != nil {
		return err
	}
	name := "inodes of " + args[1]
	if args[0] == "keep" {
		s.snapshots[name] = is
		return nil
	}
	was := s.snapshots[name]
	if was == nil {
		return fmt.Errorf("inodes: %s was not kept", args[1])
	}
	var diff error
	for path, text := range is {
		if was[path] != text {
			diff = errors.Join(diff, fmt.Errorf("%s: was %q, is %q", path, was[path], text))
		}
	}
	if diff == nil && len(is) != len(was) {
		diff = fmt.Errorf("%d files, and there were %d", len(is), len(was))
	}
	return diff
}

func inodes(dir string) (snapshot, error) {
	all := snapshot{}
	return all, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		st := fi.Sys().(*syscall.Stat_t)
		all[path] = fmt.Sprint(fi.Mode(), st.Uid, st.Gid, st.Nlink, st.Ino, st.Size, st.Mtim, st.Ctim)
		return nil
	})
}

// cmdPowerless takes from what this stage starts from now on what root may do
// with files that belong to others. A redis that runs keeps it.
func (s *stage) cmdPowerless(*testscript.TestScript, []string) error {
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
