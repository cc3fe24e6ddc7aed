package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload/redistest"
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

// own are the parts of the agent's directory that say nothing: every command
// makes them, and the lock holds the process id of its last owner.
var own = []string{"pair", "pair/generations", "pair/lock"}

// walk adds every file below root/dir: mode, owner, size, time, and content or
// target.
func (shot snapshot) walk(root, dir string) error {
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
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

// cmdHand makes a certificate and its key as another hand would, in DIR as
// redis.crt, redis.key and ca.crt. Times count from now.
//
//	hand [-by ca|self|other] [-from -1h] [-to 1h] [-names N,N] [-key ec|rsa] [-encrypt] DIR
//	hand -for KEY ... DIR   only redis.crt, for a key that is there
func (s *stage) cmdHand(ts *testscript.TestScript, args []string) error {
	var by, names, keyFile string
	var l redistest.Leaf
	var from, to time.Duration
	var encrypt bool
	args, err := flags(args, func(f *flag.FlagSet) {
		f.StringVar(&by, "by", "ca", "who signs")
		f.StringVar(&names, "names", s.name+",localhost,127.0.0.1", "names")
		f.StringVar(&l.Key, "key", "ec", "type of the key")
		f.StringVar(&keyFile, "for", "", "file of the key")
		f.DurationVar(&from, "from", -30*time.Minute, "when it begins")
		f.DurationVar(&to, "to", 24*time.Hour, "when it ends")
		f.BoolVar(&encrypt, "encrypt", false, "encrypt the key")
	})
	if err != nil {
		return err
	}
	l.Names, l.NotBefore, l.NotAfter = strings.Split(names, ","), time.Now().Add(from), time.Now().Add(to)
	var p *redistest.Pair
	switch by {
	case "self":
		p = redistest.SelfSigned(s.t, l)
	case "other":
		p = redistest.NewRoot(s.t).Issue(s.t, l)
	case "ca":
		p = s.ca.intermediate.Issue(s.t, l)
		p.Chain, p.Root = append(p.Chain, s.ca.intermediate.Cert), s.ca.RootCertificate
	default:
		return fmt.Errorf("hand -by %s: no such hand", by)
	}
	dir := ts.MkAbs(args[0])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if keyFile != "" {
		return s.recertify(p.Leaf(), ts.MkAbs(keyFile), filepath.Join(dir, "redis.crt"))
	}
	f := p.Write(s.t, dir)
	if encrypt {
		return lock(f.Key)
	}
	return nil
}

// recertify writes a certificate like leaf, by the authority, for the key in
// keyFile.
func (s *stage) recertify(leaf *x509.Certificate, keyFile, to string) error {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	key, err := cert.ParseKey(text)
	if err != nil {
		return err
	}
	by := s.ca.intermediate
	der, err := x509.CreateCertificate(rand.Reader, leaf, by.Cert, key.Public(), by.Key)
	if err != nil {
		return err
	}
	text = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return os.WriteFile(to, append(text, pemText(by.Cert)...), 0o600)
}

// lock encrypts the key in a file, as openssl did for decades.
func lock(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	//lint:ignore SA1019 what people have is what must be named
	locked, err := x509.EncryptPEMBlock(rand.Reader, block.Type, block.Bytes, []byte("x"), x509.PEMCipherAES256)
	if err != nil {
		return err
	}
	return os.WriteFile(file, pem.EncodeToMemory(locked), 0o600)
}

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
	s.do(func() {
		switch args[0] {
		case "small":
			if err = os.MkdirAll(dir, 0o750); err == nil {
				err = unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=750")
			}
		case "full":
			err = os.WriteFile(filepath.Join(dir, "filler"), bytes.Repeat([]byte("x"), 1<<20), 0o600)
			if errors.Is(err, unix.ENOSPC) {
				err = nil
			} else if err == nil {
				err = errors.New("the disk is not full")
			}
		case "empty":
			err = os.Remove(filepath.Join(dir, "filler"))
		case "readonly":
			if err = unix.Mount(dir, dir, "", unix.MS_BIND, ""); err == nil {
				err = unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
			}
		default:
			err = fmt.Errorf("mount %s: no such mount", args[0])
		}
	})
	return err
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
