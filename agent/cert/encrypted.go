package cert

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
)

const (
	// rounds is how often PBKDF2 hashes. Redis reads its key with each reload, and answers
	// nobody meanwhile: this takes it about ten milliseconds, and the 600,000 that are
	// advised for what people can remember would take it half a second.
	rounds = 20_000
	// mostRounds bounds what a file can cost.
	mostRounds = 2_000_000

	encryptedLabel = "ENCRYPTED PRIVATE KEY"
)

// RFC 8018: PBES2 (appendix A.4), PBKDF2 (appendix A.2). What is written is PBKDF2 with
// HMAC-SHA-256 and AES-256-CBC, which OpenSSL from 1.1.0 on writes itself.
type (
	encryptedKey struct {
		Algorithm struct {
			Algorithm  asn1.ObjectIdentifier
			Parameters pbes2
		}
		Data []byte
	}
	pbes2 struct {
		Derivation struct {
			Algorithm asn1.ObjectIdentifier
			Params    derivation
		}
		Scheme struct {
			Algorithm asn1.ObjectIdentifier
			IV        []byte
		}
	}
	derivation struct {
		Salt   []byte
		Rounds int
		Length int                      `asn1:"optional"`
		PRF    pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}

	prfs = []struct {
		oid asn1.ObjectIdentifier
		new func() hash.Hash
	}{
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, sha256.New}, // the first is written
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}, sha1.New},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}, sha512.New384},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}, sha512.New},
	}
	ciphers = []struct {
		oid  asn1.ObjectIdentifier
		size int
	}{
		{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, 32},
		{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}, 24},
		{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}, 16},
	}
)

// ErrPassphrase says that a passphrase does not open a private key.
var ErrPassphrase = errors.New("the passphrase does not open the private key")

// errOtherCipher says that a key is encrypted in a way that this program does not have.
var errOtherCipher = fmt.Errorf("%w: it is encrypted in another way than AES by PBKDF2 (PBES2): "+
	"encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out KEY.new", ErrPassphrase)

// EncryptedKeyPEM returns the private key in PKCS #8, encrypted with a passphrase.
func (p *Pair) EncryptedKeyPEM(passphrase []byte) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	defer clear(plain)
	salt, iv := make([]byte, 16), make([]byte, aes.BlockSize)
	rand.Read(salt) // never fails: crypto/rand.Read
	rand.Read(iv)
	var k encryptedKey
	k.Algorithm.Algorithm = oidPBES2
	scheme, derived := &k.Algorithm.Parameters.Scheme, &k.Algorithm.Parameters.Derivation
	scheme.Algorithm, scheme.IV = ciphers[0].oid, iv
	derived.Algorithm = oidPBKDF2
	derived.Params = derivation{Salt: salt, Rounds: rounds, PRF: pkix.AlgorithmIdentifier{Algorithm: prfs[0].oid, Parameters: asn1.NullRawValue}}
	block, err := k.block(passphrase)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	k.Data = append(slices.Clone(plain), strings.Repeat(string(rune(pad)), pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(k.Data, k.Data)
	der, err := asn1.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: encryptedLabel, Bytes: der}), nil
}

// block returns the cipher of the key, with what PBKDF2 makes of a passphrase.
func (k *encryptedKey) block(passphrase []byte) (cipher.Block, error) {
	derived, scheme := k.Algorithm.Parameters.Derivation.Params, k.Algorithm.Parameters.Scheme.Algorithm
	size, prf := 0, sha1.New // the default of RFC 8018
	for _, c := range ciphers {
		if c.oid.Equal(scheme) {
			size = c.size
		}
	}
	if oid := derived.PRF.Algorithm; oid != nil {
		prf = nil
		for _, f := range prfs {
			if f.oid.Equal(oid) {
				prf = f.new
			}
		}
	}
	if size == 0 || prf == nil || derived.Rounds < 1 || derived.Rounds > mostRounds ||
		!k.Algorithm.Algorithm.Equal(oidPBES2) || !k.Algorithm.Parameters.Derivation.Algorithm.Equal(oidPBKDF2) {
		return nil, errOtherCipher
	}
	key, err := pbkdf2.Key(prf, string(passphrase), derived.Salt, derived.Rounds, size)
	if err != nil {
		return nil, err
	}
	return aes.NewCipher(key)
}

// open takes the private key out of a block that is encrypted.
func (b *block) open(passphrase []byte) (crypto.Signer, error) {
	if b.label != encryptedLabel {
		return nil, errOtherCipher // by a header, as OpenSSL did before PKCS #8
	}
	var k encryptedKey
	if rest, err := asn1.Unmarshal(b.der, &k); err != nil || len(rest) > 0 {
		return nil, errOtherCipher
	}
	cbc, err := k.block(passphrase)
	if err != nil {
		return nil, err
	}
	iv, data := k.Algorithm.Parameters.Scheme.IV, k.Data
	if len(iv) != aes.BlockSize || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, b.damage("what is in it is no key, or not a whole one")
	}
	defer clear(data)
	cipher.NewCBCDecrypter(cbc, iv).CryptBlocks(data, data)
	pad := int(data[len(data)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, ErrPassphrase
	}
	for _, c := range data[len(data)-pad:] {
		if int(c) != pad {
			return nil, ErrPassphrase
		}
	}
	opened := block{label: "PRIVATE KEY", der: data[:len(data)-pad], number: b.number, line: b.line}
	key, err := opened.key()
	var broken *PEMError
	if errors.As(err, &broken) {
		return nil, ErrPassphrase // the last byte of a wrong one looks right once in 256 times
	}
	return key, err
}

// OpenKey is ParseKey for a key that may be encrypted. Passphrase is asked only where one
// is needed; nil: there is none. The error is [ErrEncryptedKey] without one, and
// [ErrPassphrase] where it does not open the key, or cannot be had.
func OpenKey(text []byte, passphrase func() ([]byte, error)) (crypto.Signer, error) {
	key, err := ParseKey(text)
	if !errors.Is(err, ErrEncryptedKey) || passphrase == nil {
		return key, err
	}
	secret, err := passphrase()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPassphrase, err)
	}
	defer clear(secret)
	for r := (pemReader{text: text}); ; {
		b, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil, errOtherCipher
		}
		if err == nil && (strings.Contains(b.header, "ENCRYPTED") || b.label == encryptedLabel) {
			return b.open(secret)
		}
	}
}

// IsEncrypted says whether a text holds a private key that only a passphrase opens.
func IsEncrypted(text []byte) bool {
	_, err := ParseKey(text)
	return errors.Is(err, ErrEncryptedKey)
}
