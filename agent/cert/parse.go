package cert

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ParseCertificates reads every CERTIFICATE block of a PEM text. Other blocks
// and the text between blocks are passed over, as OpenSSL does. A text without
// a certificate, and one that breaks off inside a block, is an error.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	if strings.Contains(string(text), "-----BEGIN CERTIFICATE") {
		return nil, errors.New("the PEM text is truncated")
	}
	if len(certs) == 0 {
		return nil, errors.New("no CERTIFICATE block in the PEM text")
	}
	return certs, nil
}

// ParseKey reads the first private key of a PEM text: PKCS #8, PKCS #1 or
// SEC 1. The error is [ErrEncryptedKey] for a key with a passphrase.
func ParseKey(text []byte) (crypto.Signer, error) {
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			if strings.Contains(string(text), "-----BEGIN") {
				return nil, errors.New("the PEM text is truncated")
			}
			return nil, errors.New("no PRIVATE KEY block in the PEM text")
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue // EC PARAMETERS, or the certificate in the same file
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return nil, ErrEncryptedKey
		}
		return parseKeyDER(block)
	}
}

func parseKeyDER(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		// The parsers' errors describe structure only, never key bytes.
		return nil, fmt.Errorf("%s block: %w", block.Type, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s block: a %T cannot sign", block.Type, key)
	}
	return signer, nil
}
