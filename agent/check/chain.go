package check

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"redis-cert-agent/agent/cert"
)

// order finds the leaf, judges in what order the others follow, and returns
// them. RFC 5246, section 7.4.2: "Each following certificate MUST directly
// certify the one preceding it." RFC 8446, section 4.4.2, has clients bear it
// when they do not, and not all do.
func (j *judge) order() (others []*x509.Certificate) {
	all := unique(j.f.Chain)
	j.leaf = all[0]
	if j.f.Kind == File && j.leaf.IsCA {
		if i := slices.IndexFunc(all, func(c *x509.Certificate) bool { return !c.IsCA }); i > 0 {
			j.leaf = all[i]
			j.say(Critical, CodeOrder, fmt.Sprintf("the first certificate in the file is %s, a CA: redis takes the first one for its own", called(all[0])),
				"put the leaf first, then each one's issuer")
		}
	}
	others = slices.DeleteFunc(slices.Clone(all), j.leaf.Equal)
	if len(all) < len(j.f.Chain) {
		j.say(Warning, CodeRepeated, fmt.Sprintf("%d of the %d certificates are repeated", len(j.f.Chain)-len(all), len(j.f.Chain)),
			"keep each of them once: the leaf, then each one's issuer")
	}
	if j.leaf == all[0] && !inOrder(j.leaf, others) {
		j.say(Warning, CodeOrder, "the certificates are out of order, which some clients refuse",
			"put the leaf first, then each one's issuer")
	}
	if strangers := unrelated(j.leaf, others); len(strangers) > 0 {
		j.say(Warning, CodeUnrelated, fmt.Sprintf("it comes with %s, which issued none of the others", strings.Join(strangers, ", ")),
			"leave only the leaf and its issuers in the file")
	}
	return others
}

// lineage returns the issuers of leaf among others, by their names.
func lineage(leaf *x509.Certificate, others []*x509.Certificate) []*x509.Certificate {
	var line []*x509.Certificate
	for at := leaf; ; {
		i := slices.IndexFunc(others, func(o *x509.Certificate) bool {
			return bytes.Equal(o.RawSubject, at.RawIssuer) && !slices.ContainsFunc(line, o.Equal)
		})
		if i < 0 {
			return line
		}
		at = others[i]
		line = append(line, at)
	}
}

func inOrder(leaf *x509.Certificate, others []*x509.Certificate) bool {
	last := -1
	for _, c := range lineage(leaf, others) {
		i := slices.IndexFunc(others, c.Equal)
		if i < last {
			return false
		}
		last = i
	}
	return true
}

// unrelated names those that issued none of the others. One of two certificates
// of the same CA (cross-signed) is not among them.
func unrelated(leaf *x509.Certificate, others []*x509.Certificate) []string {
	line := append(lineage(leaf, others), leaf)
	var names []string
	for _, o := range others {
		if !slices.ContainsFunc(line, func(c *x509.Certificate) bool {
			return bytes.Equal(c.RawSubject, o.RawSubject) || bytes.Equal(c.RawIssuer, o.RawSubject)
		}) {
			names = append(names, called(o))
		}
	}
	return names
}

// trusted judges whether the chain leads to a root that is trusted. Without a
// CA that somebody named, an unknown one is only a warning: it may be one's own.
func (j *judge) trusted() {
	if j.path.whole {
		return
	}
	if j.path.broken != nil {
		j.broken(j.path.broken)
		return
	}
	if j.w.AnyCA {
		return
	}
	state, where := Critical, "among the CA certificates that were given"
	if j.w.Trust.Named == nil {
		state, where = Warning, "among the roots of this system"
	}
	top := j.path.certs[len(j.path.certs)-1]
	switch {
	case selfSigned(j.leaf):
		j.blame(j.leaf, state, CodeSelfSigned, "it is signed by itself, and is not "+where, j.naming("if it is yours, name this very certificate with --ca FILE"))
	case selfSigned(top):
		j.blame(top, state, CodeUntrusted, fmt.Sprintf("it leads to the root %s, which is not %s", called(top), where), j.naming("name your own CA with --ca FILE"))
	case j.w.Trust.Named == nil:
		j.blame(top, state, CodeUntrusted, fmt.Sprintf("the issuer %s of %s is neither in the chain nor %s", issuedBy(top), called(top), where),
			"name your own CA with --ca FILE; if that issuer is an intermediate of it, put it behind the leaf in tls-cert-file")
	default:
		j.blame(top, state, CodeIncomplete, fmt.Sprintf("the issuer %s of %s is neither in the chain nor %s", issuedBy(top), called(top), where),
			"if it is an intermediate, put it behind the leaf in the file; else give the right CA")
	}
}

// naming asks for a CA where nobody named one, and otherwise for another.
func (j *judge) naming(what string) string {
	if j.w.Trust.Named == nil {
		return what
	}
	return "give the CA that issued it, or have it issued by the one that was given"
}

func (j *judge) broken(err error) {
	const remedy = "have it issued again, and put its issuers behind it as the CA gives them"
	var sig signatureError
	var old x509.InsecureAlgorithmError
	var noCA x509.ConstraintViolationError
	switch {
	case errors.As(err, &old):
		j.worsen(CodeWeakHash)
	case errors.As(err, &sig) && errors.As(err, &noCA):
		j.blame(sig.issuer, Critical, CodeChain, fmt.Sprintf("%s has issued %s and is no CA", called(sig.issuer), called(sig.c)), remedy)
	case errors.As(err, &sig):
		j.blame(sig.c, Critical, CodeChain, fmt.Sprintf("%s was not signed by this %s, but by another of the same name", called(sig.c), called(sig.issuer)),
			"give the CA certificate that signed it: it was renewed with another key, or made twice")
	default:
		j.say(Critical, CodeChain, "no client accepts the chain: "+strings.TrimPrefix(err.Error(), "x509: "), remedy)
	}
}

// strength judges keys and hashes that are still in use and should not be.
func (j *judge) strength(c *x509.Certificate) {
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
		j.blame(c, Warning, CodeWeakKey, fmt.Sprintf("the key of %s is %s, which newer clients refuse", j.what(c), keyType(c)),
			"renew it with a key of ec-p256, or rsa-2048 and more")
	}
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		if !selfSigned(c) { // nobody looks at the signature of a root
			j.blame(c, Warning, CodeWeakHash, fmt.Sprintf("%s is signed with %s, which newer clients refuse", j.what(c), c.SignatureAlgorithm),
				"have it issued again with SHA-256")
		}
	}
}

// usage judges whether the leaf is for what it is used for.
func (j *judge) usage() {
	var missing, who string
	switch {
	case j.w.Role == ServerRole && !cert.CanAuthenticateServers(j.leaf):
		missing, who = "serverAuth", "clients"
	case j.w.Role == ClientRole && !cert.CanAuthenticateClients(j.leaf):
		missing, who = "clientAuth", "servers"
	case j.path.misused:
		j.blame(j.leaf, Critical, CodeUsage, "an issuer of it may not issue certificates for this use (its extended key usage)", "have it issued by a CA for "+string(j.w.Role)+"s")
		return
	default:
		return
	}
	j.blame(j.leaf, Critical, CodeUsage, fmt.Sprintf("its extended key usage lacks %s: %s refuse it", missing, who), "have the CA issue it with "+missing)
}

// names judges whether the leaf carries the names that clients ask for.
func (j *judge) names() {
	var missing []string
	for _, n := range j.w.Names {
		switch {
		case cert.VerifyName(j.leaf, n) == nil:
		case cert.Misplaced(j.leaf, n):
			j.blame(j.leaf, Critical, CodeName, fmt.Sprintf("it has %s as a DNS name, and clients look for an IP address", clean(n)), "have the CA write it as an IP address")
		default:
			missing = append(missing, clean(n))
		}
	}
	if len(missing) == 0 {
		return
	}
	has := cert.NamesOf(j.leaf)
	if len(has) == 0 {
		j.blame(j.leaf, Critical, CodeNoNames, fmt.Sprintf("it carries no subject alternative name: clients that check names refuse it for %s", strings.Join(missing, ", ")),
			"have it issued with the names that clients connect to; the common name has not counted since RFC 6125")
		return
	}
	remedy := "have it issued with this name, or let clients ask for one that it carries"
	if j.f.Kind == Server && !j.w.Loads {
		remedy += "; --name checks for another"
	}
	j.blame(j.leaf, Critical, CodeName, fmt.Sprintf("it is not for %s, only for %s", strings.Join(missing, ", "), some(has)), remedy)
}

// some lists names, as many as people read.
func some(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", clean(strings.Join(names[:most], ", ")), len(names)-most)
	}
	return clean(strings.Join(names, ", "))
}
