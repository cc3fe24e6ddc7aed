// Package acmetest holds what an ACME client is tested against: a Pebble in
// process, and a name server that takes signed updates.
package acmetest

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// The key that a [Nameserver] takes updates with, HMAC-SHA-256.
const (
	TSIGName   = "agent."
	TSIGSecret = "bm90IGEgc2VjcmV0IGF0IGFsbCwganVzdCBhIHRlc3Q="
)

// Nameserver is a DNS server of one zone. It answers over UDP and TCP, and
// takes updates that are signed (RFC 2136, RFC 8945).
type Nameserver struct {
	Addr string // host:port, the same for UDP and TCP
	zone string

	mu      sync.Mutex
	records map[string][]dns.RR // lower-case owner name to its records
	address net.IP              // what every name without records resolves to
	hidden  int                 // how many more answers to TXT questions come without records
	updates []string            // "add NAME VALUE", "remove NAME VALUE"
	answer  func(*dns.Msg) *dns.Msg
	answers map[string]func(*dns.Msg) *dns.Msg // by the name in the question
}

// NewNameserver starts a name server. Names without records resolve to address.
func NewNameserver(t testing.TB, zone, address string) *Nameserver {
	t.Helper()
	n := &Nameserver{zone: dns.CanonicalName(zone), records: map[string][]dns.RR{}, address: net.ParseIP(address)}
	n.Add(t, n.zone+" 60 IN SOA ns."+n.zone+" admin."+n.zone+" 1 3600 600 86400 5")
	n.Add(t, n.zone+" 60 IN NS ns."+n.zone)
	pc, ln := listenBoth(t, "127.0.0.1:0")
	n.Addr = ln.Addr().String()
	n.serve(t, pc, ln)
	return n
}

// Port returns the port that it listens on, for UDP and TCP.
func (n *Nameserver) Port() string {
	_, port, _ := net.SplitHostPort(n.Addr) // never fails: Addr is a listener's
	return port
}

// ListenToo opens a second address, host:port. A client that follows NS records
// asks at port 53, which this process may not be allowed to open.
func (n *Nameserver) ListenToo(t testing.TB, addr string) error {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		ln.Close()
		return err
	}
	n.serve(t, pc, ln)
	return nil
}

// serve answers until the test ends.
func (n *Nameserver) serve(t testing.TB, pc net.PacketConn, ln net.Listener) {
	t.Helper()
	secrets := map[string]string{TSIGName: TSIGSecret}
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
}

// listenBoth opens the same free port for UDP and TCP.
func listenBoth(t testing.TB, addr string) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		ln, err := net.Listen("tcp", addr)
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

// Add adds a record, written as in a zone file.
func (n *Nameserver) Add(t testing.TB, record string) {
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

// TXT returns the values of the TXT records at name.
func (n *Nameserver) TXT(name string) []string {
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

// Log returns the updates, as "add NAME VALUE" and "remove NAME VALUE".
func (n *Nameserver) Log() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.updates)
}

// Hide keeps the next count answers to TXT questions from showing anything.
func (n *Nameserver) Hide(count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hidden = count
}

// Instead lets f answer. The name server answers itself where f returns nil.
func (n *Nameserver) Instead(f func(*dns.Msg) *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = f
}

// Intercept lets f answer for one name. The name server answers itself where f
// returns nil.
func (n *Nameserver) Intercept(name string, f func(*dns.Msg) *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.answers == nil {
		n.answers = map[string]func(*dns.Msg) *dns.Msg{}
	}
	n.answers[name] = f
}

// ServeDNS answers one message.
func (n *Nameserver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
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
	_ = w.WriteMsg(m) // the other side may have closed the connection
}

func (n *Nameserver) reply(q *dns.Msg, tsigStatus error) *dns.Msg {
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
func (n *Nameserver) update(q *dns.Msg, tsigStatus error) *dns.Msg {
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
		if signed.Hdr.Name == TSIGName {
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
