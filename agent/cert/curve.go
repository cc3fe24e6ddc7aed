package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
)

// Object identifiers as they are written (RFC 5480, section 2.1.1).
var (
	ecPublicKey = []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1}
	offered     = [][]byte{
		{0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}, // P-256
		{0x2b, 0x81, 4, 0, 34},                  // P-384
		{0x2b, 0x81, 4, 0, 35},                  // P-521
	}
)

// otherCurve returns the curve of c's key where clients do not offer it unless they are
// told to, so that every handshake fails although redis loads the pair; else nothing.
func otherCurve(c *x509.Certificate) string {
	spki, _ := element(c.RawSubjectPublicKeyInfo)
	algorithm, _ := element(spki.body)
	kind, rest := element(algorithm.body)
	curve, _ := element(rest)
	if !bytes.Equal(kind.body, ecPublicKey) || curve.tag != asn1.TagOID {
		return ""
	}
	for _, have := range offered {
		if bytes.Equal(curve.body, have) {
			return ""
		}
	}
	var id asn1.ObjectIdentifier
	_, _ = asn1.Unmarshal(curve.raw, &id) // it is one, or has no name
	names := map[string]string{
		"1.3.132.0.33": "P-224", "1.3.132.0.10": "secp256k1", "1.3.36.3.3.2.8.1.1.7": "brainpoolP256r1",
		"1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1", "1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
	}
	if name := names[id.String()]; name != "" {
		return name
	}
	return id.String()
}

// curve finds a leaf with a kind of key, mostly a curve, that clients do not offer.
func (j *judgement) curve() {
	kind := "is DSA"
	if j.leaf.PublicKeyAlgorithm != x509.DSA {
		name := otherCurve(j.leaf)
		if name == "" {
			return
		}
		kind = "is on the curve " + name
	}
	j.goErr = fmt.Errorf("crypto/tls does not offer it: the key %s", kind)
	j.find(Finding{CodeCurve, everybody, j.leaf, fmt.Sprintf("its key %s, which clients do not offer unless they are told to: no handshake succeeds", kind),
		"have it issued for a key of ec-p256"})
}
