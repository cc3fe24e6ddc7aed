package check

import (
	"crypto/x509"
	"fmt"
	"slices"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/plain"
)

// times judges when a certificate begins and ends. One that no client needs on
// its way to a root is at most a warning: some build the chain that they are
// shown, and trip over it.
func (j *judge) times(c *x509.Certificate) {
	needed := j.f.Kind == CA || slices.ContainsFunc(j.path.certs, c.Equal)
	worst := Critical
	if !needed {
		worst = Warning
	}
	what := j.what(c)
	switch {
	case c.NotAfter.IsZero() && cert.Unread(c) != nil: // its times could not be made out
	case c.NotAfter.Before(c.NotBefore):
		j.blame(c, worst, CodeNeverValid,
			fmt.Sprintf("%s is never valid: it ends at %s, before it begins at %s", what, plain.Stamp(c.NotAfter), plain.Stamp(c.NotBefore)),
			"have it issued again; the clock of who issued it may be wrong")
	case j.now.Before(c.NotBefore):
		j.blame(c, worst, CodeNotYetValid,
			fmt.Sprintf("%s is not valid yet: it begins in %s, at %s", what, plain.Between(j.now, c.NotBefore), plain.Stamp(c.NotBefore)),
			"check the clock of this host, and of who issued it")
	case j.now.After(c.NotAfter):
		j.blame(c, worst, CodeExpired,
			fmt.Sprintf("%s expired %s ago, at %s%s", what, plain.Between(c.NotAfter, j.now), plain.Stamp(c.NotAfter), j.refused(needed)),
			j.renewal(c))
	case !j.now.Before(j.w.Crit.Start(c)):
		j.blame(c, worst, CodeExpiring, j.ending(c), j.renewal(c))
	case !j.now.Before(j.w.Warn.Start(c)):
		j.blame(c, Warning, CodeExpiring, j.ending(c), j.renewal(c))
	}
}

func (j *judge) ending(c *x509.Certificate) string {
	return fmt.Sprintf("%s ends in %s, at %s", j.what(c), plain.Between(j.now, c.NotAfter), plain.Stamp(c.NotAfter))
}

func (j *judge) refused(needed bool) string {
	switch {
	case !needed:
		return ": nobody needs it, but some clients refuse the chain for it"
	case j.f.Kind == CA:
		return ": what it issued is refused"
	case j.w.Role == ClientRole:
		return ": servers refuse it"
	}
	return ": clients refuse it"
}

// what names a certificate by what it does here.
func (j *judge) what(c *x509.Certificate) string {
	if j.f.Kind == CA {
		return "the CA certificate " + called(c)
	}
	switch role := j.roleOf(c); role {
	case "leaf":
		return "the certificate"
	case "client":
		return "the client certificate"
	case "unrelated":
		return "the additional certificate " + called(c)
	default:
		return "the " + role + " " + called(c)
	}
}

// renewal says how a certificate is replaced.
func (j *judge) renewal(c *x509.Certificate) string {
	role := "ca"
	if j.f.Kind != CA {
		role = j.roleOf(c)
	}
	switch {
	case role == "unrelated":
		return "remove it from the file"
	case role == "ca" && j.now.After(c.NotAfter):
		return "remove it from the file, if a newer one is in it; else get that from the CA"
	case role == "root" || role == "ca":
		return "have the CA make a new root, and give it to clients and servers before this one ends"
	case role == "intermediate":
		return "get the CA's newer intermediate, and put it behind the leaf; a new leaf mostly brings it along"
	case j.w.Renews:
		return "`redis-cert-agent renew` renews it; `redis-cert-agent status` says why that has not happened"
	case j.f.Kind == Server:
		return "renew it, and make redis load it: CONFIG SET tls-cert-file with the path that it has, or a restart"
	}
	return "renew it"
}

// issuerFirst looks for an issuer that ends before the leaf, and so ends its
// life early. The first one is enough.
func (j *judge) issuerFirst() {
	first := j.path.certs[0]
	for _, c := range j.path.certs[1:] {
		if c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	if first == j.path.certs[0] || j.now.After(first.NotAfter) {
		return // none, or it is said already
	}
	j.blame(first, Warning, CodeIssuerFirst,
		fmt.Sprintf("%s ends %s before %s that it vouches for: clients refuse both from %s on",
			j.what(first), plain.Between(first.NotAfter, j.leaf.NotAfter), j.what(j.leaf), plain.Stamp(first.NotAfter)),
		"have the CA issue from one that lasts longer, and count on the earlier end until then")
}
