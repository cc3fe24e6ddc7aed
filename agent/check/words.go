package check

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"
	"unicode"

	"redis-cert-agent/agent/cert"
)

// clean makes text of foreign origin fit for a terminal, a log, and a plugin's
// output: what a certificate says may hold anything.
func clean(s string) string {
	const longest = 600
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?' // also what turns the direction of writing
		}
		return r
	}, s)
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}

// called is how people know a certificate.
func called(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return quote(c.Subject.CommonName)
	}
	if names := cert.NamesOf(c); len(names) > 0 {
		return quote(names[0])
	}
	if text := c.Subject.String(); text != "" {
		return quote(text)
	}
	return fmt.Sprintf("serial %x", c.SerialNumber)
}

// issuedBy is how people know the issuer of a certificate.
func issuedBy(c *x509.Certificate) string {
	if c.Issuer.CommonName != "" {
		return quote(c.Issuer.CommonName)
	}
	if text := c.Issuer.String(); text != "" {
		return quote(text)
	}
	return "without a name"
}

// quote puts a name between quotes, of a length that people read.
func quote(s string) string {
	const longest = 60
	s = clean(s)
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest]) + "…"
	}
	return `"` + s + `"`
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") + " UTC" }

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// span writes a time in at most two units, rounded down: "12 d", "1 d 3 h",
// "16 h", "8 min 20 s". It takes seconds, because a time.Duration ends after 292
// years.
func span(seconds int64) string {
	units := []struct {
		size int64
		name string
	}{{int64(year / time.Second), "y"}, {int64(day / time.Second), "d"}, {3600, "h"}, {60, "min"}, {1, "s"}}
	for i, u := range units {
		n := seconds / u.size
		if n == 0 {
			continue
		}
		text := fmt.Sprintf("%d %s", n, u.name)
		if i+1 == len(units) || n >= 10 {
			return text
		}
		if m := (seconds % u.size) / units[i+1].size; m > 0 {
			text += fmt.Sprintf(" %d %s", m, units[i+1].name)
		}
		return text
	}
	return "0 s"
}

// until is the time from a to b.
func until(a, b time.Time) string { return span(b.Unix() - a.Unix()) }
