package pair

import (
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"redis-cert-agent/agent/cert"
)

var (
	// ErrLocked says that another process looks after the directory.
	ErrLocked = errors.New("another redis-cert-agent looks after this directory")
	// ErrChanged says that another program changed the files since they were
	// read. Nothing was done; the remedy is to load again.
	ErrChanged = errors.New("the files changed since they were read: look again")
)

const (
	// Adopted is the Method of a pair that another program made.
	Adopted = "adopted"
	// Kept is that of one which was not taken in: it is on its way to Dir/found, and never
	// the one to load.
	Kept = "kept"
)

// An Origin says who made a generation and when.
type Origin struct {
	Issuer string    // the CA's name or URL
	Method string    // sign, rekey, renew, renew-token, acme, Adopted or Kept
	Names  []string  // the names that were asked for; nil when another program made it
	Roots  []string  // fingerprints of the roots that the CA named, which are in the pair's CA
	Pin    string    // the fingerprint of the root that the configuration wanted the CA to have; may be empty
	Time   time.Time // when the agent got it

	First    bool      // there was no pair before it
	Replaced time.Time // when the pair before it was due; zero when that is not known
}

// Adopted says whether another program made the generation.
func (o Origin) Adopted() bool { return o.Method == Adopted }

// Kept says whether another program made the generation, and the agent did not take it in.
func (o Origin) Kept() bool { return o.Method == Kept }

// A Generation is one pair on disk.
type Generation struct {
	ID     int
	Pair   *cert.Pair       // nil when Err is not
	Origin Origin           // zero when origin.json cannot be read
	Leaf   cert.Fingerprint // of the leaf it was made with, also when its files were damaged since; zero when origin.json cannot be read
	Err    error            // why it is no candidate: unreadable, mismatched, or changed since it was made

	// Of an External, where ID is 0; KeyErr also where somebody only looks.
	KeyErr error     // why the key could not be read, and what to do; Pair.Key is nil then
	Unread []string  // of a pair of another program: which certificates this program cannot judge, and why
	Since  time.Time // when they were first seen as they are now

	dir    string
	text   texts    // the files' content
	errs   [3]error // what is wrong with each file
	record []byte   // the content of origin.json
	stamps generationStamp
	rested bool // the files were at rest when they were read: they hold this while they have these stamps
}

// Sound says whether the generation is whole and the agent's own, or one that it took in.
func (g *Generation) Sound() bool { return g.Err == nil && !g.Origin.Kept() }

// State is what is on disk.
type State struct {
	Current  *Generation         // what `current` leads to; nil when there is none
	All      []*Generation       // ascending by ID; Current is one of them
	Known    []cert.Fingerprint  // fingerprints of the leaves that are here or were lately: a server may still serve one
	Distrust Distrust            // what is not trusted any more; it is shared, and not to be changed
	Foreign  *Foreign            // a pair put there by another program and not adopted; nil when there is none
	Unlinked []string            // plain paths that do not lead through `current`: Link is due
	CA       []*x509.Certificate // what tls-ca-cert-file holds now, whoever put it there; nil when nothing or unreadable
}

// Foreign is what redis would read at its next reload, when that is not the
// current generation as the agent made it.
type Foreign struct {
	Pair  *cert.Pair // nil when Err is not
	Err   error      // names the file and the fault: mismatch, truncated, encrypted key
	Files []string   // the files that differ from the current generation
}

// Same says whether redis reads the same in two looks at a pair of the agent's own that
// is in order, and none is newer. Old pairs may have gone.
func (s State) Same(o State) bool {
	return s.Current != nil && s.Current == o.Current && s.newest() == o.newest() && s.Foreign == nil && o.Foreign == nil &&
		slices.Equal(s.Unlinked, o.Unlinked) && digest(s.CA) == digest(o.CA)
}

func (s State) newest() *Generation {
	if len(s.All) == 0 {
		return nil
	}
	return s.All[len(s.All)-1]
}

// The three files of a generation, and of Paths.
type role int

const (
	certRole role = iota
	keyRole
	caRole
)

var fileNames = [...]string{certRole: "redis.crt", keyRole: "redis.key", caRole: "ca.crt"}

// texts is the PEM text of each file; nil when there is no such file.
type texts [3][]byte

// Equal says whether redis would make the same of both: they hold the same chain
// and the same CA certificates.
func (g *Generation) Equal(o *Generation) bool {
	return g == o || g.Pair != nil && o.Pair != nil && equal(g.Pair, o.Pair)
}
