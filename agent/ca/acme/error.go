package acme

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
)

// failed returns the error of a request that acmez gave up.
func (s *session) failed(ctx context.Context, op string, err error) *ca.Error {
	last, p := s.wire.answer(), problemIn(err)
	var e *ca.Error
	switch {
	case ctx.Err() != nil, p == nil && last.status == 0:
		e = s.at.NoAnswer(ctx, op, err)
	case p != nil:
		e = &ca.Error{Op: op, URL: s.at.URL, Status: last.status}
		s.problem(e, p)
	case last.status < 300:
		return s.garbage(op, err)
	default:
		e = &ca.Error{Op: op, URL: s.at.URL, Status: last.status, Message: "no reason given", Err: err}
		if text := http.StatusText(last.status); text != "" {
			e.Message = strings.ToLower(text)
		}
		e.Hint = s.at.StatusHint(last.status, last.header)
	}
	e.Ahead = last.ahead
	if last.status >= http.StatusBadRequest {
		e.After = last.after
	}
	return e
}

// garbage returns the error of an answer of 2xx that is not ACME.
func (s *session) garbage(op string, err error) *ca.Error {
	e := s.at.Garbage(op, s.wire.answer().status, err)
	e.Message = ca.Clean(garbageText(err), ca.MaxMessage)
	return e
}

// garbageText says in short what acmez met, because its own text holds the whole
// answer.
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

// invalid returns the error of an order that the CA has given up.
func (s *session) invalid(op string, o acme.Order) *ca.Error {
	e := &ca.Error{Op: op, URL: s.at.URL}
	if o.Error != nil {
		s.problem(e, o.Error)
		return e
	}
	e.Message = "the order is invalid, and the CA does not say why; its log may"
	return e
}
