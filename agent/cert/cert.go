// Package cert holds a certificate chain and its private key as one checked
// value.
//
// A [Pair] cannot exist with a key that is not the leaf's. That matters more
// for Redis than for most servers: a chain and a key of different algorithms
// load with OK and then fail every handshake, and a pair of the same algorithm
// that does not match keeps redis-server from starting.
//
// [Need] is the gate between a CA and the disk: what a certificate must satisfy
// before a server is asked to load it.
package cert

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"redis-cert-agent/agent/option"
)

var (
	// ErrMismatch says that a private key does not belong to a certificate.
	ErrMismatch = errors.New("the private key does not belong to the certificate")
	// ErrEncryptedKey says that a private key is protected by a passphrase that is not there.
	ErrEncryptedKey = errors.New("the private key is encrypted, and no passphrase is configured: " +
		"name the file with it in key.passphrase_file, or decrypt the key (openssl pkey -in KEY -out KEY.plain)")
)

// A Pair is a certificate chain and the private key of its first certificate.
type Pair struct {
	Chain []*x509.Certificate // leaf first, then intermediates; never empty
	Key   crypto.Signer       // the private key of Chain[0]
	CA    []*x509.Certificate // what redis gets as tls-ca-cert-file; may be empty
}

// New returns the pair of chain and key. The error is [ErrMismatch] when key is
// not the private key of chain[0].
func New(chain []*x509.Certificate, key crypto.Signer, ca []*x509.Certificate) (*Pair, error) {
	if len(chain) == 0 {
		return nil, errors.New("no certificate")
	}
	if why := Unread(chain[0]); why != nil && chain[0].PublicKey == nil {
		return nil, fmt.Errorf("%w: %w", ErrForeignCertificate, why)
	}
	pub, ok := chain[0].PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil, fmt.Errorf("certificate %s: unsupported public key %T", chain[0].Subject, chain[0].PublicKey)
	}
	if !pub.Equal(key.Public()) {
		return nil, ErrMismatch
	}
	return &Pair{Chain: chain, Key: key, CA: ca}, nil
}

// Parse reads a pair from the PEM texts that redis reads: the chain with the
// leaf first, the unencrypted key, and the CA certificates, which may be nil.
// Errors say which of the three is at fault.
func Parse(certPEM, keyPEM, caPEM []byte) (*Pair, error) {
	chain, err := ParseChain(certPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := ParseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	var ca []*x509.Certificate
	if len(bytes.TrimSpace(caPEM)) > 0 {
		if ca, err = ParseCertificates(caPEM); err != nil {
			return nil, fmt.Errorf("CA certificates: %w", err)
		}
	}
	return New(chain, key, ca)
}

// Leaf returns the certificate that the server presents as its own.
func (p *Pair) Leaf() *x509.Certificate { return p.Chain[0] }

// Fingerprint returns the fingerprint of the leaf.
func (p *Pair) Fingerprint() Fingerprint { return FingerprintOf(p.Leaf()) }

// TLS returns the pair as crypto/tls presents it.
func (p *Pair) TLS() tls.Certificate {
	c := tls.Certificate{PrivateKey: p.Key, Leaf: p.Leaf()}
	for _, x := range p.Chain {
		c.Certificate = append(c.Certificate, x.Raw)
	}
	return c
}

// CertPEM returns the chain, leaf first.
func (p *Pair) CertPEM() []byte { return encode(p.Chain) }

// CAPEM returns the CA certificates; it is empty when there are none.
func (p *Pair) CAPEM() []byte { return encode(p.CA) }

// KeyPEM returns the private key in PKCS #8 (RFC 5958), unencrypted.
func (p *Pair) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func encode(certs []*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range certs {
		// Encode to a bytes.Buffer fails only for invalid headers; there are none.
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.Bytes()
}

// A Fingerprint is the SHA-256 of a certificate's DER.
type Fingerprint [sha256.Size]byte

// FingerprintOf returns the fingerprint of c.
func FingerprintOf(c *x509.Certificate) Fingerprint { return sha256.Sum256(c.Raw) }

// KeyFingerprint returns the SHA-256 of a public key as its SubjectPublicKeyInfo, in hex;
// empty for a key that Go cannot write.
func KeyFingerprint(pub crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// String returns the fingerprint as 64 lower-case hex digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Serial returns the serial number of a certificate in hex, as in
// "7e22b7814f5a9b0c": an even number of lower-case digits, as openssl counts them.
func Serial(c *x509.Certificate) string {
	if c == nil || c.SerialNumber == nil {
		return "none"
	}
	digits, sign := c.SerialNumber.Text(16), ""
	if digits[0] == '-' { // no CA may give one, and some have
		digits, sign = digits[1:], "-"
	}
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	return sign + digits
}

// Pool returns a pool of those of certs that crypto/x509 has parsed.
func Pool(certs []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		if Unread(c) == nil {
			p.AddCert(c)
		}
	}
	return p
}

// Merge returns the certificates of all lists in order, each once.
func Merge(lists ...[]*x509.Certificate) []*x509.Certificate {
	var all []*x509.Certificate
	seen := map[Fingerprint]bool{}
	for _, list := range lists {
		for _, c := range list {
			if f := FingerprintOf(c); !seen[f] {
				seen[f] = true
				all = append(all, c)
			}
		}
	}
	return all
}

// ReadCertificates reads the certificates in a PEM file; none when path is empty.
func ReadCertificates(path string) ([]*x509.Certificate, error) {
	if path == "" {
		return nil, nil
	}
	text, err := option.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all, err := ParseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}
