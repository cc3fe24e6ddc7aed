package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"time"

	"go.step.sm/crypto/pemutil"
)

// caBackdate is how long before its making a CA certificate becomes valid.
//
// Hosts whose clocks are behind must accept it at once. And step-ca verifies
// the chain in a renewal token at one minute before the expired leaf's
// NotAfter: a leaf that lived for less than a minute would then be older than
// an intermediate made just before it.
const caBackdate = time.Hour

// issuer is a CA certificate and the key that signs with it.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newRoot makes a self-signed CA certificate that may have one CA below it.
func newRoot(name string, now time.Time, lifetime time.Duration) (issuer, error) {
	return newIssuer(issuer{}, caTemplate(name+" Root CA", 1, now, lifetime))
}

// newIntermediate makes a CA certificate below root that signs leaves only.
func newIntermediate(root issuer, name string, now time.Time, lifetime time.Duration) (issuer, error) {
	return newIssuer(root, caTemplate(name+" Intermediate CA", 0, now, lifetime))
}

func caTemplate(name string, pathLen int, now time.Time, lifetime time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-caBackdate).Truncate(time.Second),
		NotAfter:              now.Add(lifetime).Truncate(time.Second),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            pathLen,
		MaxPathLenZero:        pathLen == 0,
	}
}

// newIssuer signs template, with a new P-256 key, by parent; by that key
// itself if parent is empty. The serial number is chosen by x509.
func newIssuer(parent issuer, template *x509.Certificate) (issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issuer{}, fmt.Errorf("generate key: %w", err)
	}
	if parent.cert == nil {
		parent = issuer{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		return issuer{}, fmt.Errorf("sign %q: %w", template.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return issuer{}, fmt.Errorf("read back %q: %w", template.Subject.CommonName, err)
	}
	return issuer{cert: cert, key: key}, nil
}

// certPEM returns the certificate in PEM.
func (i issuer) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
}

// keyPEM returns the key encrypted in PEM, in the form in which `step ca init`
// writes it. Its key derivation is weak and quick, which is enough for the 256
// random bits of newPassword: PKCS#8 with 600,000 rounds of PBKDF2 would not
// make them harder to guess, only each start slower.
func (i issuer) keyPEM(password []byte) ([]byte, error) {
	block, err := pemutil.Serialize(i.key, pemutil.WithPassword(password))
	if err != nil {
		return nil, fmt.Errorf("encrypt key of %q: %w", i.cert.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(block), nil
}

// fingerprint returns the SHA-256 of the certificate, in hex: what `step ca
// bootstrap` and the agent's configuration call the fingerprint.
func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}
