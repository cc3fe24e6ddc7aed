package pair

import (
	"os"
	"slices"
	"strings"
	"testing"

	"redis-cert-agent/agent/cert"
)

func (h *fixture) wantKnown(when string, leaves ...cert.Fingerprint) {
	h.t.Helper()
	got := h.load().Known
	same := len(got) == len(leaves)
	for _, leaf := range leaves {
		same = same && slices.Contains(got, leaf)
	}
	if !same {
		h.t.Errorf("%s known are\n%v, want\n%v", when, got, leaves)
	}
}

// reopen begins another process.
func (h *fixture) reopen() {
	h.must(h.store.Close())
	h.open()
}

// A server is recognised by the last leaves only, and by the current one.
func TestKnownLeavesAreFew(t *testing.T) {
	h := newFixture(t, false)
	h.opts.Keep = 20
	h.open()
	var all []cert.Fingerprint
	for range 9 {
		all = append(all, h.put(issue(t)).Leaf)
	}
	h.must(h.store.Switch(2)) // a roll-back
	want := append(all[1:2:2], all[9-mostSeen:]...)
	h.wantKnown("after a roll-back", want...)
	h.must(h.store.Remember())
	h.reopen()
	h.wantKnown("after another start", want...)
}

// A server that hung while its pair was replaced is recognised when the pair is gone.
func TestKnownLeavesOutliveTheirPairs(t *testing.T) {
	h := newFixture(t, false)
	h.opts.Keep = 0
	h.open()
	first, second := h.put(issue(t)).Leaf, h.put(issue(t)).Leaf
	h.must(h.store.Prune())
	if n := len(h.load().All); n != 1 {
		t.Fatalf("%d pairs are on disk", n)
	}
	h.must(h.store.Remember())
	written, err := os.Stat(h.store.seenPath())
	h.must(err)
	if written.Mode() != 0o600 {
		t.Errorf("mode %v", written.Mode())
	}
	h.must(h.store.Remember())
	if again, err := os.Stat(h.store.seenPath()); err != nil || !os.SameFile(written, again) {
		t.Errorf("written although nothing is new: %v", err)
	}
	h.reopen()
	h.wantKnown("when the pair is replaced and removed", first, second)

	third := h.put(issue(t))
	h.load()
	h.must(h.store.Remember())
	h.must(os.RemoveAll(h.store.generation(third.ID))) // the current one
	h.reopen()
	h.wantKnown("when somebody removed the current pair", first, second, third.Leaf)
	if state, err := Read(h.opts); err != nil || len(state.Known) != 3 {
		t.Errorf("who only looks knows %v, %v", state.Known, err)
	}
}

// Where nothing was written down, or what was is of no use, the pairs on disk tell.
func TestKnownLeavesOfThePairsOnDisk(t *testing.T) {
	h := newFixture(t, false)
	h.opts.Keep = 20
	h.open()
	var all []cert.Fingerprint
	for range 6 {
		all = append(all, h.put(issue(t)).Leaf)
	}
	last := all[6-mostSeen:]
	h.reopen()
	h.wantKnown("without a file", last...)
	h.must(h.store.Close())
	write(t, h.store.seenPath(), []byte("zz\n"+all[3].String()+"00\n\n"+strings.ToUpper(all[4].String())))
	h.open()
	h.wantKnown("of a spoilt file", last...)
}

// A pair that stays because a server shows it takes no later one's place, at no start.
func TestKnownLeavesKeepTheirOrder(t *testing.T) {
	h := newFixture(t, false)
	h.opts.Keep = 0
	h.open()
	shown := h.put(issue(t))
	var later []cert.Fingerprint
	for range mostSeen {
		later = append(later, h.put(issue(t)).Leaf)
		h.load()
		h.must(h.store.Prune(shown.ID))
		h.must(h.store.Remember())
	}
	for range 3 {
		h.wantKnown("beside one that stays", append(later, shown.Leaf)...)
		h.reopen()
	}
	h.must(h.store.Prune())
	h.wantKnown("when it has gone", later...)
}
