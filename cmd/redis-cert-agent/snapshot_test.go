package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A snapshot is what must not change: files by their path, what redis shows,
// and which process it is.
type snapshot map[string]string

// cmdSnapshot remembers the agent's directory, the plain files in tls, and redis;
// with -dir everything below DIR down to inodes and the times at which they changed:
//
//	snapshot NAME
//	snapshot -dir DIR
func (s *host) cmdSnapshot(_ *testscript.TestScript, args []string) error {
	name, shot, err := s.takeSnapshot(args, new(bool))
	s.snapshots[name] = shot
	return err
}

// cmdUnchanged compares with what was remembered. With -loaded only what redis
// reads and shows counts: further generations may have come.
//
//	unchanged [-loaded] NAME
//	unchanged -dir DIR
func (s *host) cmdUnchanged(_ *testscript.TestScript, args []string) error {
	var loaded bool
	name, is, err := s.takeSnapshot(args, &loaded)
	if err != nil {
		return err
	}
	was := s.snapshots[name]
	if was == nil {
		return fmt.Errorf("there is no snapshot %s", name)
	}
	if loaded {
		read := func(path, _ string) bool {
			return !strings.HasPrefix(path, "loaded ") && !strings.HasPrefix(path, "tls/") && !strings.HasPrefix(path, "redis")
		}
		maps.DeleteFunc(is, read)
		was = maps.Clone(was)
		maps.DeleteFunc(was, read)
	}
	var diff []string
	for _, path := range slices.Sorted(maps.Keys(was)) {
		if is[path] != was[path] {
			diff = append(diff, fmt.Sprintf("%s: was %s, is %s", path, was[path], is[path]))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(is)) {
		if _, ok := was[path]; !ok {
			diff = append(diff, fmt.Sprintf("%s: new, %s", path, is[path]))
		}
	}
	if diff != nil {
		return fmt.Errorf("changed:\n%s", strings.Join(diff, "\n"))
	}
	return nil
}

// takeSnapshot takes the one that args tell, and returns its name.
func (s *host) takeSnapshot(args []string, loaded *bool) (name string, shot snapshot, err error) {
	dir := ""
	args, err = flags(args, func(f *flag.FlagSet) {
		f.StringVar(&dir, "dir", "", "a directory")
		f.BoolVar(loaded, "loaded", false, "what redis reads")
	})
	if err != nil {
		return "", nil, err
	}
	if dir != "" {
		shot := snapshot{}
		err := shot.walk(s.dir, dir, inode)
		if err == nil && len(shot) == 0 {
			err = fmt.Errorf("%s does not exist", dir)
		}
		return "directory " + dir, shot, err
	}
	shot, err = s.shoot()
	return args[0], shot, err
}

// shoot takes a snapshot of the agent's directory, the files in tls, and redis.
func (s *host) shoot() (shot snapshot, err error) {
	shot = snapshot{}
	s.do(func() {
		for _, dir := range []string{"pair", "tls"} {
			if err = shot.walk(s.dir, dir, content); err != nil {
				return
			}
		}
		for _, name := range []string{"redis.crt", "redis.key", "ca.crt"} {
			if text, err := os.ReadFile(s.path("pair/current", name)); err == nil {
				shot["loaded "+name] = fmt.Sprintf("%x", sha256.Sum256(text))
			}
		}
	})
	if s.redis != nil && s.redis.Running() {
		chain, lookErr := s.look()
		if lookErr != nil {
			return nil, errors.Join(err, lookErr)
		}
		shot["redis shows"] = fmt.Sprintf("serial %x", chain[0].SerialNumber)
		shot["redis"] = fmt.Sprint("process ", s.redis.PID())
	}
	return shot, err
}

// own are the parts of the agent's directory that say nothing of a pair: every
// command makes them, the lock holds the process id of its last owner, and
// failed attempts, roots and what a CA counts are remembered. The copy of the CA
// certificates for clients follows the pair by a moment.
var own = []string{"pair", "pair/generations", "pair/lock", "pair/attempts.json", "pair/history.json", "pair/roots.json", "pair/acme-limits.json", "pair/ca.crt"}

// walk adds what describe says of every file below root/dir.
func (shot snapshot) walk(root, dir string, describe func(path string, fi fs.FileInfo) (string, error)) error {
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); strings.HasPrefix(name, ".tmp-ca.crt") || strings.HasPrefix(name, ".tmp-") && strings.Contains(name, ".json") {
			return nil // it may be gone already
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || slices.Contains(own, name) {
			return err
		}
		shot[name], err = describe(path, fi)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// content describes a file: mode, owner, time, and content or target.
func content(path string, fi fs.FileInfo) (string, error) {
	stat := fi.Sys().(*syscall.Stat_t)
	text := fmt.Sprintf("%s %d:%d", fi.Mode(), stat.Uid, stat.Gid)
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return text + " -> " + target, err
	case fi.Mode().IsRegular():
		data, err := os.ReadFile(path)
		return fmt.Sprintf("%s %s %x", text, fi.ModTime().Format(time.RFC3339Nano), sha256.Sum256(data)), err
	}
	return text, nil
}

// inode describes a file that nobody has touched: besides, its inode, and the
// times at which that and the content have changed.
func inode(path string, fi fs.FileInfo) (string, error) {
	stat := fi.Sys().(*syscall.Stat_t)
	text, err := content(path, fi)
	return fmt.Sprint(text, " ", stat.Nlink, stat.Ino, stat.Size, stat.Mtim, stat.Ctim), err
}
