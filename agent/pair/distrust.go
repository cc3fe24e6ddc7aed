package pair

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
)

// A Distrust is what is written down of certificates whose keys may be in other hands:
// which they are, for good, and how far their replacement got. It stands in a file, so that
// a start after a crash goes on where the last process stopped.
type Distrust struct {
	Leaves   []Distrusted `json:"leaves"`
	Rotation *Rotation    `json:"rotation,omitempty"` // nil: none is under way
	Ended    time.Time    `json:"ended,omitzero"`     // when the last one did

	Fault string `json:"-"` // why the file cannot be read; what it held is not known then
}

// Distrusted is one such certificate.
type Distrusted struct {
	Leaf     string    `json:"leaf_sha256"`          // of its DER, in hex
	Key      string    `json:"key_sha256,omitempty"` // of its SubjectPublicKeyInfo; empty when the certificate was not on disk
	Serial   string    `json:"serial,omitempty"`
	NotAfter time.Time `json:"not_after,omitzero"`
	Since    time.Time `json:"since"`
	Revoke   bool      `json:"revoke,omitempty"` // its authority is still to revoke it
	Revoked  bool      `json:"revoked,omitempty"`
	Kept     string    `json:"not_revoked,omitempty"` // why it is not revoked, and will not be by the agent
}

// A Rotation is the replacement of keys that a person asked for.
type Rotation struct {
	Since   time.Time              `json:"since"`
	Reason  int                    `json:"reason"`                 // of RFC 5280, section 5.3.1
	Early   bool                   `json:"revoke_early,omitempty"` // it does not wait for every server
	Servers map[string]ServerStage `json:"servers"`                // by their addresses, those that were known when somebody asked
}

// A ServerStage is how far a server got.
type ServerStage string

// A server that was asked has had its one attempt: what shows the old certificate there
// from then on may be anybody.
const (
	ToAsk  ServerStage = "to-ask"
	Asked  ServerStage = "asked"
	Proven ServerStage = "proven"
)

// mostDistrusted bounds the list: a server shows none that is so old.
const mostDistrusted = 256

// Distrusts says whether c is distrusted: itself, or its key, with which somebody may have
// got another certificate.
func (d Distrust) Distrusts(c *x509.Certificate) bool {
	if len(d.Leaves) == 0 {
		return false
	}
	leaf, key := cert.FingerprintOf(c).String(), cert.KeyFingerprint(c.PublicKey)
	return slices.ContainsFunc(d.Leaves, func(o Distrusted) bool { return o.Leaf == leaf || o.Key != "" && o.Key == key })
}

// distrustsKey says whether a private key is that of a distrusted certificate.
func (d Distrust) distrustsKey(key crypto.Signer) bool {
	print := cert.KeyFingerprint(key.Public())
	return slices.ContainsFunc(d.Leaves, func(o Distrusted) bool { return o.Key != "" && o.Key == print })
}

// Add distrusts a certificate. What is in the list already stays as it is.
func (d *Distrust) Add(c Distrusted) {
	if slices.ContainsFunc(d.Leaves, func(o Distrusted) bool { return o.Leaf == c.Leaf }) {
		return
	}
	d.Leaves = append(d.Leaves, c)
	if over := len(d.Leaves) - mostDistrusted; over > 0 {
		d.Leaves = slices.Delete(d.Leaves, 0, over)
	}
}

// Clone returns a copy that shares nothing with d.
func (d Distrust) Clone() Distrust {
	d.Leaves = slices.Clone(d.Leaves)
	if d.Rotation != nil {
		r := *d.Rotation
		r.Servers = maps.Clone(r.Servers)
		d.Rotation = &r
	}
	return d
}

func (d *directory) distrustPath() string { return filepath.Join(d.dir, "distrusted.json") }

// recallDistrust reads what an earlier process wrote.
func (d *directory) recallDistrust() (found Distrust) {
	text, err := readFile(d.distrustPath())
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		found.Fault = fmt.Sprintf("%s: %v: what is distrusted is not known; put it back from a backup, or remove it and ask for another rotation", d.distrustPath(), err)
	}
	return found
}

// SetDistrust writes d down; it holds from then on, and is in the State of each later Load.
func (s *Store) SetDistrust(d Distrust) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d = d.Clone()
	d.Fault = ""
	text, err := json.MarshalIndent(d, "", "  ")
	if err == nil {
		err = disk.Replace(s.distrustPath(), append(text, '\n'))
	}
	if err != nil {
		return explain("write down what is distrusted", err)
	}
	s.distrust = d
	return nil
}
