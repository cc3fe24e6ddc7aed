package ca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// An Inspector is an authority that can be looked at without asking for a certificate:
// whether it is the one that the configuration pins, and whether it would listen to the
// credentials that are configured.
type Inspector interface {
	// Inspect returns what the next request for a new certificate would meet, as far as
	// that can be seen without one, and by how much this host's clock is ahead of the
	// authority's, as Issued.Ahead. Named are as in Request.Roots. The error is an *Error.
	Inspect(ctx context.Context, named []*x509.Certificate) (ahead time.Duration, err error)
}

// Ahead returns by how much this host's clock is ahead of the one that dated an answer
// (RFC 9110, section 6.6.1); negative when it is behind, and zero when the answer does not
// say. It is good to a second and the time that the answer took.
func Ahead(h http.Header, now time.Time) time.Duration {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	// A cache passes on the date of the authority, and says how long ago that was.
	if age, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		date = date.Add(time.Duration(age) * time.Second)
	}
	return now.Sub(date)
}

// AheadOf returns what the answer that err tells of says about the clocks; false when
// there was no answer.
func AheadOf(err error) (time.Duration, bool) {
	e := innermost(err)
	if e == nil || e.Status == 0 {
		return 0, false
	}
	return e.Ahead, true
}

// Absent reports whether e says nothing of what was asked: the authority gave no answer,
// or one that says that it is in trouble itself.
func (e *Error) Absent() bool {
	e = innermost(e)
	var verify *tls.CertificateVerificationError
	return e.Unavailable() || !e.Local() && e.Status == 0 && !errors.As(e.Err, &verify)
}

// innermost returns the last *Error of a chain: of a fault on this side that began with an
// answer, what tells of that answer.
func innermost(err error) *Error {
	var found, next *Error
	for errors.As(err, &next) {
		found, err = next, next.Err
	}
	return found
}
