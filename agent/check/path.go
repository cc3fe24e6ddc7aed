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
	broken  error // why it breaks off, when more is known than that nobody vouches for the last one
}

// follow looks for the path from leaf. Where a client would find none, it looks
// for what is wrong: the clock, what it is for, or who vouches for it. The first
// try is all that a healthy chain costs.
func follow(leaf *x509.Certificate, others []*x509.Certificate, w Want, now time.Time) path {
	v := verifier{leaf: leaf, between: cert.Pool(others), roots: w.Trust.Pool}
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
	times := append([]time.Time{now}, edges(leaf, others)...)
	if certs := v.ever(times, usage); certs != nil {
		return path{certs: certs, whole: true}
	}
	if certs := v.ever(times, x509.ExtKeyUsageAny); certs != nil {
		return path{certs: certs, whole: true, misused: true}
	}
	issuers := others
	if !w.AnyCA { // else one of the same name, which did not sign it, is nothing to it
		issuers = slices.Concat(others, w.Trust.Named)
	}
	p := walk(leaf, issuers)
	if p.broken == nil {
		p.broken = v.breach(p, times, w.Trust)
	}
	return p
}

// edges are the times at which what is valid changes. The time in which a whole
// chain is valid, if there is any, lies between two of them.
func edges(leaf *x509.Certificate, others []*x509.Certificate) []time.Time {
	const most = 8 // of a chain that somebody made to be long
	times := []time.Time{leaf.NotBefore, leaf.NotAfter}
	for _, c := range others[:min(len(others), most)] {
		times = append(times, c.NotBefore, c.NotAfter)
	}
	return times
}

type verifier struct {
	leaf           *x509.Certificate
	between, roots *x509.CertPool
}

// at returns the path that lasts longest of those that a client would accept at
// a time.
func (v verifier) at(t time.Time, usage x509.ExtKeyUsage) ([]*x509.Certificate, error) {
	paths, err := v.leaf.Verify(x509.VerifyOptions{
		Roots: v.roots, Intermediates: v.between, CurrentTime: t, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return nil, err
	}
	return slices.MaxFunc(paths, func(a, b []*x509.Certificate) int { return end(a).Compare(end(b)) }), nil
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

// issuerOf returns who signed c. The error says why one of that name did not.
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

// breach returns what is wrong with p beside that nobody vouches for its end:
// a name constraint, a certificate in between that is no CA.
func (v verifier) breach(p path, times []time.Time, t Trust) error {
	top := p.certs[len(p.certs)-1]
	if slices.ContainsFunc(t.Named, top.Equal) {
		_, err := v.at(times[0], x509.ExtKeyUsageAny)
		return err // its end is trusted, and still
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

// selfSigned says whether c vouches for itself, as a root does. The names alone
// do not tell: a CA and its leaf may have been given the same.
func selfSigned(c *x509.Certificate) bool {
	if !cert.SelfIssued(c) {
		return false
	}
	err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	var old x509.InsecureAlgorithmError
	return err == nil || errors.As(err, &old)
}
