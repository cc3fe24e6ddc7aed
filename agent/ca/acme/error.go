package acme

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
)

// Error is why there is no certificate. Everything that Issue and Suggest
// return is one.
type Error struct {
	Op      string        // directory, account, order, prove, finalize, download, renewal information
	Name    string        // the name that could not be proved; empty when the fault is not one name's
	Status  int           // of the HTTP answer; 0 when there was none
	Type    string        // of the problem document (RFC 8555, section 6.7) without its prefix, as rateLimited
	Message string        // the CA's own words or the fault: one line
	After   time.Duration // from Retry-After; 0 when the CA named no time

	url   string
	hint  string // what to do about it
	local bool   // nothing was sent
	err   error
}

// Error says the deed, where, what the CA said, and what to do. It is one line
// and holds no secret.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Name != "" {
		b.WriteString(" " + e.Name)
	}
	if e.url != "" && !e.local {
		b.WriteString(": " + e.url)
		if e.Status != 0 {
			fmt.Fprintf(&b, " answers %d", e.Status)
		}
	}
	if e.Type != "" {
		b.WriteString(": " + e.Type)
	}
	b.WriteString(": " + e.Message)
	if e.After > 0 {
		fmt.Fprintf(&b, " (asks to wait %s)", e.After.Round(time.Second))
	}
	if e.hint != "" {
		b.WriteString("; " + e.hint)
	}
	return b.String()
}

// Unwrap returns what acmez, net/http or the context said, when they did.
func (e *Error) Unwrap() error { return e.err }

// RetryAfter is how long the CA asks to be left alone, 0 when it did not ask.
func (e *Error) RetryAfter() time.Duration { return e.After }

// patience is what any error says of how long to wait.
func patience(err error) time.Duration {
	var p interface{ RetryAfter() time.Duration }
	if errors.As(err, &p) {
		return p.RetryAfter()
	}
	return 0
}

// fault is trouble on this side, before anything was sent.
func (c *Client) fault(op string, err error) *Error {
	return &Error{Op: op, Message: ca.Cut(ca.Line(err.Error()), 2*ca.MaxMessage), err: err, local: true}
}

// problemIn returns the problem document that err carries, or nil. acmez wraps
// it by value, and in one place by a pointer that may be nil.
func problemIn(err error) *acme.Problem {
	var p acme.Problem
	if errors.As(err, &p) {
		return &p
	}
	var at *acme.Problem
	if errors.As(err, &at) {
		return at
	}
	return nil
}

// failed is a request that acmez gave up.
func (s *session) failed(ctx context.Context, op string, err error) *Error {
	last := s.wire.answer()
	e := &Error{Op: op, Status: last.status, url: s.place(), err: err}
	if refused := last.status >= http.StatusBadRequest; refused {
		e.After = last.after
	}
	p := problemIn(err)
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		e.Message, e.Status, e.err = "not done in time", 0, ctx.Err()
	case ctx.Err() != nil:
		e.Message, e.Status, e.err = "cancelled", 0, ctx.Err()
	case p != nil:
		s.problem(e, p)
	case last.status == 0:
		s.noAnswer(e, err)
	case last.status/100 == 3:
		e.Message = "it leads elsewhere"
		e.hint = fmt.Sprintf("configure the address that it leads to: %s", ca.Cut(clean(last.location), 100))
	case last.status >= http.StatusBadRequest:
		e.Message = "no reason given"
		if text := http.StatusText(last.status); text != "" {
			e.Message = strings.ToLower(text)
		}
		e.hint = statusHint(last.status)
	default:
		return s.garbage(op, err)
	}
	return e
}

// garbage is an answer of 2xx that is not ACME.
func (s *session) garbage(op string, err error) *Error {
	return &Error{Op: op, Status: s.wire.answer().status, Message: clean(garbageText(err)), url: s.place(), err: err,
		hint: "is this the directory of an ACME CA? check the URL, and what stands in front of it"}
}

// garbageText says shortly what acmez met. It would show the whole answer.
func garbageText(err error) string {
	var fault wireFault
	if errors.As(err, &fault) {
		return string(fault)
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "JSON-decoding"), strings.Contains(text, "Content-Type is"):
		return "the answer is no JSON of an ACME CA"
	case strings.Contains(text, "required directory fields are missing"):
		return "the answer is no directory: newOrder is missing"
	}
	return text
}

// place is where the CA is, for errors.
func (s *session) place() string { return s.c.base.Scheme + "://" + s.c.base.Host }

// noAnswer fills in e for a request that got no answer, or half of one.
func (s *session) noAnswer(e *Error, err error) {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	e.Message = clean(err.Error())
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		e.Message = fmt.Sprintf("no answer within %s", s.c.request)
	}
	e.hint = s.transportHint(err)
}

// unproved is a challenge that could not be put up, or is not seen by this host
// itself.
func (s *session) unproved(ctx context.Context, t task, err error) *Error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	e := s.c.fault(opProve, err)
	e.Name = t.name()
	return e
}

// late turns err into the one to return when a name could not be proved: the
// CA's verdict, the end of patience, or trouble on the way.
func (s *session) late(ctx, within context.Context, t task, err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case within.Err() != nil && ctx.Err() != context.Canceled:
		return s.pending(t, ctx.Err() != nil)
	}
	e = s.failed(ctx, opProve, err)
	e.Name = t.name()
	return e
}

// pending is a name that the CA has not decided on. step-ca leaves those for
// ever that it could not reach. All says that the time for the whole order is
// over.
func (s *session) pending(t task, all bool) *Error {
	bound := fmt.Sprintf("within %s", s.c.opts.Patience)
	if all {
		bound = "in time"
	}
	e := &Error{Op: opProve, Name: t.name(), url: s.place(), err: context.DeadlineExceeded,
		Message: fmt.Sprintf("not validated %s by %s", bound, clean(t.challenge.Type))}
	if p := t.challenge.Error; p != nil {
		e.Type = kind(p.Type)
		e.Message += ": " + problemText(p)
	}
	e.hint = s.proofHint(t)
	return e
}

// verdict is a name that the CA has decided against.
func (s *session) verdict(t task) *Error {
	e := &Error{Op: opProve, Name: t.name(), url: s.place()}
	for _, c := range t.authz.Challenges {
		if c.Error != nil {
			t.challenge = c
			s.problem(e, c.Error)
			e.Status = 0 // of the CA's visit here, not of an answer
		}
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("the authorization is %s, and the CA does not say why", ca.Cut(clean(t.authz.Status), 30))
	}
	if e.hint == "" || e.Type == "unauthorized" {
		e.hint = s.proofHint(t)
	}
	return e
}

// invalid is an order that the CA has given up.
func (s *session) invalid(op string, o acme.Order) *Error {
	e := &Error{Op: op, url: s.place()}
	if o.Error != nil {
		s.problem(e, o.Error)
		return e
	}
	e.Message = "the order is invalid, and the CA does not say why; its log may"
	return e
}

// problem fills in e from a problem document.
func (s *session) problem(e *Error, p *acme.Problem) {
	e.Type, e.Message = kind(p.Type), problemText(p)
	if e.Status == 0 {
		e.Status = p.Status
	}
	e.err = *p
	e.hint = s.remedy(e, p)
}

// kind is a problem's type without the prefix of RFC 8555.
func kind(t string) string {
	return ca.Cut(clean(strings.TrimPrefix(t, acme.ProblemTypeNamespace)), 60)
}

// maxSubproblems bounds how many names one line tells of.
const maxSubproblems = 8

// problemText is the detail of a problem document, and of each of its
// subproblems (RFC 8555, section 6.7.1) the name, type and detail.
func problemText(p *acme.Problem) string {
	text := clean(p.Detail)
	if text == "" {
		text = clean(p.Title)
	}
	if text == "" {
		text = "no reason given"
	}
	var parts []string
	for i, sub := range p.Subproblems {
		if i == maxSubproblems {
			parts = append(parts, fmt.Sprintf("and %d more", len(p.Subproblems)-i))
			break
		}
		part := kind(sub.Type) + ": " + ca.Cut(clean(sub.Detail), 120)
		if v := ca.Cut(clean(sub.Identifier.Value), 80); v != "" {
			part = v + ": " + part
		}
		parts = append(parts, part)
	}
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	return text
}
