package acme

import (
	"errors"
	"strings"

	"redis-cert-agent/agent/ca"
)

// clean makes foreign text fit for one line of a log: no control and no format
// characters, at most 300 characters.
func clean(s string) string { return ca.Cut(ca.Line(s), ca.MaxMessage) }

// inOneLine joins errors for the log; nil when there are none.
func inOneLine(errs []error) error {
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	if len(texts) == 0 {
		return nil
	}
	return errors.New(strings.Join(texts, "; "))
}
