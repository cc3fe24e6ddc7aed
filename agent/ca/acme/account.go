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
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

// maxKeyFile bounds what is read of the account key's file.
const maxKeyFile = 64 << 10

// account returns the CA's account for the key in the file, and makes what does
// not exist: the key, the account. The CA finds an account by its key (RFC 8555,
// section 7.3.1), so nothing but the key is kept.
func (s *session) account(ctx context.Context) (acme.Account, error) {
	key, err := accountKey(s.c.opts.AccountKeyFile)
	if err != nil {
		return acme.Account{}, s.c.fault(opAccount, err)
	}
	have, err := s.acme.GetAccount(ctx, acme.Account{PrivateKey: key})
	if p := problemIn(err); p != nil && p.Type == acme.ProblemTypeAccountDoesNotExist {
		return s.register(ctx, key)
	}
	if err != nil {
		return acme.Account{}, s.failed(ctx, opAccount, err)
	}
	if have.Status != acme.StatusValid {
		return acme.Account{}, s.c.fault(opAccount, fmt.Errorf("%s says that account %s is %s: to get a new one, move %s away",
			s.c.base.Host, ca.Cut(clean(have.Location), 120), ca.Cut(clean(have.Status), 20), s.c.opts.AccountKeyFile))
	}
	have.PrivateKey = key
	return have, nil
}

// register makes an account for key.
func (s *session) register(ctx context.Context, key crypto.Signer) (acme.Account, error) {
	want := acme.Account{PrivateKey: key, Contact: s.c.opts.Contact, TermsOfServiceAgreed: s.c.opts.TermsAccepted}
	if eab := s.c.opts.EAB; eab != nil {
		secret, err := eab.Key()
		if err != nil {
			return want, s.c.fault(opAccount, fmt.Errorf("read the external account's HMAC key: %w", err))
		}
		encoded, err := macKey(secret)
		if err != nil {
			return want, s.c.fault(opAccount, err)
		}
		if err := want.SetExternalAccountBinding(ctx, s.acme, acme.EAB{KeyID: eab.KeyID, MACKey: encoded}); err != nil {
			return want, s.c.fault(opAccount, errors.New("the external account's HMAC key does not sign"))
		}
	} else if s.meta().ExternalAccountRequired {
		return want, s.c.fault(opAccount, fmt.Errorf("%s %s", s.c.base.Host, needsEAB))
	}
	got, err := s.acme.NewAccount(ctx, want)
	if err != nil {
		e := s.failed(ctx, opAccount, err)
		if want.ExternalAccountBinding != nil && e.Status/100 == 4 && e.hint == "" {
			e.hint = fmt.Sprintf("check the external account's key id %q and HMAC key; CAs let most keys bind once", clean(s.c.opts.EAB.KeyID))
		}
		return got, e
	}
	if got.Location == "" {
		return got, s.garbage(opAccount, errors.New("the account has no URL"))
	}
	got.PrivateKey = key
	s.c.opts.Warn(fmt.Sprintf("%s has a new account for this host, %s: its key is %s", s.c.base.Host, ca.Cut(clean(got.Location), 120), s.c.opts.AccountKeyFile))
	return got, nil
}

const needsEAB = "makes accounts only for its customers: set issuer.acme.eab to the key id and the HMAC key that it hands out"

// macKey reads the HMAC key of an external account. CAs hand it out in
// base64url (RFC 8555, section 7.3.4), some with padding, some in plain base64.
func macKey(secret []byte) (string, error) {
	s := strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(strings.TrimSpace(string(secret)), "="))
	// Strict: what has stray bits at its end was not copied whole.
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(s); err != nil || len(raw) == 0 {
		return "", errors.New("the external account's HMAC key is no base64url: copy it as the CA hands it out")
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
	// O_NONBLOCK lets the open of a FIFO return; fifo(7).
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !fi.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case fi.Mode()&0o077 != 0:
		return nil, fmt.Errorf("%s: mode %#o lets others use the account: chmod 0600 %[1]s", path, fi.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
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

// parseAccountKey takes the keys that acmez signs with.
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

// makeAccountKey makes a key and its file. The file appears whole or not at
// all, and is on the disk before the CA hears of the key: an account whose key
// was lost counts against the CA's limits and serves nobody.
func makeAccountKey(path string) (crypto.Signer, error) {
	key, err := cert.GenerateKey(cert.P256)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("account key: %w", err)
	}
	if err := writeWhole(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return nil, fmt.Errorf("account key: %w", err)
	}
	return key, nil
}

// writeWhole makes a file of mode 0600 that holds data.
func writeWhole(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".account-*") // makes it 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
