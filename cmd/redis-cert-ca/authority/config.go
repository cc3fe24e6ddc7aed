package authority

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/authority/policy"
	"github.com/smallstep/certificates/authority/provisioner"
	"github.com/smallstep/certificates/db"
	"go.step.sm/crypto/jose"
)

// newConfig returns step-ca's configuration for o, with a new provisioner key
// that provisionerPassword unlocks.
func newConfig(o InitOptions, provisionerPassword []byte) (*config.Config, error) {
	provisioners, err := newProvisioners(o, provisionerPassword)
	if err != nil {
		return nil, err
	}
	at := func(name string) string { return filepath.Join(o.Dir, name) }
	tlsOptions := config.DefaultTLSOptions
	return &config.Config{
		Root:             []string{at(rootFile)},
		IntermediateCert: at(intermediateFile),
		IntermediateKey:  at(intermediateKeyFile),
		Address:          o.Address,
		DNSNames:         o.DNS,
		DB:               &db.Config{Type: "bbolt", DataSource: at(databaseFile)},
		TLS:              &tlsOptions,
		CommonName:       o.Name + " Online CA",
		AuthorityConfig: &config.AuthConfig{
			Provisioners: provisioners,
			Claims:       newClaims(o),
			Policy:       newPolicy(o),
			Backdate:     &provisioner.Duration{Duration: o.Backdate},
		},
	}, nil
}

// newProvisioners returns the JWK provisioner, its key encrypted with the
// password, and the ACME one if o asks for it.
func newProvisioners(o InitOptions, password []byte) (provisioner.List, error) {
	key, err := jose.GenerateJWK("EC", "P-256", "ES256", "sig", "", 0)
	if err != nil {
		return nil, fmt.Errorf("generate provisioner key: %w", err)
	}
	if key.KeyID, err = jose.Thumbprint(key); err != nil {
		return nil, fmt.Errorf("name provisioner key: %w", err)
	}
	encryptedKey, err := encryptJWK(key, password)
	if err != nil {
		return nil, fmt.Errorf("encrypt provisioner key: %w", err)
	}
	public := key.Public()
	list := provisioner.List{&provisioner.JWK{
		Type:         "JWK",
		Name:         o.Provisioner,
		Key:          &public,
		EncryptedKey: encryptedKey,
	}}
	if o.ACME {
		list = append(list, &provisioner.ACME{Type: "ACME", Name: acmeName})
	}
	return list, nil
}

// pbes2Rounds is the least that RFC 7518, section 4.8.1.2, recommends. The
// rounds protect passwords that can be guessed, and cost each client CPU time
// before its first token: 0.1 seconds for the 600,000 that are step-ca's
// default. The password here is 256 random bits.
const pbes2Rounds = 1000

// encryptJWK returns key as a JWE (RFC 7516) that password opens, in the form
// that step-ca's clients expect.
func encryptJWK(key *jose.JSONWebKey, password []byte) (string, error) {
	data, err := json.Marshal(key)
	if err != nil {
		return "", err
	}
	recipient := jose.Recipient{Algorithm: jose.PBES2_HS256_A128KW, Key: password, PBES2Count: pbes2Rounds}
	encrypter, err := jose.NewEncrypter(jose.DefaultEncAlgorithm, recipient,
		new(jose.EncrypterOptions).WithContentType("jwk+json"))
	if err != nil {
		return "", err
	}
	jwe, err := encrypter.Encrypt(data)
	if err != nil {
		return "", err
	}
	return jwe.CompactSerialize()
}

// newClaims returns the limits that all provisioners share; one place to
// change them in ca.json.
func newClaims(o InitOptions) *provisioner.Claims {
	duration := func(d time.Duration) *provisioner.Duration { return &provisioner.Duration{Duration: d} }
	return &provisioner.Claims{
		MinTLSDur:               duration(o.MinLifetime),
		DefaultTLSDur:           duration(o.Lifetime),
		MaxTLSDur:               duration(o.MaxLifetime),
		DisableRenewal:          new(bool),
		AllowRenewalAfterExpiry: &o.RenewAfterExpiry,
	}
}

// newPolicy returns which names may be certified; nil means all. It is the
// authority's policy, as step-ca ignores one that stands in ca.json at a
// provisioner. The authority's own certificate does not obey it.
func newPolicy(o InitOptions) *policy.Options {
	if len(o.AllowDNS)+len(o.AllowIP) == 0 {
		return nil
	}
	return &policy.Options{X509: &policy.X509PolicyOptions{
		AllowedNames: &policy.X509NameOptions{DNSDomains: o.AllowDNS, IPRanges: o.AllowIP},
	}}
}
