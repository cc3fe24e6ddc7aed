package check

import (
	"crypto/x509"
	"fmt"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/plain"
)

// clean makes foreign text fit for a terminal, a log, and a plugin's output: what
// a certificate says may hold anything, and any amount of it.
func clean(s string) string { return plain.Clip(plain.OneLine(s), 600) }

// quote puts a name between quotes, of a length that people read.
func quote(s string) string { return `"` + plain.Clip(plain.OneLine(s), 60) + `"` }

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
	return "serial " + cert.Serial(c)
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

// plural says "1 target", "2 targets".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
