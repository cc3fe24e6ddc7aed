// Package ca says what a certificate authority is asked for and what it gives.
// The packages below it each speak to one kind of authority.
package ca

import (
	"crypto"
	"crypto/x509"
	"time"

	"redis-cert-agent/agent/cert"
)

// A Request is a wish for a certificate.
type Request struct {
	Current  *cert.Pair   // the pair to renew; nil when there is none
	Names    []string     // DNS names and IP addresses that the certificate must carry
	KeyType  cert.KeyType // the type of a new key
	ReuseKey bool         // keep the key of Current when it is of KeyType
	Fresh    bool         // Current is not to be renewed but replaced: its names or its key type will not do
	Now      time.Time    // decides whether Current has expired

	// Roots are what this authority named as its roots before. They carry its
	// client over a rotation of the root that it was configured with.
	Roots []*x509.Certificate
}

// Issued is what a certificate authority gave, unchecked: the gate comes later.
type Issued struct {
	Chain  []*x509.Certificate // leaf first
	Key    crypto.Signer       // the private key that was asked for; New checks that it is the leaf's
	Roots  []*x509.Certificate // what the authority says that clients should trust; may be empty
	Issuer string              // who issued it, for people: "step-ca https://ca.internal:9000 (provisioner redis)"
	Method string              // how: sign, rekey, renew, renew-token
}
