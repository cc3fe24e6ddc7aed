package status

import (
	"fmt"
	"strings"
	"time"

	"redis-cert-agent/agent/plain"
)

// A Root is a root in ca.crt that an authority names, or has named.
type Root struct {
	Name        string    `json:"name"`
	Fingerprint string    `json:"fingerprint"` // SHA-256, hex
	NotAfter    time.Time `json:"not_after"`
	NamedBy     []string  `json:"named_by,omitempty"` // who names it now
	Loaded      bool      `json:"loaded"`             // every server that can load files has loaded it
	Leaves      time.Time `json:"leaves,omitzero"`    // when it leaves, if nobody names or needs it until then
}

// writeRoots writes the roots while an authority moves from one to another: a single one
// is among what is watched.
func (s Status) writeRoots(p *plain.Page) {
	if len(s.Roots) < 2 {
		return
	}
	label := "roots"
	for _, r := range s.Roots {
		state := []string{"named by " + strings.Join(r.NamedBy, ", ")}
		switch {
		case !r.Leaves.IsZero():
			state = []string{fmt.Sprintf("no longer named, leaves at %s unless it is needed", plain.Stamp(r.Leaves))}
		case len(r.NamedBy) == 0:
			state = []string{"no longer named, and still needed"}
		}
		if !r.Loaded {
			state = append(state, p.Paint("not loaded by every server yet", plain.Yellow))
		}
		p.Row(label, fmt.Sprintf("%s  %s…  %s", r.Name, r.Fingerprint[:min(16, len(r.Fingerprint))], strings.Join(state, ", ")))
		label = ""
	}
}
