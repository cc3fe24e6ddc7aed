package cert

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"
)

// Unread returns why crypto/x509 does not parse c, which OpenSSL may well: a negative
// serial number, a curve that Go does not have. Of such a certificate its DER is known, and
// subject, issuer, serial number, times and key as far as they could be made out. It is nil
// for a certificate that was parsed.
func Unread(c *x509.Certificate) error {
	if len(c.RawTBSCertificate) > 0 || len(c.Raw) == 0 {
		return nil
	}
	_, err := x509.ParseCertificate(c.Raw)
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "x509: "), "asn1: "))
}

// FromDER returns the certificate of a DER text, perhaps as [Unread] knows it; nil when it
// is none.
func FromDER(der []byte) *x509.Certificate {
	b := block{der: der}
	c, _ := b.certificate(false)
	return c
}

// UnreadIn names the certificates of a PEM text that this program cannot judge, each with
// its place.
func UnreadIn(text []byte) (all []string) {
	for r := (pemReader{text: text}); ; {
		b, err := r.next()
		if errors.Is(err, io.EOF) || err != nil {
			return all
		}
		if !b.isCertificate() {
			continue
		}
		c, err := b.certificate(false)
		if err != nil {
			return all
		}
		if why := Unread(c); why != nil {
			all = append(all, fmt.Sprintf("this program cannot judge block %d, the certificate %q at line %d, and redis may take it: %v",
				b.number, CommonName(c), b.line, why))
		}
	}
}

// standIn returns what stands for a certificate that crypto/x509 does not parse; nil
// when OpenSSL would not either, since it is not built as one is (RFC 5280, section 4.1).
func standIn(der []byte) *x509.Certificate {
	c := &x509.Certificate{Raw: der}
	if der[1] == indefinite {
		return c
	}
	outer, _ := element(der)
	var whole [3]part
	if !split(outer.body, whole[:], sequence, sequence, asn1.TagBitString) || !isAlgorithm(whole[1]) || !isBits(whole[2]) {
		return nil
	}
	rest := whole[0].body
	if version, after := element(rest); version.tag == explicit0 {
		rest = after
	}
	var parts [6]part
	for i, tag := range [6]byte{asn1.TagInteger, sequence, sequence, sequence, sequence, sequence} {
		if parts[i], rest = element(rest); parts[i].tag != tag {
			return nil
		}
	}
	serial, algorithm, issuer, validity, subject, key := parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]
	var times, spki [2]part
	if len(serial.body) == 0 || !isAlgorithm(algorithm) || !isName(issuer) || !isName(subject) || !areExtensions(rest) ||
		!split(validity.body, times[:], 0, 0) || !split(key.body, spki[:], sequence, asn1.TagBitString) || !isAlgorithm(spki[0]) || !isBits(spki[1]) {
		return nil
	}
	c.SerialNumber = integer(serial.body)
	c.RawIssuer, c.Issuer = issuer.raw, name(issuer.raw)
	c.RawSubject, c.Subject = subject.raw, name(subject.raw)
	c.NotBefore, c.NotAfter = moment(times[0].raw), moment(times[1].raw)
	c.RawSubjectPublicKeyInfo = key.raw
	if key, err := x509.ParsePKIXPublicKey(key.raw); err == nil { // with an error it may be a nil pointer in an interface that is not nil
		c.PublicKey = key
	}
	return c
}

// integer reads a number in two's complement.
func integer(body []byte) *big.Int {
	n := new(big.Int).SetBytes(body)
	if len(body) > 0 && body[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(body))))
	}
	return n
}

func name(raw []byte) (n pkix.Name) {
	var rdn pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &rdn); err == nil {
		n.FillFromRDNSequence(&rdn)
	}
	return n
}

func moment(raw []byte) (t time.Time) {
	_, _ = asn1.Unmarshal(raw, &t) // what cannot be read is the zero time
	return t
}
