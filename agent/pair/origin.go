package pair

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"redis-cert-agent/agent/cert"
)

// recordName is the file of a generation with its record.
const recordName = "origin.json"

// record is the origin of a generation, and digests by which a change that
// another program makes in place is recognised.
type record struct {
	Issuer string    `json:"issuer"`
	Method string    `json:"method"`
	Names  []string  `json:"names,omitempty"`
	Roots  []string  `json:"roots,omitempty"`
	Pin    string    `json:"pin,omitempty"`
	Time   time.Time `json:"time"`

	First    bool      `json:"first,omitempty"`
	Replaced time.Time `json:"replaced_due,omitzero"`

	Leaf  string `json:"leaf_sha256"`         // of the leaf's DER
	Chain string `json:"chain_sha256"`        // of the chain's certificates, DER, in order
	CA    string `json:"ca_sha256,omitempty"` // of the CA certificates likewise; absent when there are none
}

func newRecord(p *cert.Pair, o Origin) record {
	return record{
		Issuer: o.Issuer, Method: o.Method, Names: o.Names, Roots: o.Roots, Pin: o.Pin, Time: o.Time.UTC(), First: o.First, Replaced: o.Replaced.UTC(),
		Leaf: p.Fingerprint().String(), Chain: digest(p.Chain), CA: digest(p.CA),
	}
}

// parseRecord reads origin.json. Fields that it does not know are passed over:
// an older agent may have to read what a newer one wrote.
func parseRecord(text []byte) (record, error) {
	var r record
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&r); err != nil {
		return record{}, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return record{}, errors.New("text after the JSON object")
	}
	for name, sum := range map[string]string{"leaf_sha256": r.Leaf, "chain_sha256": r.Chain, "ca_sha256": r.CA} {
		if sum == "" && name == "ca_sha256" {
			continue
		}
		if _, err := parseDigest(sum); err != nil {
			return record{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return r, nil
}

func (r record) origin() Origin {
	return Origin{Issuer: r.Issuer, Method: r.Method, Names: r.Names, Roots: r.Roots, Pin: r.Pin, Time: r.Time, First: r.First, Replaced: r.Replaced}
}

// leaf returns the fingerprint that parseRecord has checked.
func (r record) leaf() cert.Fingerprint {
	leaf, _ := parseDigest(r.Leaf)
	return leaf
}

func parseDigest(text string) (sum [sha256.Size]byte, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(sum) {
		return sum, errors.New("not a SHA-256 in hex")
	}
	return [sha256.Size]byte(raw), nil
}

func (r record) encode() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	return append(text, '\n'), err
}

// digest returns the SHA-256 of the certificates' DER in hex, "" for none. DER
// is self-delimiting, so no two lists share a text.
func digest(certs []*x509.Certificate) string {
	if len(certs) == 0 {
		return ""
	}
	h := sha256.New()
	for _, c := range certs {
		h.Write(c.Raw)
	}
	return hex.EncodeToString(h.Sum(nil))
}
