package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// checkFiles looks at the secrets and files that the configuration names.
func checkFiles(c *Config, d *document) {
	for i, issuer := range c.Issuers {
		field := issuerField(d, i, len(c.Issuers))
		if issuer.Step != nil {
			checkSecret(d, field+".step.password_file", issuer.Step.Password, nil)
		}
		if issuer.ACME != nil {
			checkACME(issuer.ACME, field+".acme", d)
		}
	}
	for i, s := range c.Servers {
		field := fmt.Sprintf("servers[%d]", i)
		checkSecret(d, field+".password_file", s.Password, nil)
		checkSecret(d, field+".client_key", s.ClientKey, nil)
		if s.ClientCert != "" {
			checkReadable(d, field+".client_cert", s.ClientCert)
		}
	}
	if c.Roots.File != "" {
		checkReadable(d, "roots.file", c.Roots.File)
	}
	checkNotify(c, d)
}

func checkACME(a *ACME, field string, d *document) {
	if a.RootsFile != "" {
		checkReadable(d, field+".roots_file", a.RootsFile)
	}
	if err := accountKeyFault(a.AccountKey); err != nil {
		d.fault(field+".account_key", "%v", err)
	}
	if a.EAB != nil {
		checkSecret(d, field+".eab.hmac_file", a.EAB.HMAC, eabFault)
	}
	c := a.Challenge.DNS01
	if c == nil {
		return
	}
	checkSecret(d, field+".challenge.dns-01.tsig_secret_file", c.TSIGSecret, tsigFault)
	if len(c.Command) > 0 {
		if err := programFault(c.Command[0]); err != nil {
			d.fault(field+".challenge.dns-01.command[0]", "%v", err)
		}
	}
}

// checkSecret reads a secret, and has form look at it. What form says holds
// none of it.
func checkSecret(d *document, field string, s Secret, form func([]byte) error) {
	if !s.Set() {
		return
	}
	data, err := s.Read()
	if err == nil && form != nil {
		err = form(data)
	}
	if err != nil {
		d.fault(field, "%v", err)
	}
}

// checkReadable looks for a certificate in a file. Who uses the file judges the
// rest.
func checkReadable(d *document, field, path string) {
	f, err := os.Open(path)
	if err != nil {
		d.fault(field, "%v; name a PEM file that this user can read", err)
		return
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		d.fault(field, "%v; name a PEM file that this user can read", err)
	} else if !bytes.Contains(text, []byte("-----BEGIN CERTIFICATE-----")) && !bytes.Contains(text, []byte("-----BEGIN TRUSTED CERTIFICATE-----")) {
		d.fault(field, "there is no certificate in %s; name a file that has some in PEM", quote(path))
	}
}

// accountKeyFault looks at a key that is there; the first order makes it.
func accountKeyFault(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w; give it to the user of the agent with chown, mode 0600", err)
	}
	defer f.Close()
	return checkAccess(f, path)
}

// eabFault tolerates padding and the other base64 alphabet: RFC 8555, 7.3.4,
// only asks CAs to hand out base64url.
func eabFault(data []byte) error {
	text := strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(string(data)), "=")
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(text); err != nil || len(raw) == 0 {
		return errors.New("this secret is not base64url; put the HMAC key there alone, as the CA gave it")
	}
	return nil
}

func tsigFault(data []byte) error {
	if raw, err := base64.StdEncoding.DecodeString(string(data)); err != nil || len(raw) == 0 {
		return errors.New("this secret is not base64; put it there alone, as it stands between the quotes in the output of tsig-keygen")
	}
	return nil
}

func programFault(path string) error {
	_, err := exec.LookPath(path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no program %s; put it there, or name another", quote(path))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s cannot be executed by uid %d; run: chmod 0755 %s", quote(path), os.Geteuid(), path)
	}
	var e *exec.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Errorf("%s is not a program: %w; name another", quote(path), err)
}
