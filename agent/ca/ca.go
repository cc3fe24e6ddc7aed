// Package ca describes what a certificate authority is asked for, what it gives,
// and why it did not. The packages below it each speak to one kind of authority.
package ca

import (
	"crypto"
	"crypto/x509"
	"time"

	"redis-cert-agent/agent/cert"
)

// A Request describes the certificate that an authority is asked for.
type Request struct {
	Current  *cert.Pair   // the pair to renew; nil when there is none
	Names    []string     // DNS names and IP addresses that the certificate must carry
	KeyType  cert.KeyType // the type of a new key
	ReuseKey bool         // keep the key of Current when it is of KeyType
	NewKey   bool         // whatever ReuseKey says: nothing that keeps the key of Current will do
	Fresh    bool         // replace Current instead of renewing it, because its names or its key type no longer fit
	Now      time.Time    // decides whether Current has expired

	// Roots are those that this authority named before. With them its client
	// survives a rotation of the root that it was configured with.
	Roots []*x509.Certificate
	// Named are those that it named so lately that it need not be asked again; nil: it is
	// asked.
	Named []*x509.Certificate
}

// MakeKey returns the key for the certificate, and a certificate request in DER
// that it signed. The key is new, unless that of Current is to be kept.
func (r Request) MakeKey() (crypto.Signer, []byte, error) {
	var key crypto.Signer
	if r.ReuseKey && !r.NewKey && r.Current != nil && cert.KeyTypeOf(r.Current.Key.Public()) == r.KeyType {
		key = r.Current.Key
	} else {
		made, err := cert.GenerateKey(r.KeyType)
		if err != nil {
			return nil, nil, err
		}
		key = made
	}
	csr, err := cert.Request(key, r.Names)
	return key, csr, err
}

// Issued is the answer of an authority. Nobody has checked yet whether it is the
// certificate that was asked for.
type Issued struct {
	Chain  []*x509.Certificate // leaf first
	Key    crypto.Signer       // the private key of the request
	Roots  []*x509.Certificate // the roots that the authority wants clients to trust; may be empty
	Named  bool                // Roots are those of the request: the authority was not asked for them
	Issuer string              // the authority for people: "step-ca https://ca.internal:9000 (provisioner redis)"
	Method string              // how it was issued: sign, rekey, renew, renew-token or acme
	Ahead  time.Duration       // by how much this host's clock is ahead of the authority's, by the Date of its answer
}
