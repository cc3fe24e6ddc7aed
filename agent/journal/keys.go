package journal

import (
	"log/slog"
)

// Keys of log attributes. In the journal they are fields in upper case behind
// RCA_, so that serial becomes RCA_SERIAL; a duration is in milliseconds and
// its field ends in _MS. KeyMessageID alone becomes MESSAGE_ID.
const (
	KeyMessageID = "message_id"
	KeyInstance  = "instance"
	KeyVersion   = "version"
	KeySerial    = "serial"    // of a certificate, in hex (cert.Serial)
	KeyNotAfter  = "not_after" // a time
	KeyNames     = "names"
	KeyMethod    = "method" // how a certificate was got: sign, rekey, …
	KeyServer    = "server" // the address of a Redis
	KeyPair      = "pair"   // the name of a client's pair; missing for that of the servers
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
