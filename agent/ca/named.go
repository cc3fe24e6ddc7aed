package ca

import (
	"context"
	"crypto/x509"
)

// Named is which roots an authority wants clients to trust.
type Named struct {
	Roots     []*x509.Certificate // its own: that in use, and those it moves from and to
	Federated []*x509.Certificate // of authorities that it is federated with
}

// A Namer is an authority that says which roots clients are to trust without being asked
// for a certificate, so that they trust the next one before it is used.
type Namer interface {
	// Named asks once. Known are as Request.Roots. The error is an *Error.
	Named(ctx context.Context, known []*x509.Certificate) (Named, error)
}
