package pair

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// The CA certificates are for everybody on the host, also for a user who may not list
// the directory; the key beside them stays closed.
func TestShare(t *testing.T) {
	needsRoot(t, "cannot be another user")
	h := newFixture(t, false)
	if err := os.Chmod(filepath.Dir(h.opts.Dir), 0o755); err != nil {
		t.Fatal(err)
	}
	s := h.open()
	h.must(s.Share()) // nothing is current
	p := issue(t)
	h.put(p)
	h.must(s.Share())
	shared := h.opts.SharedCA()
	if got, err := asNobody("cat", shared); err != nil || got != string(p.CAPEM()) {
		t.Errorf("nobody reads %q, %v", got, err)
	}
	for _, closed := range []string{h.opts.Dir, filepath.Join(h.opts.Dir, "current"), filepath.Join(h.opts.Dir, "current", "redis.key")} {
		if got, err := asNobody("ls", closed+"/"); err == nil {
			t.Errorf("nobody lists %s: %s", closed, got)
		}
	}
	if got, err := asNobody("cat", filepath.Join(h.opts.Dir, "current", "redis.key")); err == nil {
		t.Errorf("nobody reads the key: %d bytes", len(got))
	}

	// What somebody did to the copy is mended with the next change, or the next start.
	h.must(os.WriteFile(shared, []byte("changed"), 0o644))
	h.put(reissue(t, p))
	h.must(s.Share())
	if got, err := os.ReadFile(shared); err != nil || string(got) != string(p.CAPEM()) {
		t.Errorf("%q, %v", got, err)
	}
	before, err := os.Stat(shared)
	h.must(err)
	h.put(reissue(t, p))
	h.must(s.Share())
	if after, err := os.Stat(shared); err != nil || !os.SameFile(before, after) {
		t.Errorf("the same text was written again (%v)", err)
	}
}

func asNobody(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	return string(out), err
}
