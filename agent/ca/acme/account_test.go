package acme

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/acme/acmetest"
	"redis-cert-agent/agent/secret"

	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/mholt/acmez/v3/acme"
)

// accountURL is the account that the CA has for the key in a file.
func accountURL(t *testing.T, c *Client) string {
	t.Helper()
	s, err := c.open(t.Context(), nil)
	defer s.close()
	if err != nil {
		t.Fatal(err)
	}
	key, err := readAccountKey(c.opts.AccountKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.acme.GetAccount(t.Context(), acme.Account{PrivateKey: key})
	if err != nil {
		t.Fatal(err)
	}
	return a.Location
}

func TestAccountKept(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	o := p.options(t)
	var told []string
	o.Warn = func(msg string) { told = append(told, msg) }
	issue(t, New(o), ca.Request{})
	first := accountURL(t, New(o))
	if len(told) != 1 || !strings.Contains(told[0], first) || !strings.Contains(told[0], o.AccountKeyFile) {
		t.Errorf("told %q of account %s", told, first)
	}
	fi, err := os.Stat(o.AccountKeyFile)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("account key: %v, %v; want mode 0600", fi.Mode(), err)
	}
	before, _ := os.ReadFile(o.AccountKeyFile)

	issue(t, New(o), ca.Request{}) // another process, as it were
	if got := accountURL(t, New(o)); got != first {
		t.Errorf("account %s, then %s", first, got)
	}
	if after, _ := os.ReadFile(o.AccountKeyFile); string(after) != string(before) || len(told) != 1 {
		t.Errorf("the key changed, or it was told: %q", told)
	}

	if err := os.Remove(o.AccountKeyFile); err != nil {
		t.Fatal(err)
	}
	issue(t, New(o), ca.Request{})
	second := accountURL(t, New(o))
	if second == first || len(told) != 2 || !strings.Contains(told[1], second) {
		t.Errorf("after the key was deleted: account %s, told %q", second, told)
	}
	left, err := os.ReadDir(filepath.Dir(o.AccountKeyFile))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the key is left %v, %v", left, err)
	}
}

// A key is on disk before the CA hears of it, so that a failure to make the
// account does not make another key.
func TestAccountKeyBeforeAccount(t *testing.T) {
	t.Parallel()
	fail := true
	p := startPebble(t, shape{Answer: func(w http.ResponseWriter, r *http.Request) bool {
		if !fail || r.URL.Path != "/sign-me-up" || strings.Contains(acmetest.Payload(r), "onlyReturnExisting") {
			return false
		}
		acmetest.Problem(w, http.StatusForbidden, "unauthorized", `"detail":"not today"`)
		return true
	}})
	o := p.options(t)
	says(t, refused(t, New(o), ca.Request{}), "account: ", "answers 403: unauthorized: not today")
	before, err := os.ReadFile(o.AccountKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	fail = false
	issue(t, New(o), ca.Request{})
	if after, _ := os.ReadFile(o.AccountKeyFile); string(after) != string(before) {
		t.Error("another key was made")
	}
}

func TestAccountKeyFile(t *testing.T) {
	t.Parallel()
	good := filepath.Join(t.TempDir(), "good")
	if _, err := makeAccountKey(good); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	const ed25519 = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n"
	tests := []struct {
		name  string
		mode  os.FileMode
		text  string
		wants []string
	}{
		{"readable by others", 0o644, string(text), []string{"mode 0644", "chmod 0600"}},
		{"readable by the group", 0o640, string(text), []string{"mode 0640", "chmod 0600"}},
		{"empty", 0o600, "", []string{"move it away to get a new account"}},
		{"cut off", 0o600, string(text[:len(text)/2]), []string{"move it away to get a new account"}},
		{"no key", 0o600, "hello", []string{"move it away"}},
		{"Ed25519", 0o600, ed25519, []string{"ECDSA or RSA"}},
	}
	p := startPebble(t, shape{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := p.options(t)
			if err := os.WriteFile(o.AccountKeyFile, []byte(tt.text), tt.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(o.AccountKeyFile, tt.mode); err != nil {
				t.Fatal(err)
			}
			says(t, refused(t, New(o), ca.Request{}), append(tt.wants, "account: account key: ", o.AccountKeyFile)...)
			if after, _ := os.ReadFile(o.AccountKeyFile); string(after) != tt.text {
				t.Error("the file was changed")
			}
		})
	}
	o := p.options(t)
	o.AccountKeyFile = filepath.Dir(o.AccountKeyFile)
	says(t, refused(t, New(o), ca.Request{}), "is not a regular file")
	o.AccountKeyFile = filepath.Join(o.AccountKeyFile, "missing", "key")
	says(t, refused(t, New(o), ca.Request{}), "no such file or directory")
	if n := p.Count("order-plz"); n > 0 {
		t.Errorf("%d orders", n)
	}
}

func TestAccountDeactivated(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	o := p.options(t)
	c := New(o)
	issue(t, c, ca.Request{})
	s, err := c.open(t.Context(), nil)
	defer s.close()
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.account(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.Status = acme.StatusDeactivated
	if _, err := s.acme.UpdateAccount(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	says(t, refused(t, c, ca.Request{}), "account: ", "unauthorized", "deactivated", "move "+o.AccountKeyFile+" away")
}

func TestTerms(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	o := p.options(t)
	o.TermsAccepted = false
	says(t, refused(t, New(o), ca.Request{}), "terms of service", wfe.ToSURL, "issuer.acme.terms_accepted: true")
	if _, err := os.Stat(o.AccountKeyFile); !errors.Is(err, os.ErrNotExist) || p.Count("sign-me-up") > 0 {
		t.Error("an account was made")
	}
}

func TestExternalAccount(t *testing.T) {
	t.Parallel()
	// The bytes have every letter that base64 and base64url differ in.
	const id, key = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W_-8"
	p := startPebble(t, shape{EAB: map[string]string{id: key}})
	with := func(id, key string) Options {
		o := p.options(t)
		o.EAB = &EAB{KeyID: id, Key: secret.Func(func() ([]byte, error) { return []byte(key), nil })}
		return o
	}
	t.Run("none", func(t *testing.T) {
		e := refused(t, New(p.options(t)), ca.Request{})
		says(t, e, "account: ", "issuer.acme.eab")
		if n := p.Count("sign-me-up"); n != 1 {
			t.Errorf("%d requests for an account, want one that looks for it", n)
		}
	})
	t.Run("wrong key", func(t *testing.T) {
		e := refused(t, New(with(id, "d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmc")), ca.Request{})
		says(t, e, "unauthorized", `check the external account's key id "kid-1"`)
	})
	t.Run("unknown key", func(t *testing.T) {
		says(t, refused(t, New(with("kid-2", key)), ca.Request{}), "unauthorized", `"kid-2"`)
	})
	t.Run("no base64", func(t *testing.T) {
		says(t, refused(t, New(with(id, "not base64!")), ca.Request{}), "not base64url")
	})
	t.Run("no file", func(t *testing.T) {
		o := with(id, key)
		o.EAB.Key = secret.Func(func() ([]byte, error) { return nil, os.ErrNotExist })
		says(t, refused(t, New(o), ca.Request{}), "read the external account's HMAC key", "does not exist")
	})
	if n := p.Count("order-plz"); n > 0 {
		t.Errorf("%d orders without an account", n)
	}
	for _, form := range []string{key, key + "=\n", strings.NewReplacer("_", "/", "-", "+").Replace(key) + "="} {
		o := with(id, form)
		reads := 0
		inner := o.EAB.Key
		o.EAB.Key = secret.Func(func() ([]byte, error) { reads++; return inner.Read() })
		issue(t, New(o), ca.Request{})
		issue(t, New(o), ca.Request{})
		if reads != 1 {
			t.Errorf("the key was read %d times, want once, for the new account", reads)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	fine := Options{URL: "https://127.0.0.1:1/dir", AccountKeyFile: "/nowhere/key"}
	tests := []struct {
		name   string
		change func(*Options)
		says   string
	}{
		{"http", func(o *Options) { o.URL = "http://127.0.0.1/dir" }, "is not encrypted"},
		{"no URL", func(o *Options) { o.URL = "" }, "directory: missing"},
		{"user", func(o *Options) { o.URL = "https://me:secret@127.0.0.1/dir" }, "has a user or password"},
		{"no key file", func(o *Options) { o.AccountKeyFile = "" }, "account_key: \"\" is not an absolute path"},
		{"half an EAB", func(o *Options) { o.EAB = &EAB{KeyID: "x"} }, "eab.hmac_file: missing"},
		{"listen", func(o *Options) { o.Challenge = HTTP01{Listen: "80"} }, "has no port"},
		{"listen", func(o *Options) { o.Challenge = TLSALPN01{Listen: "::1:443"} }, "without brackets"},
		{"no server", func(o *Options) { o.Challenge = DNS01Update{} }, "server: "},
		{"half a key", func(o *Options) { o.Challenge = DNS01Update{Server: "x:53", Zone: "internal", KeyName: "k"} }, "tsig_secret_file: missing"},
		{"half a key", func(o *Options) { o.Challenge = DNS01Update{Server: "x:53", Zone: "internal", Secret: secretOf("")} }, "tsig_name: missing"},
		{"no zone", func(o *Options) { o.Challenge = DNS01Update{Server: "x:53"} }, "zone: missing"},
		{"MD5", func(o *Options) { o.Challenge = DNS01Update{Server: "x:53", Zone: "internal", Algorithm: "hmac-md5"} }, "not known"},
		{"SHA-1", func(o *Options) { o.Challenge = DNS01Update{Server: "x:53", Zone: "internal", Algorithm: "hmac-sha1"} }, "not known"},
		{"no command", func(o *Options) { o.Challenge = DNS01Command{} }, "names no program"},
		{"relative", func(o *Options) { o.Challenge = DNS01Command{Command: []string{"hook"}} }, "absolute path"},
	}
	for _, tt := range tests {
		o := fine
		tt.change(&o)
		c := New(o)
		e := refused(t, c, ca.Request{})
		says(t, e, tt.says)
		if strings.Contains(e.Error(), "secret@") || e.Status != 0 {
			t.Errorf("%s: %v", tt.name, e)
		}
		if _, err := c.Suggest(t.Context(), newLeaf(t), nil); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: suggest: %v", tt.name, err)
		}
	}
}
