package acme

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/acme/acmetest"
	"redis-cert-agent/agent/cert"
)

func accountOf(t *testing.T, c *Client) (found acme.Account) {
	t.Helper()
	err := c.withAccount(t.Context(), func(_ *session, a acme.Account) error { found = a; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// The account stays when its key changes, also when the change is cut off anywhere.
func TestRollover(t *testing.T) {
	t.Parallel()
	fail := false
	p := startPebble(t, shape{Answer: func(w http.ResponseWriter, r *http.Request) bool {
		if !fail || !strings.Contains(r.URL.Path, "rollover") {
			return false
		}
		acmetest.Problem(w, http.StatusForbidden, "unauthorized", `"status":403`)
		return true
	}})
	o := p.options(t)
	c := New(o)
	issue(t, c, ca.Request{})
	first := accountOf(t, c)
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before := read(o.AccountKeyFile)
	account, err := c.Rollover(t.Context())
	if err != nil || account != first.Location {
		t.Fatalf("account %s, %v; want %s", account, err, first.Location)
	}
	after := read(o.AccountKeyFile)
	info, err := os.Stat(o.AccountKeyFile)
	if err != nil || info.Mode().Perm() != 0o600 || before == after {
		t.Errorf("mode %v, %v, changed %t", info.Mode(), err, before != after)
	}
	issue(t, c, ca.Request{})
	if got := accountOf(t, c); got.Location != first.Location {
		t.Errorf("account %s after the change, want %s", got.Location, first.Location)
	}

	// Cut off after the CA took the key: the old one is still in its place.
	if _, err := c.Rollover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(o.AccountKeyFile, o.AccountKeyFile+nextKeySuffix); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.AccountKeyFile, []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := accountOf(t, New(o)); got.Location != first.Location {
		t.Errorf("account %s after a cut, want %s", got.Location, first.Location)
	}
	if _, err := os.Stat(o.AccountKeyFile + nextKeySuffix); err == nil {
		t.Error("the new key is still beside the old one")
	}

	// Refused: the old key holds, and the next attempt takes the same new one.
	fail = true
	if _, err := c.Rollover(t.Context()); err == nil {
		t.Error("no error")
	} else {
		checked(t, c, err)
	}
	fail = false
	waiting := read(o.AccountKeyFile + nextKeySuffix)
	if got := accountOf(t, c); got.Location != first.Location {
		t.Errorf("account %s after a refusal, want %s", got.Location, first.Location)
	}
	if _, err := c.Rollover(t.Context()); err != nil || read(o.AccountKeyFile) != waiting {
		t.Errorf("%v, or another new key", err)
	}
	if n := p.Count("sign-me-up"); n == 0 {
		t.Error("Pebble's path for accounts has changed")
	}
}

// The CA is told of new addresses, and once only where it keeps them to itself.
func TestContactUpdated(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	o := p.options(t)
	o.Contact = []string{"mailto:old@example.com"}
	accountOf(t, New(o))
	o.Contact = []string{"mailto:ops@example.com", "mailto:night@example.com"}
	c := New(o)
	accountOf(t, c)
	n := len(p.Seen())
	if got := accountOf(t, c); !slices.Equal(got.Contact, o.Contact) {
		t.Errorf("contact %q, want %q", got.Contact, o.Contact)
	}
	if more := len(p.Seen()) - n; more > 3 {
		t.Errorf("%d requests for an account that is as it should be: %q", more, p.Seen()[n:])
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	c := New(p.options(t))
	got := issue(t, c, ca.Request{})
	without := ca.Revocation{Pair: &cert.Pair{Chain: got.Chain}, Reason: ca.Superseded}
	if err := c.Revoke(t.Context(), without); err != nil {
		t.Fatal(err)
	}
	if status := p.Status(t, got.Chain[0]); status != "Revoked" {
		t.Errorf("Pebble says of the certificate: %s", status)
	}
	if err := c.Revoke(t.Context(), without); err != nil { // it is revoked, whoever did it
		t.Fatal(err)
	}
	other := New(p.options(t))
	got = issue(t, c, ca.Request{})
	if err := other.Revoke(t.Context(), ca.Revocation{Pair: &cert.Pair{Chain: got.Chain}, Reason: ca.KeyCompromise}); err == nil {
		t.Fatal("another account's certificate is revoked")
	} else {
		says(t, checked(t, other, err), "revoke")
	}
	if status := p.Status(t, got.Chain[0]); status != "Valid" {
		t.Errorf("Pebble says of the certificate: %s", status)
	}
	// Whoever has the key of the certificate may revoke it.
	if err := other.Revoke(t.Context(), ca.Revocation{Pair: good(t, got, []string{"redis1.internal"}, cert.P256), Reason: ca.KeyCompromise}); err != nil {
		t.Fatal(err)
	}
	if status := p.Status(t, got.Chain[0]); status != "Revoked" {
		t.Errorf("Pebble says of the certificate: %s", status)
	}

	// A deactivated account is named, with the way out.
	found := accountOf(t, c)
	err := c.withAccount(t.Context(), func(s *session, a acme.Account) error {
		_, err := s.acme.UpdateAccount(t.Context(), acme.Account{Location: a.Location, PrivateKey: a.PrivateKey, Status: acme.StatusDeactivated})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	says(t, refused(t, c, ca.Request{}), c.opts.AccountKeyFile, "away to get a new")
	// A key that was lost makes a new account.
	if err := os.Remove(c.opts.AccountKeyFile); err != nil {
		t.Fatal(err)
	}
	good(t, issue(t, c, ca.Request{}), []string{"redis1.internal"}, cert.P256)
	if again := accountOf(t, c); again.Location == found.Location {
		t.Error("a new key has the old account")
	}
}
