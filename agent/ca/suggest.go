package ca

import "time"

// A Suggestion is when an authority wants a certificate to be renewed (ACME Renewal
// Information, RFC 9773): at a random moment between From and To, and at once when that
// has passed. Both are zero when it suggests nothing.
type Suggestion struct {
	From, To    time.Time
	Again       time.Duration // how long to wait before the next question
	Explanation string        // a URL at which it says why, on one line; may be empty
}
