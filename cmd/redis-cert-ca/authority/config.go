package authority

import (
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

// newProvisioners returns the JWK provisioner, its key encrypted (RFC 7516)
// with the password, and the ACME one if o asks for it.
func newProvisioners(o InitOptions, password []byte) (provisioner.List, error) {
	public, encrypted, err := jose.GenerateDefaultKeyPair(password)
	if err != nil {
		return nil, fmt.Errorf("generate provisioner key: %w", err)
	}
	encryptedKey, err := encrypted.CompactSerialize()
	if err != nil {
		return nil, fmt.Errorf("encode provisioner key: %w", err)
	}
	list := provisioner.List{&provisioner.JWK{
		Type:         "JWK",
		Name:         o.Provisioner,
		Key:          public,
		EncryptedKey: encryptedKey,
	}}
	if o.ACME {
		list = append(list, &provisioner.ACME{Type: "ACME", Name: acmeName})
	}
	return list, nil
}

// newClaims returns the limits that all provisioners share; one place to
// change them in ca.json.
func newClaims(o InitOptions) *provisioner.Claims {
	duration := func(d time.Duration) *provisioner.Duration { return &provisioner.Duration{Duration: d} }
	return &provisioner.Claims{
		MinTLSDur:               duration(o.MinLifetime),
		DefaultTLSDur:           duration(o.Lifetime),
		MaxTLSDur:               duration(o.MaxLifetime),
		DisableRenewal:          &o.DisableRenewal,
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
