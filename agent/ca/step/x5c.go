package step

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/option"
	"redis-cert-agent/agent/secret"

	"go.step.sm/crypto/jose"
)

// X5C is a certificate and key that the host has already, as from its vendor or from
// another CA, which a provisioner of type X5C takes in place of a password.
type X5C struct {
	Cert string // PEM, leaf first
	Key  secret.Secret
}

// Set tells whether there is one.
func (x X5C) Set() bool { return x.Cert != "" || x.Key.Set() }

// Faults tells what cannot work.
func (x X5C) Faults(r option.Report) {
	if !x.Set() {
		return
	}
	option.Absolute(r, "cert", x.Cert)
	if !x.Key.Set() {
		r.Fault("key", "missing; write the path of its key, or credential:NAME")
	}
}

// read reads certificate and key anew, since another program renews them.
func (x X5C) read(now time.Time) ([]*x509.Certificate, crypto.Signer, error) {
	chain, err := option.ReadFile(x.Cert)
	if err != nil {
		return nil, nil, err
	}
	key, err := x.Key.Read()
	if err != nil {
		return nil, nil, err
	}
	p, err := cert.Parse(chain, key, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", x.Cert, err)
	}
	if err := cert.ValidAt(p.Chain[:1], now); err != nil {
		return nil, nil, fmt.Errorf("%s: %w: whoever renews it has to", x.Cert, err)
	}
	return p.Chain, p.Key, nil
}

// x5cToken returns a one-time token that the key of the host's certificate signs.
func (s *session) x5cToken(g grant, now time.Time) (string, error) {
	chain, key, err := s.c.opts.X5C.read(now)
	if err != nil {
		return "", err
	}
	text := make([]string, len(chain))
	for i, c := range chain {
		text[i] = base64.StdEncoding.EncodeToString(c.Raw)
	}
	opts := new(jose.SignerOptions).WithType("JWT").WithHeader("x5c", text)
	js, err := jose.NewSigner(jose.SigningKey{Key: key}, opts)
	if err != nil {
		return "", errors.New("its key cannot sign a token")
	}
	said := claims(s.c.opts.Provisioner, g.subject, s.c.base.String()+g.path+"#x5c/"+s.c.opts.Provisioner, now)
	return mint(js, said, g.said(s))
}
