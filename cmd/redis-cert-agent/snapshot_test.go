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

// cmdSnapshot remembers the agent's directory, the plain files in tls, and redis:
//
//	snapshot NAME
func (s *stage) cmdSnapshot(_ *testscript.TestScript, args []string) error {
	shot, err := s.shoot()
	s.snapshots[args[0]] = shot
	return err
}

// cmdUnchanged compares with what was remembered. With -loaded only what redis
// reads and shows counts: further generations may have come.
//
//	unchanged [-loaded] NAME
func (s *stage) cmdUnchanged(_ *testscript.TestScript, args []string) error {
	loaded := false
	args, err := flags(args, func(f *flag.FlagSet) { f.BoolVar(&loaded, "loaded", false, "what redis reads") })
	if err != nil {
		return err
	}
	was := s.snapshots[args[0]]
	if was == nil {
		return fmt.Errorf("there is no snapshot %s", args[0])
	}
	is, err := s.shoot()
	if err != nil {
		return err
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

func (s *stage) shoot() (shot snapshot, err error) {
	shot = snapshot{}
	s.do(func() {
		for _, dir := range []string{"pair", "tls"} {
			if err = shot.walk(s.dir, dir); err != nil {
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
// failed attempts are counted.
var own = []string{"pair", "pair/generations", "pair/lock", "pair/attempts.json", "pair/history.json"}

// walk adds every file below root/dir: mode, owner, size, time, and content or
// target.
func (shot snapshot) walk(root, dir string) error {
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".tmp-") && strings.Contains(d.Name(), ".json") {
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
		stat := fi.Sys().(*syscall.Stat_t)
		text := fmt.Sprintf("%s %d:%d", fi.Mode(), stat.Uid, stat.Gid)
		switch {
		case fi.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			shot[name] = text + " -> " + target
			return err
		case fi.Mode().IsRegular():
			content, err := os.ReadFile(path)
			shot[name] = fmt.Sprintf("%s %s %x", text, fi.ModTime().Format(time.RFC3339Nano), sha256.Sum256(content))
			return err
		}
		shot[name] = text
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
