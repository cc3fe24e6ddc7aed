package agent

import (
	"strings"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/status"
)

// toRevoke returns the pairs, by their numbers, whose keys or chains are needed to revoke
// them.
func (seen observation) toRevoke() (ids []int) {
	for _, c := range seen.disk.Distrust.Leaves {
		for _, g := range seen.disk.All {
			if c.Revoke && g.Leaf.String() == c.Leaf {
				ids = append(ids, g.ID)
			}
		}
	}
	return ids
}

// rotated describes how far a rotation is; nil when none is under way, and all that was
// written down can be read.
func (a *Agent) rotated(seen observation) *status.Rotation {
	d := seen.disk.Distrust
	if d.Rotation == nil {
		if d.Fault != "" {
			return &status.Rotation{Waiting: d.Fault}
		}
		return nil
	}
	r := &status.Rotation{Since: d.Rotation.Since}
	for _, c := range d.Leaves {
		switch {
		case c.Since.Before(d.Rotation.Since):
		case c.Revoke:
			r.ToRevoke = append(r.ToRevoke, c.Serial)
		case c.Revoked:
			r.Revoked = append(r.Revoked, c.Serial)
		case c.Kept != "":
			r.Kept = append(r.Kept, c.Serial+": "+c.Kept)
		}
	}
	r.Waiting, r.InUse = a.waitsFor(seen, r)
	if seen.replacing() {
		leaf := seen.newest.Pair.Leaf()
		r.Serial, r.NotAfter = cert.Serial(leaf), leaf.NotAfter
	}
	return r
}

// waitsFor says what keeps a rotation from its end, and whether an old key is in use until
// then.
func (a *Agent) waitsFor(seen observation, r *status.Rotation) (text string, inUse bool) {
	if !seen.replacing() {
		text = "there is no certificate with a new key yet"
		if failed := a.newest.issueFailed.Text; failed != "" {
			text += ": " + failed
		}
		return text, true
	}
	var waiting []string
	for i := range a.servers {
		if !a.proves(seen, i) {
			waiting = append(waiting, a.waitsForServer(seen, i))
		}
	}
	if a.opt.Missing != "" {
		waiting = append(waiting, a.opt.Missing)
	}
	if len(waiting) > 0 {
		text = strings.Join(waiting, "; ")
		if len(r.ToRevoke) > 0 && !seen.disk.Distrust.Rotation.Early {
			text += "; nothing is revoked before every server is proven (rotate --revoke-first does not wait)"
		}
		return text, true
	}
	if err := a.process.giving.err; err != nil {
		return err.Error(), false
	}
	return "the old certificates are to be revoked, and the old keys destroyed", false
}

func (a *Agent) waitsForServer(seen observation, i int) string {
	name, leaf, failed := a.opt.Servers[i].Name, a.servers[i].leaf(), a.newest.servers[i].err
	switch {
	case a.waitsForAnother(seen, i):
		return name + " waits until another server has proven the new pair"
	case failed != nil:
		return failed.Error()
	case a.servers[i].sentinel:
		return name + " is a Sentinel: restart its unit"
	case leaf != nil && seen.disk.Distrust.Distrusts(leaf):
		return name + " shows the old certificate: restart it, or run redis-cert-agent rotate again"
	case leaf == nil:
		return name + " is not reached: start it, and it loads the new pair, or take it out of the configuration"
	}
	return name + " is not proven yet"
}
