package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func put(t *testing.T, dir, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMissingCredentialSaysBothRemedies(t *testing.T) {
	without := put(t, t.TempDir(), "config.yaml", Minimal, 0o644)
	named := strings.Replace(Minimal, "    provisioner: redis\n", "    provisioner: redis\n    password_file: credential:provisioner-password\n", 1)
	path := put(t, t.TempDir(), "config.yaml", named, 0o644)
	for _, dir := range []string{"", t.TempDir()} {
		t.Setenv("CREDENTIALS_DIRECTORY", dir)
		if _, err := Load(without); err != nil { // a token, or the certificate that there is, does as well
			t.Errorf("a password is demanded: %v", err)
		}
		_, err := Load(path)
		if err == nil {
			t.Fatal("accepted")
		}
		for _, want := range []string{
			path + ":6: issuer.step.password_file: ", `"provisioner-password"`,
			"LoadCredential=provisioner-password:", "password_file: /path",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		if _, err := LoadWithoutSecrets(path); err != nil {
			t.Errorf("without secrets: %v", err)
		}
	}
}

func TestLoadReadsSecretsAtUse(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	put(t, dir, "provisioner-password", "one\n", 0o400)
	c, err := Load(put(t, t.TempDir(), "config.yaml", Minimal, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	if c.Servers[0].Password.Set() {
		t.Error("a Redis password out of nothing")
	}
	if err := os.Remove(filepath.Join(dir, "provisioner-password")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "provisioner-password", "two\n", 0o400)
	if got, err := c.Issuers[0].Step.Password.Read(); err != nil || string(got) != "two" {
		t.Errorf("%q, %v", got, err)
	}
}

// LoadCredential= with an empty SetCredential= makes a credential optional:
// an empty one is none.
func TestOptionalRedisPassword(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	put(t, dir, "provisioner-password", "p", 0o400)
	path := put(t, t.TempDir(), "config.yaml", Minimal, 0o644)
	for content, want := range map[string]bool{"\n": false, "": false, "pw\n": true} {
		put(t, dir, "redis-password", content, 0o600)
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if c.Servers[0].Password.Set() != want {
			t.Errorf("%q: set %v", content, !want)
		}
	}
}

func TestLoadChecksEveryFileItNames(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	put(t, dir, "provisioner-password", "p", 0o604)
	open := put(t, dir, "open", "hunter2", 0o666)
	text := with("roots: {file: /no/roots.pem}\nservers:\n- address: localhost:1\n  password_file: " + open +
		"\n  client_cert: /no/cert\n  client_key: /no/key")
	text = strings.Replace(text, "servers: [127.0.0.1:6379]\n", "", 1)
	_, err := Load(put(t, dir, "config.yaml", text, 0o644))
	if err == nil {
		t.Fatal("accepted")
	}
	got := strings.Split(err.Error(), "\n")
	for i, want := range []string{
		":2: issuer.step.password_file: others can access",
		":7: roots.file: open /no/roots.pem",
		":10: servers[0].password_file: others can access",
		":11: servers[0].client_cert: open /no/cert",
		":12: servers[0].client_key: open /no/key",
	} {
		if i >= len(got) || !strings.Contains(got[i], want) {
			t.Errorf("line %d of\n%v\nwant %q", i, err, want)
		}
	}
}
