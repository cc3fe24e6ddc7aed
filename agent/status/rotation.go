package status

import (
	"time"
)

// A Rotation is the replacement of keys that may be in other hands, which a person asked
// for: how far it is, or what came of it.
type Rotation struct {
	Pair  string    `json:"pair,omitempty"` // of which client's pair; empty: of the servers'
	Since time.Time `json:"since"`          // when somebody asked

	Serial   string    `json:"serial,omitempty"` // of the pair with the new key; missing while there is none
	NotAfter time.Time `json:"not_after,omitzero"`

	Done      bool     `json:"done"`
	Waiting   string   `json:"waiting,omitempty"` // what is not done, and what to do about it
	InUse     bool     `json:"old_in_use"`        // a server shows an old certificate, or could not be looked at
	Revoked   []string `json:"revoked,omitempty"` // serial numbers of old certificates
	ToRevoke  []string `json:"to_revoke,omitempty"`
	Kept      []string `json:"not_revoked,omitempty"` // those that the agent does not revoke, and why
	Destroyed int      `json:"keys_destroyed"`
}

func (r *Rotation) problem(all *problems) {
	if r == nil || r.Done {
		return
	}
	severity := Warning
	if r.InUse {
		severity = Critical
	}
	all.add(KeyGivenUp, "", severity, "the keys that were given up are not all out of use", r.Waiting)
}
