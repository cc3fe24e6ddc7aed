package pair

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
)

// leaves are the fingerprints of the leaves that were here last, the latest last. A
// server that still shows one of them is known by it, whatever the clock says, also
// when the pair is on disk no more: it hung while that was replaced and removed, or
// somebody deleted it.
type leaves struct {
	list  []cert.Fingerprint
	saved int // how many of list are on disk, counted from the first
}

// mostSeen bounds what is remembered: the leaf that is there and the three before it. A
// server that missed more renewals has another way to be recognised, and whoever got hold
// of an older key has none.
const mostSeen = 4

// note remembers a leaf, until save only for this process.
func (l *leaves) note(leaf cert.Fingerprint) {
	if leaf == (cert.Fingerprint{}) || slices.Contains(l.list, leaf) {
		return
	}
	l.list = append(l.list, leaf)
	if over := len(l.list) - mostSeen; over > 0 {
		l.list = slices.Delete(l.list, 0, over)
		l.saved = max(0, l.saved-over)
	}
}

// noteNew remembers those of all, in the order in which they came, that are later than
// the last one that is remembered. An older pair may outlast what came after it.
func (l *leaves) noteNew(all []cert.Fingerprint) {
	first := 0
	for i, leaf := range all {
		if slices.Contains(l.list, leaf) {
			first = i + 1
		}
	}
	for _, leaf := range all[first:] {
		l.note(leaf)
	}
}

// save writes the list to path. It does nothing when all of it is there.
func (l *leaves) save(path string) error {
	if l.saved == len(l.list) {
		return nil
	}
	var text bytes.Buffer
	for _, leaf := range l.list {
		fmt.Fprintln(&text, leaf)
	}
	if err := disk.Replace(path, text.Bytes()); err != nil {
		return explain("remember which certificates were there", err)
	}
	l.saved = len(l.list)
	return nil
}

// recall reads what an earlier process saved. What cannot be read is as good as nothing.
func (l *leaves) recall(path string) {
	text, _ := readFile(path)
	for line := range strings.Lines(string(text)) {
		if leaf, err := parseDigest(strings.TrimSpace(line)); err == nil {
			l.note(leaf)
		}
	}
	l.saved = len(l.list)
}
