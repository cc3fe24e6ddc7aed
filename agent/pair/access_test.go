package pair

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"redis-cert-agent/reload/redistest"
)

const nobody = redistest.Nobody

func as(t *testing.T, f func() error) {
	t.Helper()
	redistest.AsNobody(t, f)
}

func needsRoot(t *testing.T, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: " + why)
	}
}

// wide lets nobody pass to h.
func (h *fixture) wide() {
	h.t.Helper()
	h.must(os.Chmod(h.root, 0o755)) // MkdirTemp makes it 0700
	if dir := filepath.Dir(h.root); dir != memory {
		h.must(os.Chmod(dir, 0o755))
	}
}

// wantOpen fails unless Open, with the rights of nobody, says each part.
func (h *fixture) wantOpen(t *testing.T, parts ...string) {
	t.Helper()
	as(t, func() error {
		s, err := Open(h.opts)
		if err == nil {
			s.Close()
		}
		wantErr(t, err, parts...)
		return nil
	})
}

func TestOpenRefuses(t *testing.T) {
	t.Run("a directory that cannot be made", func(t *testing.T) {
		h := newFixture(t, false)
		h.wide()
		h.must(os.Chmod(h.root, 0o555))
		h.wantOpen(t, h.opts.Dir, "permission denied", "let the agent's user")
	})
	t.Run("a directory of somebody else", func(t *testing.T) {
		needsRoot(t, "cannot make a directory of another user")
		h := newFixture(t, false)
		h.wide()
		h.must(os.Mkdir(h.opts.Dir, 0o777))
		h.wantOpen(t, h.opts.Dir, "belongs to user 0", "chown 65534 "+h.opts.Dir)
	})
	t.Run("a directory open to all", func(t *testing.T) {
		h := newFixture(t, false)
		h.must(os.Mkdir(h.opts.Dir, 0o700))
		h.must(os.Chmod(h.opts.Dir, 0o777))
		_, err := Open(h.opts)
		wantErr(t, err, "every user of this host", "mode 0777", "chmod go-w "+h.opts.Dir)
	})
	t.Run("a directory open to a group", func(t *testing.T) {
		h := newFixture(t, false)
		h.must(os.Mkdir(h.opts.Dir, 0o700))
		h.must(os.Chmod(h.opts.Dir, 0o770))
		_, err := Open(h.opts)
		wantErr(t, err, fmt.Sprintf("every member of group %d", os.Getegid()), "mode 0770", "chmod go-w "+h.opts.Dir)
	})
	t.Run("below a directory open to a group", func(t *testing.T) {
		h := newFixture(t, false)
		h.opts.Dir = filepath.Join(h.root, "shared", "below", "agent")
		h.must(os.MkdirAll(h.opts.Dir, 0o755))
		h.must(os.Chmod(filepath.Join(h.root, "shared"), 0o775))
		_, err := Open(h.opts)
		wantErr(t, err, "directory "+h.opts.Dir, "mode 0775", "chmod go-w "+filepath.Join(h.root, "shared"), "files.open_parent")
		h.opts.OpenParent = true
		s, err := Open(h.opts)
		h.must(err)
		h.must(s.Close())
		h.must(os.Chmod(h.opts.Dir, 0o775)) // its own stays closed
		_, err = Open(h.opts)
		wantErr(t, err, "directory "+h.opts.Dir, "mode 0775", "chmod go-w "+h.opts.Dir)
	})
	t.Run("below a directory of another user", func(t *testing.T) {
		needsRoot(t, "cannot make a directory of another user")
		h := newFixture(t, false)
		h.opts.Dir = filepath.Join(h.root, "theirs", "agent")
		h.must(os.MkdirAll(h.opts.Dir, 0o755))
		h.must(os.Chown(filepath.Dir(h.opts.Dir), nobody, nobody))
		_, err := Open(h.opts)
		wantErr(t, err, "user 65534 could replace the key", "chown root "+filepath.Dir(h.opts.Dir))
	})
	t.Run("behind a link of another user", func(t *testing.T) {
		needsRoot(t, "cannot make a link of another user")
		h := newFixture(t, false)
		h.must(os.Chmod(h.root, 0o777|os.ModeSticky))
		h.must(os.Mkdir(filepath.Join(h.root, "real"), 0o750))
		h.must(os.Symlink("real", h.opts.Dir))
		h.must(os.Lchown(h.opts.Dir, nobody, nobody))
		_, err := Open(h.opts)
		wantErr(t, err, h.opts.Dir+", which leads to it, is another user's")
	})
	t.Run("a file", func(t *testing.T) {
		h := newFixture(t, false)
		write(t, h.opts.Dir, nil)
		_, err := Open(h.opts)
		wantErr(t, err, h.opts.Dir, "it is a file")
	})
	for name, o := range map[string]Options{
		"is not an absolute path": {Dir: "agent"},
		"everybody":               {Dir: "/nowhere/x", Mode: 0o644},
		"together":                {Dir: "/nowhere/x", Paths: Paths{Cert: "/nowhere/a"}},
		"already paths.cert":      {Dir: "/nowhere/x", Paths: Paths{Cert: "/nowhere/a", Key: "/nowhere/./a"}},
		"/relative":               {Dir: "/nowhere/x", Paths: Paths{Cert: "a/relative", Key: "/nowhere/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(o)
			wantErr(t, err, name)
		})
	}
}

func TestLock(t *testing.T) {
	h := newFixture(t, false)
	text, err := json.Marshal(job{Options: h.opts, Verbs: []string{"hold"}})
	h.must(err)
	self, err := os.Executable()
	h.must(err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	in, err := cmd.StdinPipe()
	h.must(err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	h.must(err)
	h.must(cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatal(line, err)
	}
	_, err = Open(h.opts)
	if !errors.Is(err, ErrLocked) {
		t.Errorf("error %v is not ErrLocked", err)
	}
	wantErr(t, err, fmt.Sprintf("(process %d)", cmd.Process.Pid), fmt.Sprintf("systemctl status %d", cmd.Process.Pid), h.opts.Dir)
	h.must(cmd.Process.Kill())
	_ = cmd.Wait() // killed
	h.open()       // the lock went with the process
	_, err = Open(h.opts)
	wantErr(t, err, fmt.Sprintf("(process %d)", os.Getpid()))
}

// A command that root runs beside the service leaves nothing behind that the
// service's user could not remove.
func TestRootWorksForTheOwner(t *testing.T) {
	needsRoot(t, "cannot make a directory of another user")
	h := newFixture(t, false)
	h.wide()
	h.must(os.Mkdir(h.opts.Dir, 0o750))
	h.must(os.Chown(h.opts.Dir, nobody, nobody))
	h.opts.Keep = 0
	h.open()
	h.put(issue(t))
	h.store.Close()
	for _, path := range tree(t, h.opts.Dir) {
		fi, err := os.Lstat(path)
		h.must(err)
		if uid := fi.Sys().(*syscall.Stat_t).Uid; uid != nobody && fi.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s belongs to %d", path, uid)
		}
	}
	next := issue(t)
	as(t, func() error {
		s, err := Open(h.opts)
		if err != nil {
			return err
		}
		defer s.Close()
		g, err := s.Put(next, Origin{})
		if err != nil {
			return err
		}
		if err := s.Switch(g.ID); err != nil {
			return err
		}
		return s.Prune()
	})
	st, err := Read(h.opts)
	h.must(err)
	if len(st.All) != 1 || st.Current.ID != 2 {
		t.Errorf("%+v", st)
	}
}

func TestGroupThatIsNotOurs(t *testing.T) {
	needsRoot(t, "what groups the test's user is in is not known")
	h := newFixture(t, false)
	h.wide()
	h.must(os.Chown(h.root, nobody, nobody))
	h.opts.GID = 0
	h.wantOpen(t, "permit", "let the agent's user (uid 65534)")
}

// The key of a redis that was set up by hand is often for redis alone.
func TestForeignKeyThatCannotBeRead(t *testing.T) {
	needsRoot(t, "cannot make a file of another user")
	h := newFixture(t, true)
	h.wide()
	p := issue(t)
	lay(t, h.files(), p)
	h.must(os.Chmod(filepath.Dir(h.opts.Paths.Key), 0o777))
	h.must(os.Chmod(h.opts.Paths.Cert, 0o644))
	h.must(os.Chmod(h.opts.Paths.CA, 0o644))
	h.must(os.Chown(h.root, nobody, nobody))
	as(t, func() error {
		s, err := Open(h.opts)
		if err != nil {
			return err
		}
		defer s.Close()
		st, err := s.Load()
		if err != nil {
			return err
		}
		wantErr(t, st.Foreign.Err, h.opts.Paths.Key, "permission denied", "let the agent's user")
		g, err := s.Put(p, Origin{})
		if err != nil {
			return err
		}
		if err := s.Switch(g.ID); err != nil {
			return err
		}
		wantErr(t, relink(s), h.opts.Paths.Key, "no copy of it could be kept")
		return nil
	})
	if got := h.parse(h.files()); got.Fingerprint() != p.Fingerprint() {
		t.Error("the plain files changed")
	}
}

// A directory that the unit hides is named as the cause, and neither owner nor mode.
func TestHiddenDirectory(t *testing.T) {
	h := newFixture(t, true)
	h.wide()
	lay(t, h.files(), issue(t))
	hidden := filepath.Dir(h.opts.Paths.Cert)
	h.must(os.Chmod(hidden, 0)) // as systemd's own /run/systemd/inaccessible/dir
	t.Cleanup(func() { os.Chmod(hidden, 0o755) })
	if os.Geteuid() == 0 {
		h.must(os.Chown(h.root, nobody, nobody))
	}
	as(t, func() error {
		s, err := Open(h.opts)
		if err != nil {
			return err
		}
		defer s.Close()
		st, err := s.Load()
		if err != nil || st.Foreign == nil {
			return errors.Join(err, errors.New("nothing is told of the files"))
		}
		wantErr(t, st.Foreign.Err, h.opts.Paths.Cert, "permission denied", "the unit hides "+hidden+" from the agent (InaccessiblePaths=)", "/usr/share/doc/redis-cert-agent/examples")
		if strings.Contains(st.Foreign.Err.Error(), "ReadWritePaths") {
			t.Errorf("it names another cause as well: %v", st.Foreign.Err)
		}
		return nil
	})
}

func TestPlainDirectoryThatCannotBeWritten(t *testing.T) {
	h := newFixture(t, true)
	h.wide()
	p := issue(t)
	lay(t, h.files(), p)
	for _, f := range []string{h.opts.Paths.Cert, h.opts.Paths.Key, h.opts.Paths.CA} {
		h.must(os.Chmod(f, 0o644))
	}
	dir := filepath.Dir(h.opts.Paths.Cert)
	h.must(os.Chmod(dir, 0o555))
	t.Cleanup(func() { os.Chmod(dir, 0o755) })
	if os.Geteuid() == 0 {
		h.must(os.Chown(h.root, nobody, nobody))
	}
	as(t, func() error {
		s, err := Open(h.opts)
		if err != nil {
			return err
		}
		defer s.Close()
		st, err := s.Load()
		if err != nil {
			return err
		}
		_, err = s.Adopt(st.Foreign, Origin{})
		wantErr(t, err, "adopt", h.opts.Paths.Cert, "permission denied", "ReadWritePaths")
		if st, err = s.Load(); err == nil && (st.Current != nil || len(st.All) > 0) {
			err = errors.New("something was adopted")
		}
		return err
	})
}
