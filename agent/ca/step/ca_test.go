package step

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"
	"redis-cert-agent/cmd/redis-cert-ca/authority"

	"github.com/smallstep/certificates/authority/config"
	stepprov "github.com/smallstep/certificates/authority/provisioner"
	"go.step.sm/crypto/jose"
	"go.step.sm/crypto/pemutil"
)

// TestMain makes room for the CA that all others are copies of.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "step-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	original = sync.OnceValues(func() (string, error) { return makeOriginal(filepath.Join(dir, "ca")) })
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// original returns the directory of a CA as redis-cert-ca makes it, but for one
// thing: its secrets are quick to decrypt. The usual 600,000 rounds of PBKDF2
// take seconds under the race detector, for each start and each first token.
var original func() (string, error)

func makeOriginal(dir string) (string, error) {
	info, err := authority.Init(authority.InitOptions{Dir: dir, DNS: []string{"127.0.0.1", "localhost"}, Address: "127.0.0.1:0", ACME: true})
	if err != nil {
		return "", err
	}
	password, err := os.ReadFile(filepath.Join(dir, "secrets/password"))
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "secrets/intermediate_ca_key")
	key, err := pemutil.Read(file, pemutil.WithPassword(password))
	if err != nil {
		return "", err
	}
	block, err := pemutil.Serialize(key)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		return "", err
	}
	if password, err = os.ReadFile(info.PasswordFile); err != nil {
		return "", err
	}
	return dir, edit(dir, func(c *config.Config) error {
		p := c.AuthorityConfig.Provisioners[0].(*stepprov.JWK)
		key, err := unseal(p.EncryptedKey, password)
		if err != nil {
			return err
		}
		p.EncryptedKey, err = seal(key, password)
		return err
	})
}

// seal encrypts a provisioner's key as step-ca does, in fewer rounds.
func seal(key any, password []byte) (string, error) {
	e, err := jose.NewEncrypter(jose.DefaultEncAlgorithm, jose.Recipient{
		Algorithm: jose.PBES2_HS256_A128KW, Key: password, PBES2Count: 1000, PBES2Salt: []byte("0123456789abcdef")}, nil)
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(key)
	if err != nil {
		return "", err
	}
	box, err := e.Encrypt(data)
	if err != nil {
		return "", err
	}
	return box.CompactSerialize()
}

// edit changes the configuration of the CA in dir.
func edit(dir string, change func(*config.Config) error) error {
	file := filepath.Join(dir, "config/ca.json")
	c, err := config.LoadConfiguration(file)
	if err != nil {
		return err
	}
	if err := change(c); err != nil {
		return err
	}
	return c.Save(file)
}

// realCA is a step-ca in process, and the directory that it runs from.
type realCA struct {
	*authority.Running
	dir string
}

// initCA copies the original CA and changes its configuration.
func initCA(t *testing.T, change func(*config.AuthConfig)) string {
	t.Helper()
	from, err := original()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "ca")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o600)
		if d.IsDir() {
			mode = 0o700
		}
		return os.Chmod(path, mode)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = edit(dir, func(c *config.Config) error {
		move := func(path *string) { *path = strings.Replace(*path, from, dir, 1) }
		move(&c.Root[0])
		move(&c.IntermediateCert)
		move(&c.IntermediateKey)
		move(&c.DB.DataSource)
		if change != nil {
			change(c.AuthorityConfig)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// renewsExpired configures a CA to renew what has expired.
func renewsExpired(c *config.AuthConfig) { *c.Claims.AllowRenewalAfterExpiry = true }

func runCA(t *testing.T, dir, address string) *realCA {
	t.Helper()
	run, err := authority.Start(dir, authority.RunOptions{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { run.Close() })
	return &realCA{run, dir}
}

func startCA(t *testing.T, change func(*config.AuthConfig)) *realCA {
	t.Helper()
	return runCA(t, initCA(t, change), "127.0.0.1:0")
}

// restart ends the CA and starts it again on the same port.
func (r *realCA) restart(t *testing.T) *realCA {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return runCA(t, r.dir, r.Address)
}

func (r *realCA) options() Options {
	return Options{URL: r.URL, Fingerprint: r.Fingerprint, Provisioner: r.ProvisionerName,
		Password: secret.Func(func() ([]byte, error) { return r.Running.Password, nil })}
}

// reshape signs c anew with the CA's own intermediate after change: it makes
// certificates that the CA issued in the past, without the past.
func (r *realCA) reshape(t *testing.T, c *x509.Certificate, key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(r.dir, "secrets/password"))
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := pemutil.Read(filepath.Join(r.dir, "secrets/intermediate_ca_key"), pemutil.WithPassword(password))
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := pemutil.ReadCertificate(filepath.Join(r.dir, "certs/intermediate_ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	template := *c
	template.SerialNumber = serial(t)
	template.ExtraExtensions = nil
	for _, e := range c.Extensions {
		if strings.HasPrefix(e.Id.String(), "1.3.6.1.4.1.37476.9000.64") { // the provisioner
			template.ExtraExtensions = append(template.ExtraExtensions, e)
		}
	}
	change(&template)
	der, err := x509.CreateCertificate(rand.Reader, &template, issuer, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// expired is a pair whose certificate really expired half an hour ago. The CA's
// own certificates start an hour ago.
func (r *realCA) expired(t *testing.T, p *cert.Pair) *cert.Pair {
	t.Helper()
	leaf := r.reshape(t, p.Leaf(), p.Key, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-50*time.Minute), time.Now().Add(-30*time.Minute)
	})
	return pair(t, ca.Issued{Chain: append([]*x509.Certificate{leaf}, p.Chain[1:]...), Key: p.Key, Roots: p.CA})
}
