package setup

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/discover"
)

// The passphrase that redis.conf has for the key goes to a file of its own, which the
// configuration names, and is shown nowhere.
func TestPassphraseOfRedisConf(t *testing.T) {
	dir := t.TempDir()
	conf := func(name, passphrase string) string {
		path := filepath.Join(dir, name)
		text := "port 6399\n"
		if passphrase != "" {
			included := filepath.Join(dir, name+".secret")
			if err := os.WriteFile(included, []byte("tls-key-file-pass "+passphrase+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			text += "include " + included + "\n"
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	o := Options{
		Config: filepath.Join(dir, "etc/config.yaml"), Directory: filepath.Join(dir, "pair"), Names: []string{"redis.internal"},
		Issuer: Issuer{URL: "https://127.0.0.1:1", Fingerprint: strings.Repeat("0a", 32), Provisioner: "redis", Password: []byte("provisioner's")},
	}
	places := discover.Places{Proc: t.TempDir(), Confs: []string{conf("one.conf", `"correct \x68orse"`)}}
	if err := os.Mkdir(filepath.Dir(o.Config), 0o755); err != nil {
		t.Fatal(err)
	}
	plan, err := New(t.Context(), o, places)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	plan.Show(t.Context(), &said)
	if err := plan.Do(t.Context(), &said); err == nil {
		t.Error("an agent was started")
	}
	for _, note := range plan.Notes {
		said.WriteString(note)
	}
	file := filepath.Join(dir, "etc/key-passphrase")
	if text, err := os.ReadFile(file); err != nil || string(text) != "correct horse\n" {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(file); err != nil {
		t.Fatal(err)
	} else if info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v", info.Mode())
	}
	if strings.Contains(said.String(), "orse") || !strings.Contains(said.String(), "write "+file) {
		t.Errorf("it says\n%s", &said)
	}
	c, err := config.Load(o.Config)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Pair.Passphrase.Text(); err != nil || got != "correct horse" {
		t.Errorf("%q, %v", got, err)
	}
	var again bytes.Buffer // a second run finds it done
	if plan, err = New(t.Context(), o, places); err != nil {
		t.Fatal(err)
	}
	plan.Show(t.Context(), &again)
	if strings.Contains(again.String(), "key-passphrase") {
		t.Errorf("a second run says\n%s", &again)
	}

	// In the directory of the unit it is a credential; without a passphrase there is nothing.
	o.Config = "/etc/redis-cert-agent/of-a-test.yaml"
	if plan, err = New(t.Context(), o, places); err != nil {
		t.Fatal(err)
	}
	if got := plan.Config.Pair.Passphrase.String(); got != "credential:key-passphrase" {
		t.Errorf("the configuration names %s", got)
	}
	places.Confs = []string{conf("none.conf", "")}
	if plan, err = New(t.Context(), o, places); err != nil || plan.Config.Pair.Passphrase.Set() {
		t.Errorf("%v, %v", plan.Config.Pair.Passphrase, err)
	}
	places.Confs = []string{conf("one.conf", "a"), conf("two.conf", "b")}
	if _, err := New(t.Context(), o, places); err == nil || !strings.Contains(err.Error(), "different passphrases") {
		t.Errorf("%v", err)
	}
}
