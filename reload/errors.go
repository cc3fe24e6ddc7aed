package reload

import (
	"errors"
	"fmt"
	"strings"

	"redis-cert-agent/agent/plain"
)

// What a caller may branch on. Every error of this package is one of these, or
// the context's, or what Server.Password or Server.Client returned.
var (
	// ErrUnreachable: nothing answers, or not in the language expected.
	ErrUnreachable = errors.New("redis is not reachable")
	// ErrRefused: Redis looked at the files and said no, or a handshake does
	// not show the leaf.
	ErrRefused = errors.New("redis refused")
	// ErrOtherLeaf is an ErrRefused: a handshake shows another leaf than the new one.
	ErrOtherLeaf = errors.New("redis shows another certificate")
	// ErrUnfit is an ErrRefused: Redis could not serve the new pair as it is set, or this
	// program could not prove it. It was not told to read its files.
	ErrUnfit = errors.New("redis could not serve this pair")
	// ErrUncertain comes with another error: Redis was told to read its files, and no
	// answer came. It may have read them.
	ErrUncertain = errors.New("it is not known whether redis read its files")
	// ErrDenied: Redis does not let us: NOAUTH, WRONGPASS, NOPERM, an unknown
	// command, a client certificate it does not take.
	ErrDenied = errors.New("redis denied access")
	// ErrClientCertificate is an ErrDenied: Redis asks for a client certificate
	// and does not take ours, or may not take it for one of its users. Another one may
	// help, where another password or another user would not.
	ErrClientCertificate = errors.New("redis refused the client certificate")
	// ErrUnrecognised: the peer is not one that may be talked to. Nothing was
	// sent to it.
	ErrUnrecognised = errors.New("peer not recognised")
	// ErrDistrusted is an ErrUnrecognised: the key of the leaf that it shows may be in other
	// hands.
	ErrDistrusted = errors.New("peer shows a certificate that is distrusted")
	// ErrBusy: LOADING, BUSY, maxclients: ask again later.
	ErrBusy = errors.New("redis is busy")

	// errNotRESP is the cause of an ErrUnreachable: what the peer sends is not what a
	// redis-server answers.
	errNotRESP = errors.New("not a reply of redis")
)

// fault is an error of one of the kinds above. Its text is complete without the
// kind's own: what failed, why, and the hint, in one line.
type fault struct {
	kind  error
	cause error // may be nil
	text  string
	hint  string // what a person can do about it; may be empty
}

func newFault(kind, cause error, format string, args ...any) *fault {
	return &fault{kind: kind, cause: cause, text: oneLine(fmt.Sprintf(format, args...))}
}

// Unfit returns an ErrUnfit for what a caller finds in the settings of a server.
func Unfit(text, hint string) error {
	return newFault(ErrRefused, ErrUnfit, "%s", text).withHint("%s", hint)
}

// withHint adds what a person can do about f.
func (f *fault) withHint(format string, args ...any) *fault {
	f.hint = oneLine(fmt.Sprintf(format, args...))
	return f
}

func (f *fault) Error() string {
	switch {
	case f.hint == "":
		return f.text
	case strings.HasSuffix(f.text, "?"):
		return f.text + " " + f.hint
	}
	return f.text + ": " + f.hint
}

// Hint returns what a person can do about the error, with which its text ends; it may be
// empty.
func (f *fault) Hint() string { return f.hint }

func (f *fault) Unwrap() []error {
	if f.cause == nil {
		return []error{f.kind}
	}
	return []error{f.kind, f.cause}
}

// maxText bounds an error, in characters.
const maxText = 1000

// oneLine makes foreign text fit for a log or a terminal.
func oneLine(s string) string { return plain.Clip(plain.OneLine(s), maxText) }
