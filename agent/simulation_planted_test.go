package agent

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var simulatePlanted = flag.Bool("planted", false, "run TestSimulation on each planted fault, which takes some minutes; else only see that they can be planted")

// plantedFaults are faults that were in the agent, or could be, and what the simulation
// says of each.
var plantedFaults = []struct {
	name, file, old, new string
	only                 string // the faults that can show it
	finds                string
}{
	{"a server that took what it cannot use is left with it", "rollback.go",
		"		a.undo(ctx, seen, of.servers, attempts)\n", "",
		"another pair",
		"it was not taken back"},
	{"a refused pair stays current", "rollback.go",
		"	if back {\n		target = old\n	}\n", "",
		"server refuses|restart",
		"a restart would load it"},
	{"a failure to put a certificate on disk forgets it", "issue.go",
		"	if err != nil {\n		a.newest.unsaved = c\n	} else if seen.newest", "	if err == nil && seen.newest",
		"disk is full",
		"that nobody needs"},
	{"Retry-After reaches beyond the end", "plan/retry.go",
		"min(a.turnedAway(p, left), left/4)", "a.turnedAway(p, left)",
		"Retry-After",
		"was not renewed"},
	{"renewals are refused, and no fresh certificate is asked for", "issue.go",
		"	r.Fresh = r.Fresh || a.newest.issuing.Failed%4 == 3\n", "",
		"refuse renewals",
		"was not renewed"},
	{"a pair that was put aside becomes the newest one", "pair/link.go",
		"Method: Kept", "Method: Adopted",
		"bad pair|renewals|disk takes",
		"that nobody needs"},
	{"a server that was away while its pair was removed is a stranger", "pair/load.go",
		"known := slices.Clone(s.seen.list)", "var known []cert.Fingerprint",
		"while the pair is replaced",
		"does not show what is on disk"},
	{"all servers get the pair of one back", "rollback.go",
		"g.Sound() && leaf != nil && g.Pair.Leaf().Equal(leaf) {\n				id = g.ID\n", "g.Sound() && leaf != nil && g.Pair.Leaf().Equal(leaf) {\n				id = other\n",
		"another pair|refuses|other names",
		"it was not taken back"},
}

// TestPlantedFaults plants each fault, without a change of the files of the project
// (go help build: -overlay), and sees that the simulation finds it, which has only those
// faults that can show it, and so needs a hundredth of the days:
//
//	make simulate-faults
//
// In `make test` it only sees that each can still be planted.
func TestPlantedFaults(t *testing.T) {
	for _, f := range plantedFaults {
		t.Run(f.name, func(t *testing.T) {
			path, err := filepath.Abs(filepath.FromSlash(f.file))
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), f.old); n != 1 {
				t.Fatalf("%s has the text to change %d times: %s", f.file, n, f.old)
			}
			if *simulatePlanted {
				simulateWith(t, path, strings.Replace(string(text), f.old, f.new, 1), f.only, f.finds)
			}
		})
	}
}

// simulateWith runs the simulation with another text of one file, and wants it to fail
// and say what it finds.
func simulateWith(t *testing.T, path, text, only, finds string) {
	changed, overlay := filepath.Join(t.TempDir(), filepath.Base(path)), filepath.Join(t.TempDir(), "overlay.json")
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{changed: []byte(text), overlay: list} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-count=1", "-timeout", "20m", "-v", "-run", "^TestSimulation$", ".", "-seed", "1", "-days", "20000", "-only", only)
	out, err := cmd.CombinedOutput()
	said := string(out)
	for line := range strings.Lines(said) {
		if strings.Contains(line, "_test.go:") && strings.Contains(line, finds) || strings.Contains(line, "agent-days of") {
			t.Log(strings.TrimSpace(line))
			if strings.Contains(line, finds) {
				return
			}
		}
	}
	t.Errorf("it was not found (%v):\n%s", err, said[max(0, len(said)-3000):])
}
