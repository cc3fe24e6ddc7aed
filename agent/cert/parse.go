package cert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"strings"
)

var (
	// ErrForeignKey says that this program cannot read a private key, which OpenSSL and
	// redis may: an algorithm or parameters that Go does not have.
	ErrForeignKey = errors.New("this program cannot read the key, and redis may")
	// ErrForeignCertificate says the same of a certificate.
	ErrForeignCertificate = errors.New("this program cannot judge the certificate, and redis may take it")
)

// ParseCertificates reads the certificates of a PEM text as OpenSSL 3 and redis read a
// tls-ca-cert-file. The error is a [*PEMError] where they refuse the text. A certificate
// that they take and crypto/x509 does not parse is in the result as [Unread] knows it, so
// that the others are of use and nothing is lost when they are written again.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	return parseCertificates(text, func(b *block, _ int) (trusted, wanted bool) {
		return b.label == "TRUSTED CERTIFICATE", true
	})
}

// ParseChain is ParseCertificates of a tls-cert-file, the leaf first: behind it OpenSSL
// passes over a TRUSTED CERTIFICATE.
func ParseChain(text []byte) ([]*x509.Certificate, error) {
	return parseCertificates(text, func(b *block, before int) (trusted, wanted bool) {
		return before == 0, before == 0 || b.label != "TRUSTED CERTIFICATE"
	})
}

// parseCertificates reads certificates as the caller says of each by its label and how
// many were before it: whether it is wanted, and read with what makes it a trusted one.
func parseCertificates(text []byte, how func(b *block, before int) (trusted, wanted bool)) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	seen := map[string]bool{}
	for r := (pemReader{text: text}); ; {
		b, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		seen[b.label] = true
		trusted, wanted := how(b, len(certs))
		if !wanted || !b.isCertificate() {
			continue
		}
		c, err := b.certificate(trusted)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, noCertificate(text, seen)
	}
	return certs, nil
}

func (b *block) isCertificate() bool {
	return b.label == "CERTIFICATE" || b.label == "X509 CERTIFICATE" || b.label == "TRUSTED CERTIFICATE"
}

// certificate takes the certificate out of a block. Behind one that is read as trusted
// there may be what it is trusted for (d2i_X509_AUX(3)); else OpenSSL does not look there.
func (b *block) certificate(trusted bool) (*x509.Certificate, error) {
	if b.header != "" {
		return nil, b.damage("it has a header, or an empty line in it")
	}
	der := outermost(b.der)
	if der == nil {
		return nil, b.damage("what is in it is no certificate, or not a whole one")
	}
	if behind := b.der[len(der):]; trusted && len(behind) > 0 && !isTrust(behind) {
		return nil, b.damage("there is something behind the certificate in it")
	}
	c, err := x509.ParseCertificate(der)
	if err == nil {
		return c, nil
	}
	if c = standIn(der); c == nil {
		return nil, b.damage("what is in it is no certificate")
	}
	return c, nil
}

// ParseKey reads the first private key of a PEM text: PKCS #8, PKCS #1 or SEC 1, whatever
// its label says of these. The error is [ErrEncryptedKey] for a key with a passphrase,
// [ErrForeignKey] for one that Go does not know, and else a [*PEMError]. A damaged block
// before the key is passed over, as OpenSSL does here.
func ParseKey(text []byte) (crypto.Signer, error) {
	seen := map[string]bool{}
	var damage error
	for r := (pemReader{text: text}); ; {
		b, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		seen[b.label] = true
		var key crypto.Signer
		switch encrypted := strings.Contains(b.header, "ENCRYPTED"); {
		case err != nil:
		case !strings.HasSuffix(b.label, "PRIVATE KEY") || b.label == "OPENSSH PRIVATE KEY":
			continue // EC PARAMETERS, or the certificate in the same file
		case encrypted || b.label == "ENCRYPTED PRIVATE KEY":
			return nil, ErrEncryptedKey
		default:
			key, err = b.key()
		}
		var broken *PEMError
		if !errors.As(err, &broken) {
			return key, err
		}
		if damage == nil {
			damage = err
		}
	}
	if damage != nil {
		return nil, damage
	}
	return nil, noKey(text, seen)
}

// key takes the private key out of a block. OpenSSL goes by what is in it, and not by its
// label.
func (b *block) key() (crypto.Signer, error) {
	der := outermost(b.der)
	if der == nil {
		return nil, b.damage("what is in it is no key, or not a whole one")
	}
	if outer, _ := element(der); outer.tag == sequence && (len(outer.body) == 0 || outer.body[0] != asn1.TagInteger) {
		return nil, b.damage("what is in it is no key")
	}
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
		func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
	} {
		key, err := parse(der)
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok {
			continue
		}
		if ec, ok := key.(*ecdsa.PrivateKey); ok && !ownPublicKey(ec, der) {
			return nil, b.damage("the public key in it is not that of the private key")
		}
		return signer, nil
	}
	return nil, fmt.Errorf("%w (%s block at line %d)", ErrForeignKey, b.label, b.line)
}

// ownPublicKey says whether an EC key in PKCS #8 or SEC 1 has its own public key, if it has
// one (RFC 5915): OpenSSL goes by that, and Go by the private key alone.
func ownPublicKey(key *ecdsa.PrivateKey, der []byte) bool {
	outer, _ := element(der)
	for rest := outer.body; len(rest) > 0; {
		var p part
		switch p, rest = element(rest); p.tag {
		case asn1.TagOctetString:
			if inner := outermost(p.body); inner != nil {
				return ownPublicKey(key, inner)
			}
		case explicit1:
			bits, _ := element(p.body)
			own, err := key.PublicKey.Bytes()
			return err != nil || len(bits.body) == 0 || len(bits.body) != 1+len(own) || bytes.Equal(bits.body[1:], own)
		}
	}
	return true
}
