package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

// lineage returns the leaf and its issuers among others, by their names.
func lineage(leaf *x509.Certificate, others []*x509.Certificate) []*x509.Certificate {
	line := []*x509.Certificate{leaf}
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

// path goes from the leaf to its issuer and on, as X509_verify_cert(3) of OpenSSL does:
// at each step to a trusted certificate where one fits, else to one that was sent; to
// one that is valid now rather than to another. It looks at names, key identifiers and
// usages, at signatures only afterwards, and never takes a step back.
func (j *judgement) path() {
	roots := j.q.Roots
	switch {
	case roots == nil && j.q.System == nil:
		line := lineage(j.leaf, j.q.Sent)
		roots = line[len(line)-1:]
	case roots == nil && j.goPaths != nil:
		roots = j.goPaths[0][len(j.goPaths[0])-1:]
	}
	j.way = []*x509.Certificate{j.leaf}
	at, trusting := j.leaf, false
	for len(j.way) <= maxSent+1 {
		if selfIssuedBy(at) {
			j.whole = trusting || slices.ContainsFunc(roots, at.Equal)
			if !j.whole {
				j.stranger(at)
			}
			return
		}
		next := best(at, roots, j.q.Time)
		if next != nil {
			trusting = true
		} else if !trusting {
			next = best(at, j.q.Sent, j.q.Time)
		}
		if next == nil || slices.ContainsFunc(j.way, next.Equal) {
			break
		}
		j.way, at = append(j.way, next), next
	}
	anchor := slices.IndexFunc(j.way, func(c *x509.Certificate) bool { return slices.ContainsFunc(roots, c.Equal) })
	j.partial = anchor >= 0
	if j.q.Roots == nil && j.q.System == nil {
		j.whole, j.partial = true, false // nobody said what is trusted
		return
	}
	if j.partial {
		c := j.way[anchor]
		j.find(Finding{CodeAnchor, OpenSSL, c, fmt.Sprintf("%s is trusted and is no root: OpenSSL asks for the root above it, unless it is told to accept partial chains", j.called(c)),
			"trust its root instead: put it into ca.crt (roots.file)"})
		return
	}
	j.unfinished(at, slices.Concat(roots, j.q.Sent))
}

// stranger says that the path ends at a root that is not trusted.
func (j *judgement) stranger(root *x509.Certificate) {
	text := fmt.Sprintf("it does not chain to the trusted roots: it leads to the root %q, which is not among them", CommonName(root))
	if root == j.leaf {
		text = "it does not chain to the trusted roots: it is signed by itself, and is not among them"
	}
	j.find(Finding{CodeUntrusted, OpenSSL | Strict | Go, root, text, "put that root into what is trusted, if it is yours"})
}

// unfinished says why the path ends at c, which is no trusted root.
func (j *judgement) unfinished(c *x509.Certificate, known []*x509.Certificate) {
	for _, o := range known {
		if bytes.Equal(o.RawSubject, c.RawIssuer) && !sameKeyID(c, o) && o.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
			j.find(Finding{CodeKeyID, OpenSSL | Strict | Go, c, fmt.Sprintf("the authority key identifier of %s is not the subject key identifier of its issuer %q", j.called(c), CommonName(o)),
				"have it issued again by a CA whose certificate has the key identifier that it writes"})
			return
		}
	}
	j.find(Finding{CodeUntrusted, OpenSSL | Strict | Go, c, fmt.Sprintf("it does not chain to the trusted roots: the issuer %q of %s is not among them, nor among the certificates given (%d)",
		c.Issuer.CommonName, j.called(c), 1+len(j.q.Sent)),
		"put the intermediates behind it, and its root into what is trusted"})
}

// best returns the issuer of c that OpenSSL takes among certs: the first one that is valid
// at a time, else the one that ends last; nil when there is none.
func best(c *x509.Certificate, certs []*x509.Certificate, at time.Time) *x509.Certificate {
	var found *x509.Certificate
	for _, o := range certs {
		switch {
		case !issues(o, c) || o.Equal(c):
		case validAt(o, at):
			return o
		case found == nil || o.NotAfter.After(found.NotAfter):
			found = o
		}
	}
	return found
}

// issues says whether o may have issued c, by X509_check_issued(3): their names, the key
// identifier, and what o's key is for.
func issues(o, c *x509.Certificate) bool {
	return bytes.Equal(o.RawSubject, c.RawIssuer) && sameKeyID(c, o) && (extension(o, oidKeyUsage) == nil || o.KeyUsage&x509.KeyUsageCertSign != 0)
}

// selfIssuedBy says whether c is a root by what it says of itself.
func selfIssuedBy(c *x509.Certificate) bool { return SelfIssued(c) && sameKeyID(c, c) }

// sameKeyID says whether the authority key identifier of c (RFC 5280, section 4.2.1.1)
// fits o. What either does not have fits.
func sameKeyID(c, o *x509.Certificate) bool {
	if len(c.AuthorityKeyId) > 0 && len(o.SubjectKeyId) > 0 && !bytes.Equal(c.AuthorityKeyId, o.SubjectKeyId) {
		return false
	}
	var id struct {
		KeyID  asn1.RawValue `asn1:"optional,tag:0"`
		Issuer asn1.RawValue `asn1:"optional,tag:1"`
		Serial asn1.RawValue `asn1:"optional,tag:2"`
	}
	if ext := extension(c, oidAuthorityKeyID); ext != nil {
		if _, err := asn1.Unmarshal(ext.Value, &id); err == nil && len(id.Serial.Bytes) > 0 {
			return bytes.Equal(id.Serial.Bytes, o.SerialNumber.Bytes()) || bytes.Equal(bytes.TrimLeft(id.Serial.Bytes, "\x00"), o.SerialNumber.Bytes())
		}
	}
	return true
}

func validAt(c *x509.Certificate, t time.Time) bool {
	return !t.Before(c.NotBefore) && !t.After(c.NotAfter)
}

// Needed returns the leaf and those of its chain that lead to the roots of the pair: an
// expired certificate beside them, such as an old cross-signed root, is in nobody's way.
func (p *Pair) Needed() []*x509.Certificate {
	return Needed(p.Chain, p.CA)
}

// Needed returns the certificates of a chain that a client needs which trusts the roots,
// the leaf first.
func Needed(chain, roots []*x509.Certificate) []*x509.Certificate {
	way := Way(chain, roots)
	if way == nil {
		return chain
	}
	return slices.DeleteFunc(slices.Clone(chain), func(c *x509.Certificate) bool { return !slices.ContainsFunc(way, c.Equal) })
}

// Way returns the certificates from the leaf of a chain to one of the roots, that
// included; nil when there is no way.
func Way(chain, roots []*x509.Certificate) []*x509.Certificate {
	if len(roots) == 0 {
		return nil
	}
	j := &judgement{leaf: chain[0], q: Question{Leaf: chain[0], Sent: chain[1:], Roots: roots, Time: chain[0].NotBefore}}
	j.path()
	if !j.whole && !j.partial {
		return nil
	}
	return j.way
}

// signature holds a certificate of the way against its issuer's key.
func (j *judgement) signature(i int) {
	c, issuer := j.way[i], j.way[min(i+1, len(j.way)-1)]
	if c == issuer || Unread(issuer) != nil {
		return // nobody looks at the signature of a root; and what is not read is named by itself
	}
	for _, p := range j.goPaths {
		if at := slices.Index(p, c); at >= 0 && at+1 < len(p) && p[at+1] == issuer {
			return // crypto/x509 has verified it
		}
	}
	err := issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	var insecure x509.InsecureAlgorithmError
	switch {
	case err == nil:
	case errors.As(err, &insecure):
		j.find(Finding{CodeWeak, Go | OpenSSL | Strict, c, fmt.Sprintf("%s is signed with %s, which is no longer accepted", j.called(c), c.SignatureAlgorithm), "have it issued again with SHA-256"})
	case errors.Is(err, x509.ErrUnsupportedAlgorithm):
		j.unjudged(c, "its signature algorithm is not known here")
	default:
		j.find(Finding{CodeSignature, Go | OpenSSL | Strict, c, fmt.Sprintf("%s was not signed by this %q, but by another of the same name", j.called(c), CommonName(issuer)),
			"give the certificate of the CA that signed it"})
	}
}
