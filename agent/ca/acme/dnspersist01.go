package acme

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"redis-cert-agent/agent/option"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
)

// DNSPersist01 proves names, wildcards too, by a TXT record that a person sets once
// (draft-ietf-acme-dns-persist). The record names the CA and the account, so that this
// host needs no credential of the DNS. Client.Records tells what to set.
type DNSPersist01 struct {
	Resolver string // host:port of the DNS server that is asked; the system's when empty

	account acme.Account
}

func (DNSPersist01) kind() string { return kindDNSPersist01 }

func (DNSPersist01) bound() time.Duration { return 2 * dnsTimeout }

// Faults implements Challenge.
func (d DNSPersist01) Faults(r option.Report) {
	if d.Resolver != "" || r.Given("resolver") {
		option.Address(r, "resolver", d.Resolver, `write it like 10.0.0.53:53 or "[::1]:53"`)
	}
}

// FileFaults implements Challenge: there are no files.
func (DNSPersist01) FileFaults(option.Report) {}

// open reads the records before an order is made: one that is missing costs no order.
func (d DNSPersist01) open(ctx context.Context, names []string) (proof, error) {
	for _, name := range names {
		if err := d.find(ctx, name); err != nil {
			return nil, fmt.Errorf("%s: %w", kindDNSPersist01, err)
		}
	}
	return d, nil
}

// find looks for a record that binds name to the account.
func (d DNSPersist01) find(ctx context.Context, name string) error {
	within, cancel := context.WithTimeout(ctx, 2*dnsTimeout)
	defer cancel()
	base, wildcard := strings.CutPrefix(name, "*.")
	owner := persistName(base)
	found, err := d.resolver().LookupTXT(within, owner+".")
	for _, text := range found {
		if persists(text, d.account.Location, wildcard, time.Now()) {
			return nil
		}
	}
	why := fmt.Sprintf("none of its %d TXT records names this account", len(found))
	if err != nil {
		why = ca.Clean(err.Error(), ca.MaxMessage)
	}
	return fmt.Errorf("%s has no record for the account %s (%s): set the one that redis-cert-agent acme record prints",
		owner, ca.Clean(d.account.Location, 120), why)
}

func (d DNSPersist01) resolver() *net.Resolver {
	if d.Resolver == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, withPort(d.Resolver))
	}}
}

func (DNSPersist01) present(context.Context, acme.Challenge) error { return nil }

func (DNSPersist01) ready(context.Context, acme.Challenge) error { return nil }

func (DNSPersist01) close(context.Context) error { return nil }

func persistName(name string) string {
	return acme.Challenge{Identifier: acme.Identifier{Value: strings.TrimSuffix(name, ".")}}.DNSPersist01TXTRecordName()
}

// persists reports whether the value of a record lets account prove a name at the time
// now. Which CA it names is for the CA to judge, which may have several names.
func persists(text, account string, wildcard bool, now time.Time) bool {
	parameters := strings.Split(text, ";")[1:]
	var bound, wide bool
	for _, p := range parameters {
		key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "accounturi":
			bound = value == account
		case "policy":
			wide = strings.EqualFold(value, "wildcard")
		case "persistuntil":
			if until, err := strconv.ParseInt(value, 10, 64); err != nil || now.Unix() > until {
				return false
			}
		}
	}
	return bound && (wide || !wildcard)
}

// A Record is a TXT record that dns-persist-01 needs.
type Record struct{ Name, Value string }

// Records returns the TXT records that let this account prove names from now on. It makes
// the account where there is none, and no order. The error is a *ca.Error.
func (c *Client) Records(ctx context.Context, names []string) ([]Record, error) {
	var records []Record
	err := c.withAccount(ctx, func(s *session, account acme.Account) error {
		issuers := s.meta().CAAIdentities
		if len(issuers) == 0 {
			return ca.Fault(opDirectory, fmt.Errorf("%s does not say under which name records allow it: look up its CAA identity and write the record by hand, NAME; accounturi=%s",
				c.base.Host, ca.Clean(account.Location, 120)))
		}
		names = lower(names)
		for _, name := range names {
			base, wildcard := strings.CutPrefix(name, "*.")
			if !wildcard && slices.Contains(names, "*."+name) {
				continue // the record of the wildcard serves both
			}
			records = append(records, Record{Name: persistName(base),
				Value: ca.Clean(acme.Challenge{}.DNSPersist01TXTRecordValue(account, issuers[0], wildcard), 500)})
		}
		return nil
	})
	return records, err
}
