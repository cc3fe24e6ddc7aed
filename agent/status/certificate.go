package status

import (
	"crypto/x509"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/plain"
)

// A Role is what a certificate is for.
type Role string

// A leaf is the server's own, an intermediate follows it in its chain, a CA is
// one that Redis trusts, and a client is presented to Redis.
const (
	RoleLeaf         Role = "leaf"
	RoleIntermediate Role = "intermediate"
	RoleCA           Role = "ca"
	RoleClient       Role = "client"
)

// Where a certificate was seen.
const (
	SeenOnDisk = "disk"   // the pair, its chain and ca.crt
	SeenServed = "served" // in a handshake with a server
	SeenInFile = "file"   // another file that the configuration names
)

// Certificate is one that the agent keeps an eye on.
type Certificate struct {
	Role   Role   `json:"role"`
	Where  string `json:"where"`            // disk, served, file
	Server string `json:"server,omitempty"` // the address; of what is served or presented to one
	Path   string `json:"path,omitempty"`   // of a file

	Subject   string    `json:"subject,omitempty"` // distinguished name, or the first name where that is empty
	Issuer    string    `json:"issuer,omitempty"`
	Serial    string    `json:"serial,omitempty"` // hex
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	WarnAt    time.Time `json:"warn_at,omitzero"` // when its end is near
	CritAt    time.Time `json:"crit_at,omitzero"` // and when it is very near

	Error string `json:"error,omitempty"` // why the file cannot be read; nothing else is known then
}

// CertificateOf describes c. Where it was seen, and when its end is near, is
// the caller's to fill in.
func CertificateOf(c *x509.Certificate, r Role) Certificate {
	subject := c.Subject.String()
	if subject == "" && len(c.DNSNames) > 0 {
		subject = c.DNSNames[0]
	}
	if subject == "" && len(c.IPAddresses) > 0 {
		subject = c.IPAddresses[0].String()
	}
	return Certificate{
		Role: r, Subject: plain.OneLine(subject), Issuer: plain.OneLine(c.Issuer.String()), Serial: cert.Serial(c),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}
}

// level returns how near the end of c is; empty when it is not near.
func (c Certificate) level(now time.Time) Severity {
	switch {
	case c.NotAfter.IsZero():
		return ""
	case !now.Before(c.NotAfter), !c.CritAt.IsZero() && !now.Before(c.CritAt):
		return Critical
	case !c.WarnAt.IsZero() && !now.Before(c.WarnAt):
		return Warning
	}
	return ""
}

// NextChange returns the first time after now at which the end of a
// certificate comes nearer by a level; zero when there is none.
func NextChange(all []Certificate, now time.Time) time.Time {
	var next time.Time
	for _, c := range all {
		for _, t := range []time.Time{c.WarnAt, c.CritAt, c.NotAfter} {
			if t.After(now) && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
	}
	return next
}
