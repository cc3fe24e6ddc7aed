package check

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"redis-cert-agent/agent/cert"
)

// A path is the way from a leaf to a root, as far as there is one.
type path struct {
	certs []*x509.Certificate // the leaf first; never empty

	whole   bool  // the last one is trusted, and everything holds but, maybe, the clock
	misused bool  // everything holds but what it is for
	broken  error // why it ends early, when more is known than that its last issuer is missing
}

// follow looks for the path from leaf. Where a client would find none, it finds
// out why: the clock, the usage, or a missing issuer. A healthy chain costs
// nothing that the verdict has not cost already.
func follow(leaf *x509.Certificate, others []*x509.Certificate, w Want, now time.Time, verdict cert.Verdict) path {
	if len(verdict.GoPaths) > 0 && !w.AnyCA { // else it trusted other roots
		return path{certs: longestLasting(verdict.GoPaths), whole: true}
	}
	v := verifier{leaf: leaf, sent: others, roots: w.Trust.Pool}
	usage := x509.ExtKeyUsageAny
	switch w.Role {
	case ServerRole:
		usage = x509.ExtKeyUsageServerAuth
	case ClientRole:
		usage = x509.ExtKeyUsageClientAuth
	}
	if certs, _ := v.at(now, usage); certs != nil {
		return path{certs: certs, whole: true}
	}
	times := append([]time.Time{now}, cert.Turns(append([]*x509.Certificate{leaf}, others...))...)
	if certs := v.ever(times, usage); certs != nil {
		return path{certs: certs, whole: true}
	}
	if certs := v.ever(times, x509.ExtKeyUsageAny); certs != nil {
		return path{certs: certs, whole: true, misused: true}
	}
	issuers := others
	if !w.AnyCA { // with AnyCA a CA of the same name that did not sign it is no fault
		issuers = slices.Concat(others, w.Trust.Named)
	}
	p := walk(leaf, issuers)
	if p.broken == nil {
		p.broken = v.breach(p, times, w.Trust)
	}
	return p
}

type verifier struct {
	leaf  *x509.Certificate
	sent  []*x509.Certificate
	roots *x509.CertPool
}

// at returns the path that lasts longest of those that a client would accept at
// a time.
func (v verifier) at(t time.Time, usage x509.ExtKeyUsage) ([]*x509.Certificate, error) {
	paths, err := cert.Paths(v.leaf, v.sent, v.roots, t, usage)
	if err != nil {
		return nil, err
	}
	return longestLasting(paths), nil
}

// longestLasting returns the path whose first end comes last.
func longestLasting(paths [][]*x509.Certificate) []*x509.Certificate {
	return slices.MaxFunc(paths, func(a, b []*x509.Certificate) int { return end(a).Compare(end(b)) })
}

// ever returns a path that a client would have accepted at one of the times.
func (v verifier) ever(times []time.Time, usage x509.ExtKeyUsage) []*x509.Certificate {
	for _, t := range times {
		if certs, _ := v.at(t, usage); certs != nil {
			return certs
		}
	}
	return nil
}

// end is when the first one of a path ends.
func end(certs []*x509.Certificate) time.Time {
	first := certs[0].NotAfter
	for _, c := range certs[1:] {
		if c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// walk goes from leaf to its issuer and on, by names and signatures alone.
func walk(leaf *x509.Certificate, others []*x509.Certificate) path {
	p := path{certs: []*x509.Certificate{leaf}}
	for at := leaf; !selfSigned(at); {
		next, err := issuerOf(at, others)
		if next == nil || slices.ContainsFunc(p.certs, next.Equal) {
			p.broken = err
			return p
		}
		p.certs = append(p.certs, next)
		at = next
	}
	return p
}

// issuerOf returns the certificate that signed c. The error says why one with
// the issuer's name did not.
func issuerOf(c *x509.Certificate, others []*x509.Certificate) (*x509.Certificate, error) {
	var not error
	for _, o := range others {
		if !bytes.Equal(o.RawSubject, c.RawIssuer) {
			continue
		}
		err := c.CheckSignatureFrom(o)
		if err == nil {
			return o, nil
		}
		not = signatureError{c, o, err}
	}
	return nil, not
}

// A signatureError says that issuer, which has the right name, did not sign c,
// or may not.
type signatureError struct {
	c, issuer *x509.Certificate
	cause     error
}

func (e signatureError) Error() string { return e.cause.Error() }
func (e signatureError) Unwrap() error { return e.cause }

// breach returns what is wrong with p besides a root that is not trusted: a name
// constraint, or an issuer that is no CA.
func (v verifier) breach(p path, times []time.Time, t Trust) error {
	top := p.certs[len(p.certs)-1]
	if slices.ContainsFunc(t.Named, top.Equal) {
		_, err := v.at(times[0], x509.ExtKeyUsageAny)
		return err // the root is trusted, and the path fails all the same
	}
	v.roots = cert.Pool([]*x509.Certificate{top})
	if v.ever(times, x509.ExtKeyUsageAny) != nil {
		return nil
	}
	_, err := v.at(times[0], x509.ExtKeyUsageAny)
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return nil
	}
	return err
}

// selfSigned says whether c signed itself, as a root does. The names alone do not
// show it, because a CA and its leaf may have been given the same.
func selfSigned(c *x509.Certificate) bool {
	if !cert.SelfIssued(c) {
		return false
	}
	err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	var old x509.InsecureAlgorithmError
	return err == nil || errors.As(err, &old)
}
