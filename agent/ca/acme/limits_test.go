package acme

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/acme/acmetest"
	"redis-cert-agent/agent/cert"
)

// startLetsEncrypt starts a Pebble that calls itself Let's Encrypt.
func startLetsEncrypt(t *testing.T, s shape) (*pebble, Options) {
	t.Helper()
	s.Identity = "letsencrypt.org"
	p := startPebble(t, s)
	o := p.options(t)
	o.LimitsFile = filepath.Join(t.TempDir(), "limits.json")
	return p, o
}

// spend asks for a certificate far more often than Let's Encrypt allows, each time as
// another process, and returns what that cost and the last error.
func spend(t *testing.T, p *pebble, o Options, times int) (acmetest.Counts, *ca.Error) {
	t.Helper()
	var last *ca.Error
	for range times {
		c := New(o)
		if _, err := c.Issue(t.Context(), fill(ca.Request{Fresh: true})); err != nil {
			last = checked(t, c, err)
		}
	}
	t.Logf("%d attempts: %+v", times, p.Counts())
	return p.Counts(), last
}

// Whatever goes wrong, a client that asks without end takes no more than Let's Encrypt
// gives: it is told so by itself, and not by the CA.
func TestLimitsUnderFaults(t *testing.T) {
	t.Parallel()
	lost := func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/certZ/") {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	for name, c := range map[string]struct {
		shape shape
		away  bool   // the listener is where the CA does not look
		says  string // by the last error
		most  acmetest.Counts
	}{
		"nothing is wrong": {says: "5 of 5 duplicate certificates this week", most: acmetest.Counts{Accounts: 1, Orders: 5, Certificates: 5}},
		"every download is lost": {shape: shape{Answer: lost},
			says: "5 of 5 duplicate certificates this week", most: acmetest.Counts{Accounts: 1, Orders: 5, Certificates: 5}},
		"the port is closed to the CA": {away: true,
			says: "5 of 5 failed validations of a name this hour for redis1.internal", most: acmetest.Counts{Accounts: 1, Orders: 5, Failed: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, o := startLetsEncrypt(t, c.shape)
			if c.away {
				o.Challenge = HTTP01{Listen: at(acmetest.FreshHost(t), p.HTTPPort)}
			}
			got, err := spend(t, p, o, 12)
			if got.Accounts > c.most.Accounts || got.Orders > c.most.Orders || got.Certificates > c.most.Certificates || got.Failed > c.most.Failed {
				t.Errorf("%+v, want at most %+v", got, c.most)
			}
			if err == nil || err.Type != "rateLimited" || err.RetryAfter() <= 0 || err.Status != 0 {
				t.Fatalf("the last error: %+v", err)
			}
			says(t, err, "it was not asked, since it would refuse: this host has taken "+c.says, "asks again")
		})
	}
}

// Why names are not proved is told also while it is not tried again.
func TestLimitsTellWhy(t *testing.T) {
	t.Parallel()
	p, o := startLetsEncrypt(t, shape{})
	o.Challenge = HTTP01{Listen: at(acmetest.FreshHost(t), p.HTTPPort)}
	c := New(o)
	for range 5 {
		says(t, refused(t, c, ca.Request{}), "prove redis1.internal")
	}
	for range 2 {
		says(t, refused(t, c, ca.Request{}), "5 of 5 failed validations", "prove redis1.internal", "connection refused")
	}
}

// The keys of accounts that are lost again and again cost ten accounts, and no more.
func TestLimitsOfAccounts(t *testing.T) {
	t.Parallel()
	p, o := startLetsEncrypt(t, shape{})
	var last *ca.Error
	for range 15 {
		o.AccountKeyFile = filepath.Join(t.TempDir(), "account.key")
		c := New(o)
		if _, err := c.Records(t.Context(), []string{"redis1.internal"}); err != nil {
			last = checked(t, c, err)
		}
	}
	if n := p.Counts().Accounts; n != 10 || last == nil {
		t.Fatalf("%d accounts, %v", n, last)
	}
	says(t, last, "10 of 10 new accounts in three hours")
}

// A renewal that names what it replaces counts against no limit, and is made although all
// of them are reached.
func TestLimitsExemptRenewals(t *testing.T) {
	t.Parallel()
	p, o := startLetsEncrypt(t, shape{})
	c, names := New(o), []string{"redis1.internal"}
	current := good(t, issue(t, c, ca.Request{}), names, cert.P256)
	for range 7 {
		current = good(t, issue(t, c, ca.Request{Current: current}), names, cert.P256)
	}
	if n := p.Counts().Certificates; n != 8 {
		t.Errorf("%d certificates", n)
	}
	for _, u := range c.Limits(time.Now(), names) {
		if u.Used > 3 { // Pebble gives a certificate out an instant before it knows what replaces it
			t.Errorf("eight certificates, seven of them renewals: %s", u)
		}
	}
}

// Of another CA nothing is known, and nothing is counted.
func TestLimitsOfOthers(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	o := p.options(t)
	o.LimitsFile = filepath.Join(t.TempDir(), "limits.json")
	if got, err := spend(t, p, o, 7); err != nil || got.Certificates != 7 {
		t.Errorf("%+v, %v", got, err)
	}
	if uses := New(o).Limits(time.Now(), []string{"redis1.internal"}); len(uses) > 0 {
		t.Error(uses)
	}
}
