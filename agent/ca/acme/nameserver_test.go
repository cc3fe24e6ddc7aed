package acme

import (
	"encoding/base64"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const (
	tsigName   = "agent."
	tsigSecret = "bm90IGEgc2VjcmV0IGF0IGFsbCwganVzdCBhIHRlc3Q="
)

// nameserver is a DNS server of one zone. It answers over UDP and TCP, and
// takes updates that are signed (RFC 2136, RFC 8945).
type nameserver struct {
	addr string // host:port, the same for UDP and TCP
	zone string

	mu      sync.Mutex
	records map[string][]dns.RR // lower-case owner name to its records
	address net.IP              // what every name without records resolves to
	hidden  int                 // how many answers to TXT questions come without what was added
	updates []string            // "add NAME VALUE", "remove NAME VALUE"
	answer  func(*dns.Msg) *dns.Msg
	answers map[string]func(*dns.Msg) *dns.Msg // by the name in the question
}

// newNameserver starts one. All names that it has no records of resolve to
// address.
func newNameserver(t testing.TB, zone, address string) *nameserver {
	t.Helper()
	n := &nameserver{zone: dns.CanonicalName(zone), records: map[string][]dns.RR{}, address: net.ParseIP(address)}
	n.add(t, n.zone+" 60 IN SOA ns."+n.zone+" admin."+n.zone+" 1 3600 600 86400 5")
	n.add(t, n.zone+" 60 IN NS ns."+n.zone)
	pc, ln := listenBoth(t)
	n.addr = ln.Addr().String()
	secrets := map[string]string{tsigName: tsigSecret}
	for _, s := range []*dns.Server{{PacketConn: pc}, {Listener: ln}} {
		started, done := make(chan struct{}), make(chan error, 1)
		s.Handler, s.TsigSecret, s.MsgAcceptFunc = n, secrets, takeUpdates
		s.NotifyStartedFunc = func() { close(started) }
		go func() { done <- s.ActivateAndServe() }()
		select {
		case <-started:
		case err := <-done:
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
	return n
}

// listenBoth opens the same free port for UDP and TCP.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if pc, err := net.ListenPacket("udp", ln.Addr().String()); err == nil {
			return pc, ln
		}
		ln.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

// takeUpdates lets updates through, which miekg/dns refuses by default.
func takeUpdates(h dns.Header) dns.MsgAcceptAction {
	if opcode := int(h.Bits>>11) & 0xf; opcode == dns.OpcodeUpdate {
		return dns.MsgAccept
	}
	return dns.DefaultMsgAcceptFunc(h)
}

func (n *nameserver) add(t testing.TB, record string) {
	t.Helper()
	rr, err := dns.NewRR(record)
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	owner := dns.CanonicalName(rr.Header().Name)
	n.records[owner] = append(n.records[owner], rr)
}

// txt returns the values of the TXT records at name.
func (n *nameserver) txt(name string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var values []string
	for _, rr := range n.records[dns.CanonicalName(name)] {
		if t, ok := rr.(*dns.TXT); ok {
			values = append(values, strings.Join(t.Txt, ""))
		}
	}
	return values
}

func (n *nameserver) log() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.updates)
}

// hide keeps the next count answers to TXT questions from showing anything.
func (n *nameserver) hide(count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hidden = count
}

// instead lets f answer; what f returns nil for is answered as ever.
func (n *nameserver) instead(f func(*dns.Msg) *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = f
}

// intercept lets f answer for one name; what f returns nil for is answered as
// ever.
func (n *nameserver) intercept(name string, f func(*dns.Msg) *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.answers == nil {
		n.answers = map[string]func(*dns.Msg) *dns.Msg{}
	}
	n.answers[name] = f
}

func (n *nameserver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	n.mu.Lock()
	f := n.answer
	if one := n.answers[dns.CanonicalName(q.Question[0].Name)]; one != nil {
		f = one
	}
	n.mu.Unlock()
	var m *dns.Msg
	if f != nil {
		m = f(q)
	}
	if m == nil {
		m = n.reply(q, w.TsigStatus())
	}
	_ = w.WriteMsg(m) // who asked may be gone
}

func (n *nameserver) reply(q *dns.Msg, tsigStatus error) *dns.Msg {
	if q.Opcode == dns.OpcodeUpdate {
		return n.update(q, tsigStatus)
	}
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	n.mu.Lock()
	defer n.mu.Unlock()
	question := q.Question[0]
	owner := dns.CanonicalName(question.Name)
	if !dns.IsSubDomain(n.zone, owner) && question.Qtype != dns.TypeA && question.Qtype != dns.TypeAAAA {
		m.Authoritative, m.Rcode = false, dns.RcodeRefused
		return m
	}
	for _, rr := range n.records[owner] {
		if rr.Header().Rrtype == question.Qtype || rr.Header().Rrtype == dns.TypeCNAME {
			m.Answer = append(m.Answer, rr)
		}
	}
	switch {
	case question.Qtype == dns.TypeTXT && n.hidden > 0:
		n.hidden--
		m.Answer = nil
	case question.Qtype == dns.TypeA && len(n.records[owner]) == 0:
		m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: n.address})
	}
	if len(m.Answer) == 0 && dns.IsSubDomain(n.zone, owner) {
		m.Ns = append(m.Ns, n.records[n.zone][0])
	}
	return m
}

// update does what RFC 2136, sections 2.5 and 3, says for TXT records, and
// answers in BIND's way.
func (n *nameserver) update(q *dns.Msg, tsigStatus error) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	signed := q.IsTsig()
	switch {
	case signed == nil:
		m.Rcode = dns.RcodeRefused
		return m
	case tsigStatus != nil:
		m.Rcode = dns.RcodeNotAuth
		m.SetTsig(signed.Hdr.Name, signed.Algorithm, 300, time.Now().Unix())
		ts := m.IsTsig()
		ts.Error = dns.RcodeBadKey
		if signed.Hdr.Name == tsigName {
			ts.Error = dns.RcodeBadSig
		}
		return m
	}
	m.SetTsig(signed.Hdr.Name, signed.Algorithm, 300, time.Now().Unix())
	if dns.CanonicalName(q.Question[0].Name) != n.zone {
		m.Rcode = dns.RcodeNotZone
		return m
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, rr := range q.Ns {
		txt, ok := rr.(*dns.TXT)
		if !ok {
			m.Rcode = dns.RcodeRefused
			return m
		}
		owner, value := dns.CanonicalName(txt.Hdr.Name), strings.Join(txt.Txt, "")
		switch txt.Hdr.Class {
		case dns.ClassINET:
			n.records[owner] = append(n.records[owner], txt)
			n.updates = append(n.updates, "add "+owner+" "+value)
		case dns.ClassNONE:
			n.records[owner] = slices.DeleteFunc(n.records[owner], func(have dns.RR) bool {
				t, ok := have.(*dns.TXT)
				return ok && strings.Join(t.Txt, "") == value
			})
			n.updates = append(n.updates, "remove "+owner+" "+value)
		}
	}
	return m
}

func secretOf(encoded string) func() ([]byte, error) {
	return func() ([]byte, error) {
		_, err := base64.StdEncoding.DecodeString(encoded)
		return []byte(encoded), err
	}
}
