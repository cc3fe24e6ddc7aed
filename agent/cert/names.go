package cert

import (
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
)

// NamesOf returns the subject alternative names of c: DNS names, then IP
// addresses.
func NamesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// Carries reports whether a client that asks for name accepts c, whatever it verifies
// with. A wildcard in c stands for a name; a wildcard asked for must be there itself.
func Carries(c *x509.Certificate, name string) bool {
	return VerifyName(c, name) == nil && opensslTakes(c, name)
}

// VerifyName returns why clients in Go do not take c for name. crypto/x509 cannot tell of
// a wildcard that is asked for.
func VerifyName(c *x509.Certificate, name string) error {
	if !strings.HasPrefix(name, "*") {
		return c.VerifyHostname(name)
	}
	if slices.ContainsFunc(c.DNSNames, func(have string) bool { return strings.EqualFold(have, name) }) {
		return nil
	}
	return x509.HostnameError{Certificate: c, Host: name}
}

// names holds the leaf against the names of a server.
func (j *judgement) names() {
	if !j.is(AsServer) || Unread(j.leaf) != nil {
		return
	}
	for _, name := range j.q.Names {
		var who Clients
		if VerifyName(j.leaf, name) != nil {
			who |= Go
		}
		if !opensslTakes(j.leaf, name) {
			who |= OpenSSL | Strict
		}
		if who != 0 {
			j.find(Finding{CodeName, who, j.leaf, j.wrongName(name, who), "have it issued with this name, or let clients ask for one that it carries"})
		}
	}
}

// wrongName says why a name is not carried.
func (j *judgement) wrongName(name string, who Clients) string {
	has := NamesOf(j.leaf)
	switch {
	case len(has) == 0 && who&Go != 0:
		return fmt.Sprintf("it is not for %s: it carries no name that counts (%s)", name, otherNames(j.leaf))
	case Misplaced(j.leaf, name):
		return fmt.Sprintf("it has %s as a DNS name, and clients look for an IP address: have the CA write it as one", name)
	case who&Go == 0:
		return fmt.Sprintf("%s is covered only by a wildcard directly below a top-level name (%s), which clients with OpenSSL refuse", name, strings.Join(has, ", "))
	}
	return fmt.Sprintf("it is not for %s, only for %s", name, strings.Join(has, ", "))
}

// Misplaced says whether name is an IP address that c has as a DNS name, where nobody
// looks for it.
func Misplaced(c *x509.Certificate, name string) bool {
	return net.ParseIP(name) != nil && slices.Contains(c.DNSNames, name)
}

// otherNames tells what a certificate has instead of names that clients compare.
func otherNames(c *x509.Certificate) string {
	var all []string
	if c.Subject.CommonName != "" {
		all = append(all, fmt.Sprintf("its common name is %q", c.Subject.CommonName))
	}
	for _, u := range c.URIs {
		all = append(all, fmt.Sprintf("its URI %q", u))
	}
	for _, m := range c.EmailAddresses {
		all = append(all, fmt.Sprintf("its address %q", m))
	}
	if all == nil {
		return "nor anything else"
	}
	return strings.Join(all, ", ")
}

// opensslTakes says whether OpenSSL finds name in c (X509_check_host(3),
// X509_check_ip(3)): an IP address among the IP addresses alone, a DNS name among the
// DNS names, and in the common name where there are none.
func opensslTakes(c *x509.Certificate, name string) bool {
	if ip := net.ParseIP(name); ip != nil {
		return slices.ContainsFunc(c.IPAddresses, ip.Equal)
	}
	if strings.HasPrefix(name, "*") {
		return slices.ContainsFunc(c.DNSNames, func(have string) bool { return strings.EqualFold(have, name) })
	}
	names := c.DNSNames
	if len(names) == 0 && c.Subject.CommonName != "" {
		names = []string{c.Subject.CommonName}
	}
	return slices.ContainsFunc(names, func(have string) bool { return opensslMatches(have, name) })
}

// opensslMatches compares a name with one that a certificate has. A wildcard stands in
// the first label, with two more labels after it, at least: "*.internal" is none.
func opensslMatches(have, name string) bool {
	have, name = strings.ToLower(have), strings.ToLower(name)
	label, above, _ := strings.Cut(have, ".")
	before, after, wild := strings.Cut(label, "*")
	if !wild {
		return have == name
	}
	first, rest, _ := strings.Cut(name, ".")
	return strings.Contains(above, ".") && above == rest && len(first) > len(before)+len(after) &&
		strings.HasPrefix(first, before) && strings.HasSuffix(first, after)
}

// OpenSSLRefuses returns those of names that are wildcards which OpenSSL never takes:
// directly below a top-level name.
func OpenSSLRefuses(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !strings.HasPrefix(name, "*.") || opensslMatches(name, "a"+name[1:])
	})
}
