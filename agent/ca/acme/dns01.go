package acme

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"redis-cert-agent/agent/option"
	"redis-cert-agent/agent/secret"

	"github.com/mholt/acmez/v3/acme"
	"github.com/miekg/dns"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/plain"
)

// defaultWait bounds how long a record may take to be seen.
const defaultWait = 2 * time.Minute

// DNS01Update proves names, wildcards too, by TXT records (RFC 8555, section
// 8.4) that it adds and removes with dynamic updates (RFC 2136), signed with
// TSIG (RFC 8945): what BIND, Knot and PowerDNS speak.
//
// It adds one record for each name, beside those that are there, and removes
// exactly that. Where _acme-challenge.NAME is an alias, the record goes where
// the alias leads, as far as Server knows.
type DNS01Update struct {
	Server string // the zone's primary, host or host:port
	Zone   string // the zone to update

	// KeyName, Algorithm and Secret are the TSIG key. Algorithm is hmac-sha256
	// when empty; Secret is base64, as tsig-keygen prints it. Without
	// name and secret updates are not signed, for servers that go by address.
	KeyName, Algorithm string
	Secret             secret.Secret

	TTL time.Duration // of the records; a minute when zero
	// Propagation bounds the wait until all of the zone's name servers have
	// the record; two minutes when zero.
	Propagation time.Duration

	port string // the port of the zone's name servers in tests; 53 when empty
}

// TSIGAlgorithms lists the algorithms of a TSIG key, the default first: those of
// RFC 8945, section 6, without the ones that it advises against.
var TSIGAlgorithms = []string{"hmac-sha256", "hmac-sha224", "hmac-sha384", "hmac-sha512"}

// DefaultDNS01Update returns what holds for a server of which nothing is said.
func DefaultDNS01Update() DNS01Update {
	return DNS01Update{Algorithm: TSIGAlgorithms[0], TTL: time.Minute, Propagation: defaultWait}
}

func (DNS01Update) kind() string { return kindDNS01 }

func (d DNS01Update) bound() time.Duration { return d.Propagation }

// Faults implements Challenge.
func (d DNS01Update) Faults(r option.Report) {
	option.Address(r, "server", d.Server, `write it like 10.0.0.53:53 or "[::1]:53"`)
	if d.Zone == "" && !r.Given("zone") {
		r.Fault("zone", "missing; write the zone of the server that the records go to, like internal or example.com")
	} else if _, err := option.ParseZone(d.Zone); err != nil {
		r.Fault("zone", "%s %v", option.Quote(d.Zone), err)
	}
	d.keyFaults(r)
	if d.TTL < 0 || d.TTL > 24*time.Hour || d.TTL%time.Second != 0 {
		r.Fault("ttl", "%s is not a sane TTL for a record that lives for minutes; write whole seconds, like 60s", d.TTL)
	}
	waitFaults(r, d.Propagation)
}

func (d DNS01Update) keyFaults(r option.Report) {
	name := d.KeyName != "" || r.Given("tsig_name")
	secret := d.Secret.Set() || r.Given("tsig_secret_file")
	algorithm := r.Given("tsig_algorithm")
	if (secret || algorithm) && !name {
		r.Fault("tsig_name", "missing; write the name of the TSIG key, as the name server knows it")
	}
	if (name || algorithm) && !secret {
		r.Fault("tsig_secret_file", "missing; write the path of the file that holds the secret of the TSIG key, or credential:NAME")
	}
	if name {
		if _, err := ParseKeyName(d.KeyName); err != nil {
			r.Fault("tsig_name", "%s %v", option.Quote(d.KeyName), err)
		}
	}
	option.OneOf(r, "tsig_algorithm", cmp.Or(d.Algorithm, TSIGAlgorithms[0]), TSIGAlgorithms)
}

func waitFaults(r option.Report, wait time.Duration) {
	if wait < 0 {
		r.Fault("wait", "%s is negative; write 0s or more", wait)
	}
}

// ParseKeyName takes the name of a TSIG key, which is a domain name in form only
// (RFC 8945, 4.2), and returns it in lower case without the last dot. Its error
// follows the quoted text in a message.
func ParseKeyName(s string) (string, error) {
	name := strings.TrimSuffix(strings.ToLower(s), ".")
	if name == "" || len(name) > 253 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || strings.Contains("."+name+".", "..") {
		return "", errors.New("is not the name of a TSIG key; write it as the name server knows it, like redis1-key")
	}
	return name, nil
}

// FileFaults implements Challenge.
func (d DNS01Update) FileFaults(r option.Report) {
	option.Secret(r, "tsig_secret_file", d.Secret, func(text []byte) error { _, err := tsigSecret(text); return err })
}

func (d DNS01Update) algorithm() string {
	return dns.CanonicalName(cmp.Or(d.Algorithm, TSIGAlgorithms[0]))
}

// open finds out where the records of all names go. It does so before the order is
// made, so that a server that does not answer costs no order.
func (d DNS01Update) open(ctx context.Context, names []string) (proof, error) {
	secret, err := d.secret()
	if err != nil {
		return nil, fmt.Errorf("dns-01: %w", err)
	}
	p := &updateProof{d: d, server: withPort(d.Server), secret: secret, places: map[string]place{}}
	for _, n := range names {
		name := dns.Fqdn(challengeName(n))
		if p.places[name], err = p.find(ctx, name); err != nil {
			return nil, fmt.Errorf("dns-01: %w", err)
		}
	}
	return p, nil
}

// secret is the TSIG secret in base64, as miekg/dns wants it; empty without key.
func (d DNS01Update) secret() (string, error) {
	if !d.Secret.Set() {
		return "", nil
	}
	text, err := d.Secret.Read()
	if err != nil {
		return "", fmt.Errorf("read the TSIG secret: %w", err)
	}
	return tsigSecret(text)
}

func tsigSecret(text []byte) (string, error) {
	s := strings.TrimSpace(string(text))
	if raw, err := base64.StdEncoding.DecodeString(s); err != nil || len(raw) == 0 {
		return "", errors.New("this secret is not base64; put it there alone, as it stands between the quotes in the output of tsig-keygen")
	}
	return s, nil
}

// withPort adds the port of DNS to an address that has none.
func withPort(addr string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(strings.Trim(addr, "[]"), "53")
}

// place says where the record of one challenge goes.
type place struct{ owner, zone string }

// updateProof answers the challenges of one order in the DNS.
type updateProof struct {
	d      DNS01Update
	server string
	secret string
	places map[string]place // by the name that the CA asks for
	added  []record
}

// record is a TXT record that was added, or may have been.
type record struct {
	place
	value string
}

// find follows aliases from name. Where they lead must be in the zone.
func (p *updateProof) find(ctx context.Context, name string) (place, error) {
	owner, err := p.alias(ctx, name)
	if err != nil {
		return place{}, err
	}
	zone := dns.CanonicalName(p.d.Zone)
	if !dns.IsSubDomain(zone, owner) {
		return place{}, fmt.Errorf("%s is not in the zone %s: configure the zone that it is in", owner, zone)
	}
	return place{owner, zone}, nil
}

// maxAliases bounds how many aliases are followed.
const maxAliases = 8

// alias follows CNAME records from name as far as the server knows them.
func (p *updateProof) alias(ctx context.Context, name string) (string, error) {
	for range maxAliases {
		reply, err := ask(ctx, p.server, name, dns.TypeCNAME)
		if err != nil {
			return "", err
		}
		next := ""
		for _, rr := range reply.Answer {
			if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, name) {
				next = c.Target
			}
		}
		if next == "" {
			return name, nil
		}
		name = dns.CanonicalName(next)
	}
	return "", fmt.Errorf("the aliases from %s go on and on", ca.Clean(name, ca.MaxMessage))
}

func (p *updateProof) present(ctx context.Context, c acme.Challenge) error {
	at, ok := p.places[dns.Fqdn(challengeName(c.Identifier.Value))]
	if !ok {
		return fmt.Errorf("the CA asks for %s, which was not ordered", ca.Clean(c.Identifier.Value, ca.MaxMessage))
	}
	r := record{at, c.DNS01KeyAuthorization()}
	err := p.update(ctx, r, (*dns.Msg).Insert)
	var no refusal
	if !errors.As(err, &no) {
		p.added = append(p.added, r) // also when the reply was lost
	}
	return err
}

// close removes the records that were added.
func (p *updateProof) close(ctx context.Context) error {
	var errs []error
	for _, r := range p.added {
		if err := p.update(ctx, r, (*dns.Msg).Remove); err != nil {
			errs = append(errs, fmt.Errorf("the TXT record of %s stays behind, remove it by hand: %w", r.owner, err))
		}
	}
	p.added = nil
	return plain.Join(errs...)
}
