package acme

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
)

// problemIn returns the problem document that err carries, or nil. acmez wraps it
// as a value, and in one place as a pointer that may be nil.
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

// problem fills in e from a problem document.
func (s *session) problem(e *ca.Error, p *acme.Problem) {
	e.Type, e.Message = kind(p.Type), problemText(p)
	if e.Status == 0 {
		e.Status = p.Status
	}
	e.Err = *p
	e.Hint = s.remedy(e, p)
}

// kind returns a problem's type without the prefix of RFC 8555.
func kind(t string) string {
	return ca.Clean(strings.TrimPrefix(t, acme.ProblemTypeNamespace), 60)
}

// maxSubproblems bounds how many names appear in one line.
const maxSubproblems = 8

// problemText returns the detail of a problem document, followed by name, type
// and detail of each of its subproblems (RFC 8555, section 6.7.1).
func problemText(p *acme.Problem) string {
	text := ca.Clean(p.Detail, ca.MaxMessage)
	if text == "" {
		text = ca.Clean(p.Title, ca.MaxMessage)
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
		part := kind(sub.Type) + ": " + ca.Clean(sub.Detail, 120)
		if v := ca.Clean(sub.Identifier.Value, 80); v != "" {
			part = v + ": " + part
		}
		parts = append(parts, part)
	}
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	return text
}
