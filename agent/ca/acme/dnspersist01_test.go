package acme

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/acme/acmetest"
	"redis-cert-agent/agent/cert"
)

// A record that is set once proves names and wildcards at Pebble, order after order. Where
// it is missing no order is made.
func TestDNSPersist01(t *testing.T) {
	t.Parallel()
	names := acmetest.NewNameserver(t, "internal", "127.0.0.1")
	p := startPebble(t, shape{Resolver: names.Addr})
	o := p.options(t)
	o.Challenge = DNSPersist01{Resolver: names.Addr}
	c := New(o)
	want := []string{"redis1.internal", "*.redis1.internal", "redis2.internal"}

	says(t, refused(t, c, ca.Request{Names: want}), "_validation-persist.redis1.internal", "acme record")
	if n := p.Count("order-plz"); n != 0 {
		t.Errorf("%d orders without a record", n)
	}
	records, err := c.Records(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 2 || !strings.HasSuffix(records[0].Value, "policy=wildcard") || strings.Contains(records[1].Value, "policy") {
		t.Fatalf("records %q", records)
	}
	for _, r := range records {
		names.Add(t, fmt.Sprintf("%s. 1 IN TXT %q", r.Name, r.Value))
	}
	for range 2 {
		good(t, issue(t, c, ca.Request{Names: want}), want, cert.P256)
	}
	if n := p.Count("order-plz"); n != 2 {
		t.Errorf("%d orders for two certificates", n)
	}
}

// A challenge that this host cannot put up leaves the order to the next of the list.
func TestChallengeListHere(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	o := p.options(t)
	o.Otherwise = []Challenge{o.Challenge}
	o.Challenge = DNSPersist01{Resolver: acmetest.NewNameserver(t, "internal", p.Host).Addr}
	var told []string
	o.Warn = func(msg string) { told = append(told, msg) }
	issue(t, New(o), ca.Request{})
	if !slices.ContainsFunc(told, func(s string) bool {
		return strings.Contains(s, "http-01 is tried") && strings.Contains(s, "acme record")
	}) {
		t.Errorf("told %q", told)
	}
	if n := p.Count("order-plz"); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

// A challenge that the CA does not offer, as step-ca does not have dns-persist-01, leaves
// the same order to the next of the list.
func TestChallengeListThere(t *testing.T) {
	t.Parallel()
	s := useStepCA(t)
	host := s.claim(t, "listed.internal")
	o := s.options(t, DNSPersist01{Resolver: s.names.Addr})
	o.Otherwise = []Challenge{HTTP01{Listen: at(host, s.httpPort)}}
	var told []string
	o.Warn = func(msg string) { told = append(told, msg) }
	c := New(o)
	account := ""
	if err := c.withAccount(t.Context(), func(_ *session, a acme.Account) error { account = a.Location; return nil }); err != nil {
		t.Fatal(err)
	}
	s.names.Add(t, fmt.Sprintf("_validation-persist.listed.internal. 1 IN TXT %q", "ca.internal; accounturi="+account))
	issue(t, c, ca.Request{Names: []string{"listed.internal"}})
	if !slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, "does not take dns-persist-01") }) {
		t.Errorf("told %q", told)
	}
	closed(t, at(host, s.httpPort))

	// A wildcard passes over what cannot prove it.
	if err := o.Provable([]string{"*.internal"}); err != nil {
		t.Error(err)
	}
	if err := o.Provable([]string{"*.internal", "10.0.0.1"}); err == nil {
		t.Error("a wildcard and an address are provable")
	}
}

func TestPersists(t *testing.T) {
	t.Parallel()
	const account = "https://ca.test/acct/1"
	now := time.Unix(1800000000, 0)
	for text, want := range map[string][2]bool{ // plain, wildcard
		"ca.test; accounturi=" + account:                               {true, false},
		"ca.test ;ACCOUNTURI = " + account + " ; Policy=Wildcard":      {true, true},
		"ca.test; accounturi=" + account + "; persistUntil=1700000000": {false, false},
		"ca.test; accounturi=" + account + "; persistUntil=1900000000": {true, false},
		"ca.test; accounturi=" + account + "; persistUntil=tomorrow":   {false, false},
		"ca.test; accounturi=" + account + "0":                         {false, false},
		"ca.test; policy=wildcard":                                     {false, false},
		"":                                                             {false, false},
	} {
		for i, wildcard := range []bool{false, true} {
			if got := persists(text, account, wildcard, now); got != want[i] {
				t.Errorf("%q, wildcard %t: %t", text, wildcard, got)
			}
		}
	}
}
