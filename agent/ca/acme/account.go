package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/ratelimit"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
)

// maxKeyFile bounds what is read of the account key's file.
const maxKeyFile = 64 << 10

// account returns the CA's account for the key in the file. It makes the key and
// the account where they do not exist. Only the key is kept, because the CA finds
// an account by its key (RFC 8555, section 7.3.1).
func (s *session) account(ctx context.Context) (acme.Account, error) {
	key, err := accountKey(s.c.opts.AccountKeyFile)
	if err != nil {
		return acme.Account{}, ca.Fault(opAccount, err)
	}
	have, err := s.acme.GetAccount(ctx, acme.Account{PrivateKey: key})
	if p := problemIn(err); p != nil && p.Type == acme.ProblemTypeAccountDoesNotExist {
		if have, ok := s.rolledOver(ctx); ok {
			return have, nil
		}
		return s.register(ctx, key)
	}
	if err != nil {
		return acme.Account{}, s.failed(ctx, opAccount, err)
	}
	if err := s.valid(have); err != nil {
		return acme.Account{}, err
	}
	have.PrivateKey = key
	s.updateContact(ctx, have)
	return have, nil
}

// valid returns why the CA takes no orders for the account; nil when it does.
func (s *session) valid(have acme.Account) error {
	if have.Status == acme.StatusValid {
		return nil
	}
	return ca.Fault(opAccount, fmt.Errorf("%s says that account %s is %s: to get a new one, move %s away",
		s.c.base.Host, ca.Clean(have.Location, 120), ca.Clean(have.Status, 20), s.c.opts.AccountKeyFile))
}

// register makes an account for key.
func (s *session) register(ctx context.Context, key crypto.Signer) (acme.Account, error) {
	if err := s.mayRegister(); err != nil {
		return acme.Account{}, err
	}
	want := acme.Account{PrivateKey: key, Contact: s.c.opts.Contact, TermsOfServiceAgreed: s.c.opts.TermsAccepted}
	if eab := s.c.opts.EAB; eab != nil {
		secret, err := eab.Key.Read()
		if err != nil {
			return want, ca.Fault(opAccount, fmt.Errorf("read the external account's HMAC key: %w", err))
		}
		encoded, err := macKey(secret)
		if err != nil {
			return want, ca.Fault(opAccount, err)
		}
		if err := want.SetExternalAccountBinding(ctx, s.acme, acme.EAB{KeyID: eab.KeyID, MACKey: encoded}); err != nil {
			return want, ca.Fault(opAccount, errors.New("the external account's HMAC key does not sign"))
		}
	} else if s.meta().ExternalAccountRequired {
		return want, ca.Fault(opAccount, fmt.Errorf("%s %s", s.c.base.Host, needsEAB))
	}
	got, err := s.acme.NewAccount(ctx, want)
	if err != nil {
		e := s.failed(ctx, opAccount, err)
		if want.ExternalAccountBinding != nil && e.Status/100 == 4 && e.Hint == "" {
			e.Hint = fmt.Sprintf("check the external account's key id %q and HMAC key; CAs let most keys bind once", ca.Clean(s.c.opts.EAB.KeyID, ca.MaxMessage))
		}
		return got, e
	}
	if got.Location == "" {
		return got, s.garbage(opAccount, errors.New("the account has no URL"))
	}
	got.PrivateKey = key
	s.count((*ratelimit.Book).Registered)
	s.c.opts.Warn(fmt.Sprintf("%s has a new account for this host, %s: its key is %s", s.c.base.Host, ca.Clean(got.Location, 120), s.c.opts.AccountKeyFile))
	return got, nil
}

const needsEAB = "makes accounts only for its customers: set issuer.acme.eab to the key id and the HMAC key that it hands out"

// macKey reads the HMAC key of an external account. CAs hand it out in
// base64url (RFC 8555, section 7.3.4), some with padding, some in plain base64.
func macKey(secret []byte) (string, error) {
	s := strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(strings.TrimSpace(string(secret)), "="))
	// Strict: what has stray bits at its end was not copied whole.
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(s); err != nil || len(raw) == 0 {
		return "", errors.New("this secret is not base64url; put the HMAC key there alone, as the CA gave it")
	}
	return s, nil
}

// accountKey reads the key in the file, or makes one if there is no file.
func accountKey(path string) (crypto.Signer, error) {
	key, err := readAccountKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeAccountKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("account key: %w", err)
	}
	return key, nil
}

func readAccountKey(path string) (crypto.Signer, error) {
	text, err := readAccountKeyFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	key, err := parseAccountKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: put the right one back, or move it away to get a new account", path, err)
	}
	return key, nil
}

// parseAccountKey reads a key of one of the kinds that acmez can sign with.
func parseAccountKey(text []byte) (crypto.Signer, error) {
	key, err := cert.ParseKey(text)
	if err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if bits := k.Curve.Params().BitSize; bits >= 256 {
			return k, nil
		}
	case *rsa.PrivateKey:
		return k, nil
	}
	return nil, errors.New("it is no key for an ACME account, which are ECDSA or RSA")
}

// makeAccountKey makes a key and its file. The file is on the disk before the CA
// sees the key, because an account whose key was lost counts against the limits
// of the CA and serves nobody.
func makeAccountKey(path string) (crypto.Signer, error) {
	key, err := cert.GenerateKey(cert.P256)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("account key: %w", err)
	}
	if err := disk.Replace(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return nil, fmt.Errorf("account key: %w", err)
	}
	return key, nil
}
