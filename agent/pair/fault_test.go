package pair

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"redis-cert-agent/agent/disk"
)

// TestFaults lets each system call that changes the disk fail once, as it does
// on a full or a dying disk. The agent says so in one line, redis still reads a
// matching pair, nothing temporary is left, and the next attempt succeeds.
func TestFaults(t *testing.T) {
	for _, sc := range scenarios {
		if !slices.Contains([]string{"rotate", "adopt plain files", "rotate half replaced"}, sc.name) {
			continue
		}
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			a, b := sc.pairs(t)
			fresh := issue(t)
			_, j := sc.build(t, a, b, fresh)
			j.Verbs = slices.DeleteFunc(slices.Clone(j.Verbs), func(v string) bool { return v == "prune" })
			log := filepath.Join(t.TempDir(), "strace")
			started := map[string]bool{}
			for _, c := range slices.DeleteFunc(calls(t, j, afterOpen(j)), call.cannotFail) {
				h, full := sc.build(t, a, b, fresh)
				full.Verbs = j.Verbs
				kind := "ENOSPC"
				if c.name == "fsync" {
					kind = "EIO"
				}
				out, _, err := straced(t, full, log, c.inject("error="+kind)...)
				where := kind + " at " + c.text
				h.checkDisk(where, false, started)
				h.noLeftovers()
				if err == nil {
					t.Fatalf("%s: no error", where)
				}
				if strings.Contains(out, "\n") || kind == "ENOSPC" && !strings.Contains(out, "free some space") {
					t.Errorf("%s: %s", where, out)
				}
				if sc.name == "rotate" && h.parse(h.files()).Fingerprint() != a.Fingerprint() {
					t.Errorf("%s: an error, and the pair is another: %s", where, out)
				}
				h.recovers(where, sc, fresh)
			}
		})
	}
}

// cannotFail says that the call does not fail on a full disk, or may.
func (c call) cannotFail() bool {
	return c.reads() || c.name == "flock" || c.name == "unlinkat" || strings.HasSuffix(c.name, "chmod") ||
		strings.Contains(c.text, "/lock>") || strings.Contains(c.text, "/lock\"") ||
		// A plain path: the file whose rename was not synced is already the link.
		c.name == "fsync" && strings.Contains(c.text, "/tls>")
}

var quoted = regexp.MustCompile(`"([^"]*)"|\d<([^>]*)>`)

// TestSyncs holds the order of the system calls against what fsync(2) and
// rename(2) promise, because a kill does not show what a power loss would.
func TestSyncs(t *testing.T) {
	for _, sc := range scenarios {
		if sc.name == "rotate" {
			sc.verbs = []string{"put"}
		}
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			a, b := sc.pairs(t)
			_, j := sc.build(t, a, b, issue(t))
			checkSyncs(t, calls(t, j, afterOpen(j)))
		})
	}
}

// checkSyncs fails unless a file is synced after its last change and before a
// rename makes it reachable, the directory of a rename is synced before the next
// one, and that of a new directory before anything is made in the new one.
func checkSyncs(t *testing.T, work []call) {
	t.Helper()
	dirty := map[string]string{} // what is not on disk, and the call that changed it
	fresh := map[string]string{} // directories whose name is not on disk, likewise
	renames := 0
	for _, c := range work {
		paths := c.paths()
		if len(paths) == 0 || strings.HasSuffix(paths[0], "/lock") || strings.Contains(c.text, "= -1 ") {
			continue
		}
		name := paths[len(paths)-1] // that the call makes, if it makes one
		dir := filepath.Dir(name)
		switch {
		case c.name == "fsync":
			delete(dirty, paths[0])
			maps.DeleteFunc(fresh, func(path, _ string) bool { return filepath.Dir(path) == paths[0] })
			continue
		case strings.HasPrefix(c.name, "rename"):
			renames++
			unsynced(t, c, dirty, paths[0])
			dirty[dir] = c.text
			fresh[name] = c.text
		case strings.HasPrefix(c.name, "mkdir"):
			dirty[dir] = c.text
			fresh[name] = c.text
		case c.name == "openat" && !c.reads():
			dirty[name] = c.text
			dirty[dir] = c.text
		case c.name == "write", strings.HasPrefix(c.name, "fchmod"), strings.HasPrefix(c.name, "fchown"):
			dirty[paths[0]] = c.text
			continue
		default:
			continue
		}
		if why, ok := fresh[dir]; ok && !strings.HasPrefix(filepath.Base(dir), disk.TemporaryPrefix) {
			t.Errorf("%s is made in a directory that is not on disk since %s", c.text, why)
		}
	}
	for path, why := range dirty {
		t.Errorf("%s is never synced after %s", path, why)
	}
	if renames == 0 {
		t.Error("no rename seen")
	}
}

// paths returns the absolute paths in the text of a call.
func (c call) paths() (paths []string) {
	for _, m := range quoted.FindAllStringSubmatch(c.text, -1) {
		if path := m[1] + m[2]; strings.HasPrefix(path, "/") {
			paths = append(paths, path)
		}
	}
	return paths
}

// unsynced fails when anything that the rename c makes reachable, or that it
// builds on, is not on disk. old is what it renames.
func unsynced(t *testing.T, c call, dirty map[string]string, old string) {
	t.Helper()
	for path, why := range dirty {
		if path == filepath.Dir(old) && !strings.Contains(why, "rename") {
			continue // the temporary name, which need not last
		}
		t.Errorf("%s is not synced before %s; it was changed by %s", path, c.text, why)
	}
}
