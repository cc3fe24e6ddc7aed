package cert

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func secretly(text string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(text), nil }
}

// OpenSSL opens what is written, and only with the passphrase; what OpenSSL writes is opened
// here.
func TestEncryptedKeys(t *testing.T) {
	dir := t.TempDir()
	pass := filepath.Join(dir, "pass")
	const secret = "Lücke mit $Zeichen \\ und \"mehr\""
	if err := os.WriteFile(pass, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(dir, "wrong")
	if err := os.WriteFile(wrong, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	openssl := func(args ...string) ([]byte, error) {
		cmd := exec.Command("openssl", args...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			err = errors.New(errs.String())
		}
		return out, err
	}
	for _, kt := range KeyTypes {
		if kt == RSA4096 {
			continue // takes seconds to make
		}
		key, err := GenerateKey(kt)
		if err != nil {
			t.Fatal(err)
		}
		p := &Pair{Key: key}
		text, err := p.EncryptedKeyPEM([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, string(kt))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		plain, err := openssl("pkey", "-in", file, "-passin", "file:"+pass)
		if err != nil {
			t.Fatalf("%s: openssl does not open it: %v", kt, err)
		}
		if got, err := ParseKey(plain); err != nil || KeyFingerprint(got.Public()) != KeyFingerprint(key.Public()) {
			t.Errorf("%s: openssl reads another key (%v)", kt, err)
		}
		if _, err := openssl("pkey", "-in", file, "-passin", "file:"+wrong, "-noout"); err == nil {
			t.Errorf("%s: openssl opens it with another passphrase", kt)
		}
		if _, err := OpenKey(text, secretly("wrong")); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%s: with another passphrase: %v", kt, err)
		}
		if _, err := OpenKey(text, nil); !errors.Is(err, ErrEncryptedKey) {
			t.Errorf("%s: without a passphrase: %v", kt, err)
		}
		if got, err := OpenKey(text, secretly(secret)); err != nil || KeyFingerprint(got.Public()) != KeyFingerprint(key.Public()) {
			t.Errorf("%s: %v", kt, err)
		}

		unencrypted := filepath.Join(dir, "plain")
		if err := os.WriteFile(unencrypted, plain, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, way := range []string{"-v2 aes-256-cbc -v2prf hmacWithSHA256", "-v2 aes-128-cbc -v2prf hmacWithSHA1", "-v2 aes-192-cbc -v2prf hmacWithSHA512 -iter 5000"} {
			made, err := openssl(append(strings.Fields("pkcs8 -topk8 "+way), "-in", unencrypted, "-passout", "file:"+pass)...)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := OpenKey(made, secretly(secret)); err != nil || KeyFingerprint(got.Public()) != KeyFingerprint(key.Public()) {
				t.Errorf("%s by openssl %s: %v", kt, way, err)
			}
		}
		for _, way := range []string{"-v1 PBE-SHA1-3DES", "-scrypt", "-v2 des3"} {
			made, err := openssl(append(strings.Fields("pkcs8 -topk8 "+way), "-in", unencrypted, "-passout", "file:"+pass)...)
			if err != nil {
				continue // this openssl does not have it any more
			}
			if _, err := OpenKey(made, secretly(secret)); !errors.Is(err, ErrPassphrase) || !strings.Contains(err.Error(), "openssl pkcs8 -topk8") {
				t.Errorf("%s by openssl %s: %v", kt, way, err)
			}
		}
	}
}

// A wrong passphrase is never taken for a damaged key, although its padding looks right
// once in 256 times.
func TestWrongPassphrases(t *testing.T) {
	key, err := GenerateKey(P256)
	if err != nil {
		t.Fatal(err)
	}
	text, err := (&Pair{Key: key}).EncryptedKeyPEM([]byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if _, err := OpenKey(text, secretly(strings.Repeat("w", i+1))); !errors.Is(err, ErrPassphrase) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	unread := errors.New("it cannot be read")
	if _, err := OpenKey(text, func() ([]byte, error) { return nil, unread }); !errors.Is(err, unread) || !errors.Is(err, ErrPassphrase) {
		t.Error(err)
	}
}

// Whatever a file holds, it neither panics nor costs minutes.
func FuzzOpenKey(f *testing.F) {
	key, err := GenerateKey(P256)
	if err != nil {
		f.Fatal(err)
	}
	text, err := (&Pair{Key: key}).EncryptedKeyPEM([]byte("right"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = OpenKey(text, secretly("right")) })
}
