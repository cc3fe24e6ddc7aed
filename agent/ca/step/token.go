package step

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"time"

	"redis-cert-agent/agent/cert"

	"go.step.sm/crypto/jose"
)

// tokenLife is that of the step command's tokens.
const tokenLife = 5 * time.Minute

// oneTimeToken says to the CA that the provisioner grants a certificate for
// names. Root is the fingerprint of the CA's root as it was verified just now.
// It is minted for one request and not sent again: the CA remembers its jti.
func (s *session) oneTimeToken(k signer, names []string, now time.Time) (string, error) {
	opts := new(jose.SignerOptions).WithType("JWT").WithHeader("kid", k.keyID)
	js, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(k.key.Algorithm),
		Key:       k.key.Key,
	}, opts)
	if err != nil {
		return "", errors.New("the provisioner's key cannot sign")
	}
	claims := claims(s.c.opts.Provisioner, names[0], s.c.base.String()+"/1.0/sign", now)
	extra := map[string]any{"sans": names, "sha": s.root}
	return jose.Signed(js).Claims(claims).Claims(extra).CompactSerialize()
}

// renewToken says to the CA that who signs it holds the key of the certificate
// in its header. The header's name is step-ca's: "insecure" because the CA
// verifies the chain at a time when it was valid.
func (s *session) renewToken(p *cert.Pair, now time.Time) (string, error) {
	chain := make([]string, len(p.Chain))
	for i, c := range p.Chain {
		chain[i] = base64.StdEncoding.EncodeToString(c.Raw)
	}
	opts := new(jose.SignerOptions).WithType("JWT").WithHeader(jose.HeaderKey(jose.X5cInsecureKey), chain)
	js, err := jose.NewSigner(jose.SigningKey{Key: p.Key}, opts)
	if err != nil {
		return "", errors.New("the current key cannot sign a token")
	}
	claims := claims("step-ca-client/1.0", p.Leaf().Subject.CommonName, s.c.base.String()+"/renew", now)
	return jose.Signed(js).Claims(claims).CompactSerialize()
}

// claims are those of either token. The CA grants a minute of leeway to their
// times.
func claims(issuer, subject, audience string, now time.Time) jose.Claims {
	id := make([]byte, 32)
	rand.Read(id) // never fails, crypto/rand
	return jose.Claims{
		Issuer:    issuer,
		Subject:   subject,
		Audience:  jose.Audience{audience},
		ID:        hex.EncodeToString(id),
		NotBefore: jose.NewNumericDate(now),
		IssuedAt:  jose.NewNumericDate(now),
		Expiry:    jose.NewNumericDate(now.Add(tokenLife)),
	}
}
