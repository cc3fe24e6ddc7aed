package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// A KeyType names an algorithm and a size of private key.
type KeyType string

// The key types that redis loads and common CAs sign.
const (
	P256    KeyType = "ec-p256"
	P384    KeyType = "ec-p384"
	RSA2048 KeyType = "rsa-2048"
	RSA3072 KeyType = "rsa-3072"
	RSA4096 KeyType = "rsa-4096"
	Ed25519 KeyType = "ed25519"
)

// KeyTypes lists the key types, the default first.
var KeyTypes = []KeyType{P256, P384, RSA2048, RSA3072, RSA4096, Ed25519}

// GenerateKey returns a new private key.
func GenerateKey(t KeyType) (crypto.Signer, error) {
	switch t {
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case RSA2048, RSA3072, RSA4096:
		bits, err := strconv.Atoi(strings.TrimPrefix(string(t), "rsa-"))
		if err != nil {
			return nil, err
		}
		return rsa.GenerateKey(rand.Reader, bits)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("unknown key type %q", t)
}

// KeyTypeOf returns the type of a public key. A key of another algorithm or
// size gets a name that no configuration can ask for, like "rsa-1024".
func KeyTypeOf(pub crypto.PublicKey) KeyType {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return KeyType("ec-" + strings.ToLower(strings.ReplaceAll(k.Params().Name, "-", "")))
	case *rsa.PublicKey:
		return KeyType(fmt.Sprintf("rsa-%d", k.N.BitLen()))
	case ed25519.PublicKey:
		return Ed25519
	}
	return KeyType(fmt.Sprintf("%T", pub))
}

// NextKeyType returns the type for a key that follows the one of pub: the same, or, where
// no configuration can ask for that, the nearest of its algorithm that is not smaller.
func NextKeyType(pub crypto.PublicKey) KeyType {
	if t := KeyTypeOf(pub); slices.Contains(KeyTypes, t) {
		return t
	}
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k.Params().BitSize > 256 {
			return P384
		}
	case *rsa.PublicKey:
		for _, t := range []KeyType{RSA2048, RSA3072} {
			if bits, _ := strconv.Atoi(strings.TrimPrefix(string(t), "rsa-")); k.N.BitLen() <= bits {
				return t
			}
		}
		return RSA4096
	}
	return P256
}

// Request returns a certificate signing request (PKCS #10, RFC 2986) in DER
// for key and names, which are DNS names and IP addresses. The first name is
// the subject's common name as well: step-ca and older monitoring show it.
func Request(key crypto.Signer, names []string) ([]byte, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("certificate request: no names")
	}
	dns, ips := SplitNames(names)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: names[0]},
		DNSNames:    dns,
		IPAddresses: ips,
	}, key)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	return der, nil
}

// SplitNames sorts names into DNS names and IP addresses, each in its order.
func SplitNames(names []string) (dns []string, ips []net.IP) {
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			ips = append(ips, ip)
		} else {
			dns = append(dns, n)
		}
	}
	return dns, ips
}
