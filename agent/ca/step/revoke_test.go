package step

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/secret"

	"github.com/smallstep/certificates/authority/config"
	stepdb "github.com/smallstep/certificates/db"
)

// renewable asks step-ca itself, over mutual TLS, whether it renews what it issued.
func renewable(t *testing.T, o Options, p ca.Issued) error {
	t.Helper()
	o.Password = secret.Secret{} // there is no other way
	_, err := New(o).Issue(t.Context(), ca.Request{Names: names, KeyType: "ec-p256", Current: pair(t, p)})
	return err
}

// What is revoked, by itself or by a token, is not renewed any more; the others are.
func TestRevoke(t *testing.T) {
	t.Parallel()
	running := startCA(t, nil)
	o := running.options()
	withPassword := New(o)
	o.Password = secret.Secret{}
	without := New(o)
	for name, tt := range map[string]struct {
		client *Client
		key    bool
	}{
		"by itself":         {without, true},
		"by a token":        {withPassword, false},
		"whatever there is": {withPassword, true},
	} {
		got, other := issue(t, withPassword, ca.Request{}), issue(t, withPassword, ca.Request{})
		r := ca.Revocation{Pair: pair(t, got), Reason: ca.KeyCompromise}
		if !tt.key {
			r.Pair.Key = nil
		}
		for range 2 { // what is revoked is revoked
			if err := tt.client.Revoke(t.Context(), r); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if err := renewable(t, running.options(), got); err == nil {
			t.Errorf("%s: step-ca renews a certificate that is revoked", name)
		}
		if err := renewable(t, running.options(), other); err != nil {
			t.Errorf("%s: step-ca does not renew another certificate: %v", name, err)
		}
	}

	// Without key and password there is no way, and it is said.
	got := issue(t, withPassword, ca.Request{})
	p := pair(t, got)
	p.Key = nil
	if err := without.Revoke(t.Context(), ca.Revocation{Pair: p}); err == nil {
		t.Fatal("revoked by nothing")
	} else {
		says(t, err, "no password is configured")
	}

	// Nor is anything recorded of what this CA did not issue.
	another, err := makeOriginal(filepath.Join(t.TempDir(), "another"))
	if err != nil {
		t.Fatal(err)
	}
	stranger := issue(t, New(runCA(t, another, "127.0.0.1:0").options()), ca.Request{})
	if err := withPassword.Revoke(t.Context(), ca.Revocation{Pair: pair(t, stranger)}); !errors.Is(err, ca.ErrOtherIssuer) {
		t.Errorf("%v, want %v", err, ca.ErrOtherIssuer)
	}
	if err := running.Close(); err != nil {
		t.Fatal(err)
	}
	recorded(t, running.dir, got.Chain[0], false)
	recorded(t, running.dir, stranger.Chain[0], false)
}

// recorded holds what stands in step-ca's database against what should.
func recorded(t *testing.T, dir string, c *x509.Certificate, want bool) {
	t.Helper()
	conf, err := config.LoadConfiguration(filepath.Join(dir, "config/ca.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(conf.DB.DataSource); err != nil {
		t.Fatal(err)
	}
	db, err := stepdb.New(conf.DB)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Shutdown()
	if got, err := db.IsRevoked(c.SerialNumber.String()); err != nil || got != want {
		t.Errorf("%s is revoked: %v (%v), want %v", c.SerialNumber, got, err, want)
	}
}

// A key that may be in other hands is not kept, whatever the configuration says.
func TestNewKey(t *testing.T) {
	t.Parallel()
	running := startCA(t, renewsExpired)
	c := New(running.options())
	p := pair(t, issue(t, c, ca.Request{}))
	for name, r := range map[string]ca.Request{
		"key.reuse": {Current: p, ReuseKey: true, NewKey: true},
		"expired":   {Current: running.expired(t, p), NewKey: true},
	} {
		got := issue(t, c, r)
		if string(got.Chain[0].RawSubjectPublicKeyInfo) == string(p.Leaf().RawSubjectPublicKeyInfo) {
			t.Errorf("%s: the key is the same", name)
		}
	}
}
