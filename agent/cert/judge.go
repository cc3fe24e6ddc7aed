package cert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"
)

// Extensions that are looked at as they are written.
var (
	oidAuthorityKeyID   = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidSubjectKeyID     = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// known are the critical extensions that OpenSSL handles and crypto/x509 does not, or not
// all of each: name constraints on directory names, policies.
var known = []asn1.ObjectIdentifier{
	{2, 5, 29, 30}, {2, 5, 29, 33}, {2, 5, 29, 36}, {2, 5, 29, 54}, {2, 5, 29, 32},
}

func extension(c *x509.Certificate, id asn1.ObjectIdentifier) *pkix.Extension {
	for i := range c.Extensions {
		if c.Extensions[i].Id.Equal(id) {
			return &c.Extensions[i]
		}
	}
	return nil
}

const everybody = Go | OpenSSL | Strict

// certificate holds the i-th certificate of the way against what is asked of each.
func (j *judgement) certificate(i int) {
	c := j.way[i]
	if why := Unread(c); why != nil {
		j.unjudged(c, why.Error())
		if !c.NotAfter.IsZero() {
			j.clock(c)
		}
		return
	}
	j.clock(c)
	if i > 0 {
		j.authority(i)
	}
	for _, id := range c.UnhandledCriticalExtensions {
		j.critical(c, id)
	}
	j.strength(i)
	j.signature(i)
	j.strictly(i)
}

func (j *judgement) clock(c *x509.Certificate) {
	what := "it"
	if c != j.leaf {
		what = fmt.Sprintf("its issuer %q", CommonName(c))
	}
	switch {
	case j.q.Time.After(c.NotAfter):
		j.find(Finding{CodeTime, everybody, c, fmt.Sprintf("%s expired at %s", what, c.NotAfter.UTC().Format(time.RFC3339)), "have it issued again"})
	case j.q.Time.Before(c.NotBefore):
		j.find(Finding{CodeTime, everybody, c, fmt.Sprintf("%s is not valid before %s; is this host's clock right?", what, c.NotBefore.UTC().Format(time.RFC3339)), "set the clock of this host, or of who issued it"})
	}
}

// authority holds the i-th certificate of the way, which issued the one before it,
// against RFC 5280, section 4.2.1.9.
func (j *judgement) authority(i int) {
	c := j.way[i]
	// OpenSSL lets an old root pass, which has no extensions, or not this one.
	old := i == len(j.way)-1 && !c.BasicConstraintsValid && (c.Version == 1 && SelfIssued(c) || c.KeyUsage&x509.KeyUsageCertSign != 0)
	if !c.IsCA && !old {
		j.find(Finding{CodeNoCA, everybody, c, fmt.Sprintf("%q has issued %s and is no CA", CommonName(c), j.called(j.way[i-1])), "have it issued by a CA"})
		return
	}
	if !c.IsCA {
		j.find(Finding{CodeNoCA, Go | Strict, c, fmt.Sprintf("%q has issued %s and does not say that it is a CA (basic constraints)", CommonName(c), j.called(j.way[i-1])), "have it issued by a CA whose certificate has CA:TRUE"})
	}
	below := 0
	for _, d := range j.way[1:i] {
		if !SelfIssued(d) {
			below++
		}
	}
	if (c.MaxPathLen > 0 || c.MaxPathLenZero) && below > c.MaxPathLen {
		j.find(Finding{CodeNoCA, everybody, c, fmt.Sprintf("%q may have %d CAs below it (path length), and has %d", CommonName(c), c.MaxPathLen, below), "have it issued by a CA further up"})
	}
}

func (j *judgement) critical(c *x509.Certificate, id asn1.ObjectIdentifier) {
	for _, k := range known {
		if k.Equal(id) {
			j.unjudged(c, fmt.Sprintf("it has a critical extension (%s) that is not known here", id))
			return
		}
	}
	j.find(Finding{CodeChain, everybody, c, fmt.Sprintf("%s has a critical extension (%s) that clients do not know", j.called(c), id), "have it issued without it"})
}

// strength holds the i-th certificate against the security level 2, OpenSSL's default
// for TLS since 3.2 and Debian's before (SSL_CTX_set_security_level(3)): 112 bits.
func (j *judgement) strength(i int) {
	c := j.way[i]
	weak := ""
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 {
			weak = fmt.Sprintf("an RSA key of %d bits", bits)
		}
	case *ecdsa.PublicKey:
		if bits := key.Curve.Params().BitSize; bits < 224 {
			weak = fmt.Sprintf("an EC key of %d bits", bits)
		}
	case nil:
		j.unjudged(c, "its key is of a kind that is not known here")
	}
	if weak != "" {
		j.find(Finding{CodeWeak, OpenSSL | Strict, c, fmt.Sprintf("%s has %s, which is no longer accepted", j.called(c), weak), "have it issued for a key of ec-p256, or of rsa-2048 and more"})
	}
	if i == len(j.way)-1 && (j.whole || j.partial) {
		return // nobody looks at the signature of what is trusted itself
	}
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		j.find(Finding{CodeWeak, everybody, c, fmt.Sprintf("%s is signed with %s, which is no longer accepted", j.called(c), c.SignatureAlgorithm), "have it issued again with SHA-256"})
	}
}

// uses holds the way against what the certificate is presented as: the leaf's key usage,
// and the extended key usage of each certificate.
func (j *judgement) uses() {
	for _, use := range j.q.Uses {
		name, side := "serverAuth", "clients"
		if use == AsClient {
			name, side = "clientAuth", "servers"
		}
		for _, c := range j.way {
			j.extended(c, use, name, side)
		}
		allowed := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement
		if _, ok := j.leaf.PublicKey.(*rsa.PublicKey); ok && use == AsServer {
			allowed |= x509.KeyUsageKeyEncipherment
		}
		if extension(j.leaf, oidKeyUsage) != nil && j.leaf.KeyUsage&allowed == 0 {
			j.find(Finding{CodeKeyUsage, OpenSSL | Strict, j.leaf, "its key usage lacks digitalSignature: " + side + " with OpenSSL refuse it", "have the CA issue it with digitalSignature"})
		}
	}
}

func (j *judgement) extended(c *x509.Certificate, use Use, name, side string) {
	if extension(c, oidExtKeyUsage) == nil || has(c, extended[use]) {
		return
	}
	remedy := "have the CA issue it with " + name
	switch {
	case has(c, x509.ExtKeyUsageAny):
		j.find(Finding{CodeUsage, OpenSSL | Strict, c, fmt.Sprintf("the extended key usage of %s is anyExtendedKeyUsage without %s: %s with OpenSSL refuse it", j.called(c), name, side), remedy})
	case c == j.leaf && use == AsClient && !j.is(AsServer):
		j.find(Finding{CodeUsage, everybody, c, "its extended key usage lacks clientAuth: servers will refuse it", remedy})
	case c == j.leaf && use == AsClient:
		j.find(Finding{CodeUsage, everybody, c, "its extended key usage lacks clientAuth, and redis presents it as a client " +
			"(replication, cluster bus or tls-auth-clients): let the CA add clientAuth, or give redis a tls-client-cert-file", remedy})
	case c == j.leaf:
		j.find(Finding{CodeUsage, everybody, c, "its extended key usage lacks serverAuth: clients will refuse it", remedy})
	default:
		j.find(Finding{CodeUsage, everybody, c, fmt.Sprintf("its issuer %q may not issue it for this use: its extended key usage lacks %s, and %s refuse the certificate", CommonName(c), name, side),
			"have it issued below a CA whose extended key usage has " + name + ", or that has none"})
	}
}

func has(c *x509.Certificate, u x509.ExtKeyUsage) bool {
	for _, have := range c.ExtKeyUsage {
		if have == u {
			return true
		}
	}
	return false
}

// maxMessage is what OpenSSL takes of a Certificate message, in bytes
// (SSL_MAX_CERT_LIST_DEFAULT, SSL_CTX_set_max_cert_list(3)).
const maxMessage = 100 << 10

// size holds the chain as it is sent against what OpenSSL takes.
func (j *judgement) size() {
	n := 4 + 3 + len(j.leaf.Raw) + 5
	for _, c := range j.q.Sent {
		n += len(c.Raw) + 5
	}
	if n > maxMessage {
		j.find(Finding{CodeSize, OpenSSL | Strict, j.leaf, fmt.Sprintf("it is sent with %d certificates in %d kB, of which OpenSSL takes 100", 1+len(j.q.Sent), n>>10), "leave only the leaf and its issuers in the file, and give it fewer names"})
	}
}

// strictly holds the i-th certificate against what OpenSSL's strict mode asks besides
// (X509_verify_cert(3), X509_V_FLAG_X509_STRICT).
func (j *judgement) strictly(i int) {
	c := j.way[i]
	refuse := func(what, remedy string) {
		j.find(Finding{CodeStrict, Strict, c, fmt.Sprintf("clients that verify strictly, as Python 3.13 and newer do, refuse %s: %s", j.called(c), what), remedy})
	}
	const again = "have the CA made or the certificate issued again, with that"
	if i == 0 && !c.BasicConstraintsValid && (c.KeyUsage&x509.KeyUsageCertSign != 0 || c.Version == 1 && SelfIssued(c)) {
		refuse("it could be a CA, and does not say that it is one", again)
	}
	if len(j.way) == 1 {
		return // one that is trusted itself is not looked at so closely
	}
	root := i == len(j.way)-1 && SelfIssued(c)
	basic, usage := extension(c, oidBasicConstraints), extension(c, oidKeyUsage)
	switch {
	case c.Version < 3:
		if len(c.Extensions) > 0 {
			refuse("it has extensions and is of an old version", again)
		}
		return
	case c.IsCA && !basic.Critical:
		refuse("the basic constraints of a CA must be critical", again)
	case c.IsCA && usage == nil:
		refuse("a CA must have a key usage", again)
	case !c.IsCA && c.KeyUsage&x509.KeyUsageCertSign != 0:
		refuse("its key usage has keyCertSign, and it is no CA", again)
	}
	if len(c.Issuer.Names) == 0 {
		refuse("it names no issuer", again)
	}
	if san := extension(c, oidSubjectAltName); len(c.Subject.Names) == 0 && (c.IsCA || san != nil && !san.Critical) {
		refuse("it has no subject, and its alternative names are not critical", again)
	}
	if !root && len(c.AuthorityKeyId) == 0 {
		refuse("it has no authority key identifier", again)
	}
	if c.IsCA && len(c.SubjectKeyId) == 0 {
		refuse("a CA must have a subject key identifier", again)
	}
	for _, id := range []asn1.ObjectIdentifier{oidAuthorityKeyID, oidSubjectKeyID} {
		if ext := extension(c, id); ext != nil && ext.Critical {
			refuse("a key identifier must not be critical", again)
		}
	}
}

// called names a certificate of the way.
func (j *judgement) called(c *x509.Certificate) string {
	if bytes.Equal(c.Raw, j.leaf.Raw) {
		return "it"
	}
	return fmt.Sprintf("its issuer %q", CommonName(c))
}

// CommonName names a certificate for people: its common name, or all of its subject.
func CommonName(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return c.Subject.String()
}
