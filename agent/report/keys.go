package report

import (
	"crypto/x509"
	"log/slog"
	"time"
)

// Keys of log attributes. In the journal they are fields in upper case behind
// RCA_, so that serial becomes RCA_SERIAL; a duration is in milliseconds and
// its field ends in _MS. KeyMessageID alone becomes MESSAGE_ID.
const (
	KeyMessageID = "message_id"
	KeyInstance  = "instance"
	KeyVersion   = "version"
	KeySerial    = "serial"    // see Serial
	KeyNotAfter  = "not_after" // a time
	KeyNames     = "names"
	KeyMethod    = "method" // how a certificate was got: sign, rekey, …
	KeyServer    = "server" // the address of a Redis
	KeyIssuer    = "issuer" // the URL of the CA
	KeyPath      = "path"
	KeyAttempt   = "attempt" // the count of failures in a row
	KeyNext      = "next"    // a time
	KeyDuration  = "duration"
	KeyError     = "error"
	KeyTarget    = "target" // who was told
)

// Levels between those of package slog, for the priorities of the journal
// (syslog(3)): Error is 3, Warn 4, LevelNotice 5, Info 6, Debug 7. Notice is
// what an operator wants to see of a healthy host: a certificate was renewed,
// a server loaded it.
const LevelNotice = slog.Level(2)

// Serial returns the serial number of a certificate in hex, as in
// "7e22b7814f5a9b0c".
func Serial(leaf *x509.Certificate) string {
	if leaf == nil || leaf.SerialNumber == nil {
		return "none"
	}
	return leaf.SerialNumber.Text(16)
}

// Time writes a time as messages have it: RFC 3339, in UTC, to the second.
func Time(t time.Time) string {
	return t.UTC().Format(time.RFC3339)
}
