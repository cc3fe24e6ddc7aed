package acme

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"github.com/miekg/dns"

	"redis-cert-agent/agent/ca"
)

// dnsTimeout bounds one question to a DNS server.
const dnsTimeout = 5 * time.Second

// exchange sends m and returns the reply, together with an error when the reply's
// signature does not verify. Unlike the method of miekg/dns, it ends as soon as
// ctx does.
func exchange(ctx context.Context, client *dns.Client, m *dns.Msg, server string) (*dns.Msg, error) {
	within, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	conn, err := client.DialContext(within, server)
	if err != nil {
		return nil, fmt.Errorf("%s does not answer: %w", server, err)
	}
	defer conn.Close()
	defer context.AfterFunc(within, func() { conn.Close() })()
	reply, _, err := client.ExchangeWithConnContext(within, m, conn)
	if err != nil && reply == nil {
		if late := within.Err(); late != nil {
			err = late
		}
		return nil, fmt.Errorf("%s does not answer: %w", server, err)
	}
	return reply, err
}

// ask asks one server for the records of a name, over UDP, and over TCP when
// they do not fit.
func ask(ctx context.Context, server, name string, kind uint16) (*dns.Msg, error) {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	m.RecursionDesired = false // the server answers from its own data only
	m.SetEdns0(1232, false)
	reply, err := exchange(ctx, &dns.Client{Net: "udp", UDPSize: 1232, Timeout: dnsTimeout}, m, server)
	if err == nil && reply.Truncated {
		reply, err = exchange(ctx, &dns.Client{Net: "tcp", Timeout: dnsTimeout}, m, server)
	}
	if err != nil && reply != nil {
		err = fmt.Errorf("%s answers with what is no DNS: %w", server, err)
	}
	return reply, err
}

// ready waits until all name servers of the zone have the record, because the CA
// may ask any of them, and does not ask again for a record that it does not find.
func (p *updateProof) ready(ctx context.Context, c acme.Challenge) error {
	at := p.places[dns.Fqdn(challengeName(c.Identifier.Value))]
	bound := p.d.Propagation
	if bound <= 0 {
		bound = defaultWait
	}
	within, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	servers, err := p.nameServers(within, at.zone)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if err := s.await(within, at.owner, c.DNS01KeyAuthorization()); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%s does not have the TXT record of %s after %s (%w): look into the zone's transfers and whether this host reaches all servers of its NS records", s.name, at.owner, bound, err)
		}
	}
	return nil
}

// nameServer is a name server of the zone, with its addresses.
type nameServer struct {
	name  string
	addrs []string // host:port
}

// await asks the server again and again until it has the value. The error is the
// last answer without it; that ctx ended while one more was waited for says less.
func (s nameServer) await(ctx context.Context, owner, value string) error {
	var last error
	for asked := 1; ; asked++ {
		has, err := s.has(ctx, owner, value)
		if has {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if wait(ctx, polling.Delay(asked, 0)) != nil {
			return last
		}
	}
}

// has asks the first of the server's addresses that answers whether the server
// has the value.
func (s nameServer) has(ctx context.Context, owner, value string) (bool, error) {
	err := errors.New("it has no address")
	for _, addr := range s.addrs {
		var reply *dns.Msg
		if reply, err = ask(ctx, addr, owner, dns.TypeTXT); err != nil {
			continue
		}
		if slices.Contains(texts(reply), value) {
			return true, nil
		}
		return false, fmt.Errorf("it answers %s with %d other records", rcode(reply.Rcode), len(reply.Answer))
	}
	return false, err
}

// texts returns the values of the TXT records in an answer. A value may come in
// pieces of 255 bytes (RFC 1035, section 3.3.14).
func texts(m *dns.Msg) []string {
	var values []string
	for _, rr := range m.Answer {
		if t, ok := rr.(*dns.TXT); ok {
			values = append(values, strings.Join(t.Txt, ""))
		}
	}
	return values
}

// nameServers returns the servers that the zone's NS records name.
func (p *updateProof) nameServers(ctx context.Context, zone string) ([]nameServer, error) {
	reply, err := ask(ctx, p.server, zone, dns.TypeNS)
	if err != nil {
		return nil, err
	}
	var servers []nameServer
	for _, rr := range reply.Answer {
		if ns, ok := rr.(*dns.NS); ok {
			servers = append(servers, nameServer{ca.Clean(ns.Ns, ca.MaxMessage), p.addresses(ctx, ns.Ns, reply.Extra)})
		}
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("%s names no name servers of %s: find out whether it has the zone", p.server, zone)
	}
	return servers, nil
}

// addresses returns the addresses of a name server. They stand beside its name in
// the answer, or the server that takes the updates knows them, or this host
// resolves the name.
func (p *updateProof) addresses(ctx context.Context, name string, beside []dns.RR) []string {
	found := addressesOf(name, beside)
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if len(found) > 0 {
			break
		}
		if reply, err := ask(ctx, p.server, name, kind); err == nil {
			found = addressesOf(name, reply.Answer)
		}
	}
	if len(found) == 0 {
		// A name that does not resolve shows as a server without an address.
		found, _ = net.DefaultResolver.LookupHost(ctx, name)
	}
	port := "53"
	if p.d.port != "" {
		port = p.d.port
	}
	for i := range found {
		found[i] = net.JoinHostPort(found[i], port)
	}
	return found
}

// addressesOf returns the addresses that records give name.
func addressesOf(name string, records []dns.RR) []string {
	var found []string
	for _, rr := range records {
		if !strings.EqualFold(rr.Header().Name, name) {
			continue
		}
		switch a := rr.(type) {
		case *dns.A:
			found = append(found, a.A.String())
		case *dns.AAAA:
			found = append(found, a.AAAA.String())
		}
	}
	return found
}
