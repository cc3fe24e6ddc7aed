package ca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// An Error tells why an authority did not do what it was asked. Each error of
// step.Client and acme.Client is an *Error.
type Error struct {
	Op        string        // the step that failed, for example "sign" or "order"
	Name      string        // the name that could not be proved; empty when the error is about no single name
	URL       string        // the authority's address; empty when nothing was sent, because the fault is on this side
	Status    int           // the status of the HTTP answer; 0 when there was none
	Type      string        // the type of an ACME problem without its prefix, for example "rateLimited"
	Message   string        // the authority's own words, or what went wrong: one line of bounded length
	RequestID string        // the name under which the authority logged the request, if it named one
	After     time.Duration // the authority's Retry-After; 0 when it named none
	Ahead     time.Duration // as Issued.Ahead, of an answer that has a Status
	Hint      string        // what a person can do about it; may be empty
	Earlier   string        // what other ways to ask met before this one; may be empty
	Err       error         // the cause, for errors.Is and errors.As; may be nil
}

// Error says what failed, where, in whose words, and what to do about it. The
// text is one line and holds no secret.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Name != "" {
		b.WriteString(" " + e.Name)
	}
	if e.URL != "" {
		b.WriteString(": " + e.URL)
		if e.Status != 0 {
			fmt.Fprintf(&b, " answers %d", e.Status)
		}
	}
	if e.Type != "" {
		b.WriteString(": " + e.Type)
	}
	b.WriteString(": " + e.Message)
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	if e.After > 0 {
		fmt.Fprintf(&b, " (asks to wait %s)", e.After.Round(time.Second))
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	if e.Earlier != "" {
		b.WriteString("; before that " + e.Earlier)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// RetryAfter returns how long the authority asks to be left alone; 0 when it
// does not ask. What answers 401 or 403 speaks of who asks, and that does not get
// better by waiting: a proxy may set the same header on each of its errors.
func (e *Error) RetryAfter() time.Duration {
	if e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden {
		return 0
	}
	return e.After
}

// Local reports whether the fault is on this side: nothing was sent.
func (e *Error) Local() bool { return e.URL == "" }

// Unavailable reports whether the answer says that the authority, and not the
// request, is at fault, so that another request would meet the same.
func (e *Error) Unavailable() bool {
	return e.Status >= 500 || e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests
}

// Same reports whether e and o tell of one fault: an authority names each request anew, and
// may say the same in other words. Nil is the same as nil alone.
func (e *Error) Same(o *Error) bool {
	if e == nil || o == nil {
		return e == o
	}
	return e.Op == o.Op && e.Status == o.Status && e.Type == o.Type && (!e.Local() || e.Message == o.Message)
}

// RetryAfter returns how long err asks to wait before the next attempt; 0 when
// it does not ask.
func RetryAfter(err error) time.Duration {
	var r interface{ RetryAfter() time.Duration }
	if errors.As(err, &r) {
		return r.RetryAfter()
	}
	return 0
}

// Fault returns the error of a step that failed on this side, before anything
// was sent.
func Fault(op string, err error) *Error {
	return &Error{Op: op, Message: Clean(err.Error(), 2*MaxMessage), Err: err}
}

// An Endpoint is an authority as its errors describe it.
type Endpoint struct {
	URL     string        // its scheme, host and port
	Kind    string        // what should answer there, for example "step-ca"
	Timeout time.Duration // how long one request may take
	// Untrusted says what to do when the certificate of the authority's own
	// server comes from none of the trusted roots.
	Untrusted string
}

// Garbage returns the error of an answer of 2xx that no such authority gives.
func (p Endpoint) Garbage(op string, status int, err error) *Error {
	return &Error{Op: op, URL: p.URL, Status: status, Message: Clean(err.Error(), MaxMessage), Err: err,
		Hint: fmt.Sprintf("is this %s? check the URL, and what stands in front of it", p.Kind)}
}

// NoAnswer returns the error of a request that got no answer, or only a part of
// one. Err is what net/http says, and ctx the context of the whole call, which
// may have ended.
func (p Endpoint) NoAnswer(ctx context.Context, op string, err error) *Error {
	e := &Error{Op: op, URL: p.URL, Err: err}
	if ended := ctx.Err(); ended != nil {
		e.Message, e.Err = "cancelled", ended
		if errors.Is(ended, context.DeadlineExceeded) {
			e.Message = "not done in time"
		}
		return e
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // its text repeats the URL
	}
	e.Message = Clean(err.Error(), MaxMessage)
	var verify *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	switch {
	case IsTimeout(err):
		e.Message = fmt.Sprintf("no answer within %s", p.Timeout)
		e.Hint = hintReach
	case errors.As(err, &verify):
		e.Hint = p.verifyHint(verify)
	case errors.As(err, &plain), strings.Contains(err.Error(), "HTTP response to HTTPS"):
		e.Hint = "this port does not speak TLS: check the URL"
	default:
		e.Hint = hintReach
	}
	return e
}

// IsTimeout reports whether err says that a request took too long.
func IsTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

const hintReach = "check that the CA runs and that this host may reach it"

// verifyHint says what to do when the certificate of the authority's server does
// not verify.
func (p Endpoint) verifyHint(err *tls.CertificateVerificationError) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return "the CA's certificate is for other names: use one of them in the URL"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "compare this host's clock with the CA's; the CA's own certificate may have expired"
	}
	return p.Untrusted
}

// StatusHint says what to do about the status of an answer that tells nothing
// else; empty when the status alone tells nothing either.
func (p Endpoint) StatusHint(status int, h http.Header) string {
	switch {
	case status/100 == 3:
		return fmt.Sprintf("the URL leads elsewhere (%s): configure where the CA itself listens", Clean(h.Get("Location"), 100))
	case status == http.StatusNotFound:
		return fmt.Sprintf("is this %s? check the URL", p.Kind)
	case status == http.StatusProxyAuthRequired:
		return "the proxy that the environment names wants a login"
	case status == http.StatusTooManyRequests:
		return "the CA limits requests; the agent asks again later"
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout:
		return "the CA, or a proxy before it, is in trouble: see its log"
	}
	return ""
}
