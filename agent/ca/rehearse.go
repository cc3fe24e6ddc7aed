package ca

import (
	"context"
	"crypto/x509"
	"time"
)

// A Rehearser is an authority that can be taken through a renewal up to the point where
// it would issue.
type Rehearser interface {
	// Rehearse does what an Inspector does, and tries what only a renewal needs: the
	// account, and the proof of each name. What it puts up it takes down again. Found
	// says in one line what there is. Named are as in Request.Roots, Ahead is as
	// Issued.Ahead. The error is an *Error.
	Rehearse(ctx context.Context, names []string, named []*x509.Certificate) (found string, ahead time.Duration, err error)
}
