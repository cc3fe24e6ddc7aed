package pair

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"redis-cert-agent/agent/cert"
)

// TestFirstStart kills the agent at each system call of its first start, which
// makes its directory and two above it. The next start goes on, and redis can
// then enter every directory.
func TestFirstStart(t *testing.T) {
	fresh := issue(t)
	h, j := unmade(t, fresh)
	work := calls(t, j, h.root)
	checkSyncs(t, work)
	log := filepath.Join(t.TempDir(), "strace")
	for i, c := range slices.DeleteFunc(work, call.reads) {
		h, j := unmade(t, fresh)
		out, killed, err := straced(t, j, log, c.inject("signal=KILL")...)
		where := fmt.Sprintf("call %d (%s)", i+1, lastCall(t, log))
		if !killed || !strings.Contains(where, " "+c.name+"(") {
			t.Fatalf("killed %v at %s, wanted at %s: %v: %s", killed, where, c.text, err, out)
		}
		h.open()
		h.put(fresh)
		h.wantLinked(fresh)
		for dir := h.store.generation(1); dir != h.root; dir = filepath.Dir(dir) {
			fi, err := os.Stat(dir)
			h.must(err)
			if fi.Mode().Perm()&0o050 != 0o050 {
				t.Fatalf("killed at %s: %s has mode %v", where, dir, fi.Mode())
			}
		}
	}
}

// unmade makes a fixture of which only the root is there, and the job of a first
// start.
func unmade(t *testing.T, p *cert.Pair) (*fixture, job) {
	t.Helper()
	h := newFixture(t, false)
	h.opts.Dir = filepath.Join(h.root, "var", "lib", "agent")
	return h, job{Options: h.opts, Verbs: []string{"put"}, New: texts{p.CertPEM(), keyPEM(t, p), p.CAPEM()}}
}
