package check

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"redis-cert-agent/agent/plain"
)

// summary says in one line how many targets are well, and what ends next.
func (r Report) summary() string {
	text := r.tally()
	var next *Certificate
	var of string
	for _, t := range r.Targets {
		for i, c := range t.Certificates {
			if c.Role != "unrelated" && c.SecondsLeft >= 0 && (next == nil || c.SecondsLeft < next.SecondsLeft) {
				next, of = &t.Certificates[i], t.Target
			}
		}
	}
	if next != nil {
		text += fmt.Sprintf("; the next to end is %s of %s, in %s", next.what(), of, plain.Between(r.Time, next.NotAfter))
	}
	return text
}

// tally says "3 targets: 1 critical, 2 ok".
func (r Report) tally() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{r.Counts.Critical, "critical"}, {r.Counts.Warning, "warning"}, {r.Counts.Unknown, "unknown"}, {r.Counts.OK, "ok"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return fmt.Sprintf("%s: %s", plural(len(r.Targets), "target"), strings.Join(parts, ", "))
}

// what names a certificate by its role, and a CA's by its name.
func (c Certificate) what() string {
	switch c.Role {
	case "leaf":
		return "the leaf"
	case "client":
		return "the client certificate"
	case "ca":
		return "the CA certificate " + quote(c.display())
	}
	return "the " + c.Role + " " + quote(c.display())
}

// display is the name that people know a certificate by.
func (c Certificate) display() string {
	if c.Role == "leaf" || c.Role == "client" {
		if len(c.Names) > 0 {
			return some(c.Names)
		}
	}
	return cmp.Or(c.commonName, c.Subject, "serial "+plain.ShortSerial(c.Serial))
}

// everlasting is the end of certificates "which do not have a well-defined
// expiration date" (RFC 5280, section 4.1.2.5).
var everlasting = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// remaining is the first column: "5 d", "expired", "no end".
func (c Certificate) remaining(now time.Time) string {
	switch {
	case c.SecondsLeft < 0:
		return "expired"
	case !c.NotAfter.Before(everlasting):
		return "no end"
	}
	return plain.Between(now, c.NotAfter)
}
