package acme

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"github.com/miekg/dns"
)

const (
	defaultTTL         = time.Minute
	defaultPropagation = 2 * time.Minute
	defaultAlgorithm   = "hmac-sha256"
)

// DNS01Update proves names, wildcards too, by TXT records (RFC 8555, section
// 8.4) that it adds and removes with dynamic updates (RFC 2136), signed with
// TSIG (RFC 8945): what BIND, Knot and PowerDNS speak.
//
// It adds one record for each name, beside those that are there, and removes
// exactly that. Where _acme-challenge.NAME is an alias, the record goes where
// the alias leads, as far as Server knows.
type DNS01Update struct {
	Server string // the zone's primary, host or host:port
	Zone   string // the zone to update; found by its SOA record when empty

	// KeyName, Algorithm and Secret are the TSIG key. Algorithm is hmac-sha256
	// when empty; Secret returns base64, as tsig-keygen prints it. Without
	// name and secret updates are not signed, for servers that go by address.
	KeyName, Algorithm string
	Secret             func() ([]byte, error)

	TTL time.Duration // of the records; a minute when zero
	// Propagation bounds the wait until all of the zone's name servers have
	// the record; two minutes when zero.
	Propagation time.Duration
	// NameServers are those to wait for, host or host:port. When empty they
	// are what the zone's NS records say.
	NameServers []string

	port string // of what the NS records say; 53 when empty
}

func (DNS01Update) kind() string { return acme.ChallengeTypeDNS01 }

// algorithms are those of RFC 8945, section 6, without MD5.
var algorithms = []string{dns.HmacSHA1, dns.HmacSHA224, dns.HmacSHA256, dns.HmacSHA384, dns.HmacSHA512}

func (d DNS01Update) valid() error {
	switch {
	case d.Server == "":
		return errors.New("no DNS server is configured that takes the updates")
	case (d.KeyName == "") != (d.Secret == nil):
		return errors.New("a TSIG key needs both its name and its secret: configure both, as tsig-keygen makes them")
	case !slices.Contains(algorithms, d.algorithm()):
		return fmt.Errorf("the TSIG algorithm %q is not known: use hmac-sha256, -384 or -512", clean(d.Algorithm))
	}
	if _, ok := dns.IsDomainName(d.KeyName); !ok && d.KeyName != "" {
		return fmt.Errorf("the TSIG key's name %q is no DNS name", clean(d.KeyName))
	}
	return nil
}

func (d DNS01Update) algorithm() string {
	if d.Algorithm == "" {
		return dns.CanonicalName(defaultAlgorithm)
	}
	return dns.CanonicalName(d.Algorithm)
}

// open finds out where the records of all names go, so that a server that does
// not answer costs no order.
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
	if d.Secret == nil {
		return "", nil
	}
	secret, err := d.Secret()
	if err != nil {
		return "", fmt.Errorf("read the TSIG secret: %w", err)
	}
	text := strings.TrimSpace(string(secret))
	if raw, err := base64.StdEncoding.DecodeString(text); err != nil || len(raw) == 0 {
		return "", errors.New("the TSIG secret is no base64: copy it as tsig-keygen prints it")
	}
	return text, nil
}

// withPort adds the port of DNS to an address that has none.
func withPort(addr string) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(strings.Trim(addr, "[]"), "53")
}

// place is where the record of one challenge goes.
type place struct{ owner, zone string }

// updateProof shows the challenges of one order in the DNS.
type updateProof struct {
	d      DNS01Update
	server string
	secret string
	places map[string]place // by the name that the CA asks for
	added  []record
}

// record is one TXT record that was added, or may have been.
type record struct {
	place
	value string
}

// find follows aliases from name and finds the zone of where they lead.
func (p *updateProof) find(ctx context.Context, name string) (place, error) {
	owner, err := p.alias(ctx, name)
	if err != nil {
		return place{}, err
	}
	zone := dns.CanonicalName(p.d.Zone)
	if p.d.Zone == "" {
		if zone, err = p.zone(ctx, owner); err != nil {
			return place{}, err
		}
	}
	if !dns.IsSubDomain(zone, owner) {
		return place{}, fmt.Errorf("%s is not in the zone %s: configure the zone that it is in, or none", owner, zone)
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
	return "", fmt.Errorf("the aliases from %s go on and on", clean(name))
}

// zone asks for SOA records from name upwards. A server that has the zone
// answers the first question with it, in the answer or beside it (RFC 2308,
// section 3).
func (p *updateProof) zone(ctx context.Context, name string) (string, error) {
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		reply, err := ask(ctx, p.server, name[off:], dns.TypeSOA)
		if err != nil {
			return "", err
		}
		for _, rr := range slices.Concat(reply.Answer, reply.Ns) {
			if soa, ok := rr.(*dns.SOA); ok && soa.Hdr.Name != "." && dns.IsSubDomain(soa.Hdr.Name, name) {
				return dns.CanonicalName(soa.Hdr.Name), nil
			}
		}
	}
	return "", fmt.Errorf("%s names no zone that %s is in: configure the zone, or the server that has it", p.server, name)
}

func (p *updateProof) present(ctx context.Context, c acme.Challenge) error {
	at, ok := p.places[dns.Fqdn(challengeName(c.Identifier.Value))]
	if !ok {
		return fmt.Errorf("the CA asks for %s, which was not ordered", clean(c.Identifier.Value))
	}
	r := record{at, c.DNS01KeyAuthorization()}
	err := p.update(ctx, r, (*dns.Msg).Insert)
	var no refusal
	if !errors.As(err, &no) {
		p.added = append(p.added, r) // also when the answer got lost
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
	return inOneLine(errs)
}

// update sends one signed change of r.
func (p *updateProof) update(ctx context.Context, r record, change func(*dns.Msg, []dns.RR)) error {
	ttl := p.d.TTL
	if ttl <= 0 {
		ttl = defaultTTL
	}
	m := new(dns.Msg).SetUpdate(r.zone)
	change(m, []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: r.owner, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: uint32(ttl.Seconds())},
		Txt: []string{r.value},
	}})
	client := &dns.Client{Net: "tcp", Timeout: dnsTimeout}
	if p.secret != "" {
		key := dns.CanonicalName(p.d.KeyName)
		// RFC 8945, section 10: "The RECOMMENDED value in most situations is
		// 300 seconds."
		m.SetTsig(key, p.d.algorithm(), 300, time.Now().Unix())
		client.TsigSecret = map[string]string{key: p.secret}
	}
	reply, err := exchange(ctx, client, m, p.server)
	return p.verdict(r, reply, err)
}

// refusal is a server's no: nothing was changed.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// verdict says what a reply to an update means. The reply must be signed: an
// unsigned one may be anybody's.
func (p *updateProof) verdict(r record, reply *dns.Msg, err error) error {
	if reply == nil {
		return err
	}
	signed := reply.IsTsig()
	if signed != nil && signed.Error != 0 {
		return p.badSignature(int(signed.Error))
	}
	switch reply.Rcode {
	case dns.RcodeSuccess:
		switch {
		case err != nil:
			return fmt.Errorf("%s: the reply to the update does not verify with %s: %w", p.server, p.key(), err)
		case signed == nil && p.secret != "":
			return fmt.Errorf("%s: the reply to the update is not signed: find out what answers there", p.server)
		}
		return nil
	case dns.RcodeRefused:
		return refuse("%s refuses the update of %s: let this host change TXT records there with %s (BIND: update-policy)", p.server, r.owner, p.key())
	case dns.RcodeNotAuth:
		return refuse("%s is not the primary of %s, or does not take %s: configure the primary, and check the key", p.server, r.zone, p.key())
	case dns.RcodeNotZone:
		return refuse("%s does not have %s in the zone %s: configure the right zone, or none", p.server, r.owner, r.zone)
	}
	return refuse("%s answers the update of %s with %s: its log has the reason", p.server, r.owner, rcode(reply.Rcode))
}

func (p *updateProof) key() string {
	if p.secret == "" {
		return "no TSIG key"
	}
	return "TSIG key " + clean(p.d.KeyName)
}

// badSignature tells the errors of RFC 8945, section 3.
func (p *updateProof) badSignature(code int) error {
	switch code {
	case dns.RcodeBadKey:
		return refuse("%s does not know %s (BADKEY): check its name and algorithm, %s", p.server, p.key(), strings.TrimSuffix(p.d.algorithm(), "."))
	case dns.RcodeBadSig:
		return refuse("%s has another secret for %s (BADSIG): copy it anew", p.server, p.key())
	case dns.RcodeBadTime:
		return refuse("%s has another time than this host (BADTIME): set the clocks", p.server)
	}
	return refuse("%s does not take the signature with %s (%s)", p.server, p.key(), rcode(code))
}

func rcode(code int) string {
	if s, ok := dns.RcodeToString[code]; ok {
		return s
	}
	return fmt.Sprintf("code %d", code)
}
