package acme

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"redis-cert-agent/agent/ca"
)

// update sends a change of r to the server, signed where there is a key.
func (p *updateProof) update(ctx context.Context, r record, change func(*dns.Msg, []dns.RR)) error {
	ttl := p.d.TTL
	if ttl <= 0 {
		ttl = DefaultDNS01Update().TTL
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
	return p.accepted(r, reply, err)
}

// refusal says that the server refused an update, so that nothing was changed.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// accepted returns nil when the reply says that the server made the update. A reply
// must be signed where the update was, because anybody could have sent it
// otherwise.
func (p *updateProof) accepted(r record, reply *dns.Msg, err error) error {
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
		return refuse("%s does not have %s in the zone %s: configure the right zone", p.server, r.owner, r.zone)
	}
	return refuse("%s answers the update of %s with %s: its log has the reason", p.server, r.owner, rcode(reply.Rcode))
}

// key names the TSIG key in errors.
func (p *updateProof) key() string {
	if p.secret == "" {
		return "no TSIG key"
	}
	return "TSIG key " + ca.Clean(p.d.KeyName, ca.MaxMessage)
}

// badSignature explains the errors of RFC 8945, section 3.
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

// rcode returns the name of a response code.
func rcode(code int) string {
	if s, ok := dns.RcodeToString[code]; ok {
		return s
	}
	return fmt.Sprintf("code %d", code)
}
