package ca

import (
	"context"
	"crypto/x509"
	"errors"

	"redis-cert-agent/agent/cert"
)

// A Revocation describes a certificate that an authority is to revoke.
type Revocation struct {
	Pair   *cert.Pair          // its chain, and its key where that is still there
	Reason int                 // a CRLReason of RFC 5280, section 5.3.1
	Roots  []*x509.Certificate // as in Request.Roots
}

// Of the reasons of RFC 5280, section 5.3.1, these are the ones that authorities take from
// a subscriber.
const (
	Unspecified          = 0
	KeyCompromise        = 1
	Superseded           = 4
	CessationOfOperation = 5
)

// ErrOtherIssuer says that an authority is asked to revoke what it did not issue.
var ErrOtherIssuer = errors.New("this certificate is from another authority")

// A Revoker is an authority that can be told that a certificate is not to be used any
// more.
type Revoker interface {
	// Revoke returns nil when the authority has recorded the revocation, now or before.
	// The error is an *Error.
	Revoke(ctx context.Context, r Revocation) error
}
