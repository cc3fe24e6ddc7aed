package reload

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// What a caller may branch on. Every error of this package is one of these, or
// the context's, or what Server.Password or Server.Client returned.
var (
	// ErrUnreachable: nothing answers, or not in the language expected.
	ErrUnreachable = errors.New("redis is not reachable")
	// ErrRefused: Redis looked at the files and said no, or a handshake does
	// not show the leaf.
	ErrRefused = errors.New("redis refused")
	// ErrDenied: Redis does not let us: NOAUTH, WRONGPASS, NOPERM, an unknown
	// command, a client certificate it does not take.
	ErrDenied = errors.New("redis denied access")
	// ErrClientCertificate is an ErrDenied: Redis asks for a client certificate
	// and does not take ours. Another one may help, where another password or
	// another user would not.
	ErrClientCertificate = errors.New("redis refused the client certificate")
	// ErrUnrecognised: the peer is not one that may be talked to. Nothing was
	// sent to it.
	ErrUnrecognised = errors.New("peer not recognised")
	// ErrBusy: LOADING, BUSY, maxclients: ask again later.
	ErrBusy = errors.New("redis is busy")
)

// fault is an error of one of the kinds above whose text is complete without
// the kind's own: the deed, the cause, the remedy, in one line.
type fault struct {
	kind  error
	cause error // may be nil
	text  string
}

func newFault(kind, cause error, format string, args ...any) *fault {
	return &fault{kind: kind, cause: cause, text: oneLine(fmt.Sprintf(format, args...))}
}

func (f *fault) Error() string { return f.text }

func (f *fault) Unwrap() []error {
	if f.cause == nil {
		return []error{f.kind}
	}
	return []error{f.kind, f.cause}
}

// oneLine makes text of foreign origin fit for a log or a terminal: without
// control characters, and not longer than a person reads.
func oneLine(s string) string {
	const longest = 1000
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, s)
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}
