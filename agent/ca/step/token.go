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

// tokenLife is how long a token is valid. The step command uses the same.
const tokenLife = 5 * time.Minute

// oneTimeToken returns a token that tells the CA what the provisioner grants. For a
// certificate it names the root that the CA's own certificate led to in this session. It
// serves for one request, because the CA remembers its jti.
func (s *session) oneTimeToken(k signer, g grant, now time.Time) (string, error) {
	opts := new(jose.SignerOptions).WithType("JWT").WithHeader("kid", k.keyID)
	js, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(k.key.Algorithm),
		Key:       k.key.Key,
	}, opts)
	if err != nil {
		return "", errors.New("the provisioner's key cannot sign")
	}
	return mint(js, claims(s.c.opts.Provisioner, g.subject, s.c.base.String()+g.path, now), g.said(s))
}

// renewToken returns a token that proves to the CA that this host holds the key
// of the certificate in its header. The header is called "insecure" by step-ca,
// because the CA verifies the chain at a time when it was valid.
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
	return mint(js, claims("step-ca-client/1.0", p.Leaf().Subject.CommonName, s.c.base.String()+"/renew", now), nil)
}

// claims returns what both kinds of token say (RFC 7519, section 4.1). Times are
// in seconds since 1970, and the CA allows them to be a minute off.
func claims(issuer, subject, audience string, now time.Time) map[string]any {
	id := make([]byte, 32)
	rand.Read(id) // never fails: crypto/rand.Read
	return map[string]any{
		"iss": issuer,
		"sub": subject,
		"aud": audience,
		"jti": hex.EncodeToString(id),
		"nbf": now.Unix(),
		"iat": now.Unix(),
		"exp": now.Add(tokenLife).Unix(),
	}
}

func mint(s jose.Signer, claims, extra map[string]any) (string, error) {
	token, err := jose.Signed(s).Claims(claims).Claims(extra).CompactSerialize()
	if err != nil {
		return "", errors.New("the token cannot be signed with the key at hand")
	}
	return token, nil
}
