package acme

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/acme/acmetest"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"

	"github.com/miekg/dns"
)

// update is a challenge that a name server of the test takes.
func update(n *acmetest.Nameserver) DNS01Update {
	return DNS01Update{
		Server: n.Addr, Zone: "internal", KeyName: acmetest.TSIGName, Secret: secretOf(acmetest.TSIGSecret),
		Propagation: 10 * time.Second, port: n.Port(),
	}
}

// startDNS starts a name server, and a Pebble that asks it.
func startDNS(t *testing.T, s shape) (*acmetest.Nameserver, *pebble, Options) {
	t.Helper()
	n := acmetest.NewNameserver(t, "internal", "127.0.0.1")
	s.Resolver = n.Addr
	p := startPebble(t, s)
	o := p.options(t)
	o.Challenge = update(n)
	return n, p, o
}

// clear checks that name has none of the records that an order added, and that
// there were some.
func isClear(t *testing.T, n *acmetest.Nameserver, name string, added int) {
	t.Helper()
	if left := n.TXT(name); len(left) > 0 {
		t.Errorf("%s still has %q", name, left)
	}
	var adds, removes []string
	for _, u := range n.Log() {
		if what, ok := strings.CutPrefix(u, "add "); ok {
			adds = append(adds, what)
		} else {
			removes = append(removes, strings.TrimPrefix(u, "remove "))
		}
	}
	slices.Sort(adds)
	slices.Sort(removes)
	if len(adds) != added || !slices.Equal(adds, removes) {
		t.Errorf("added %q, removed %q; want %d", adds, removes, added)
	}
}

func TestDNS01Update(t *testing.T) {
	t.Parallel()
	n, _, o := startDNS(t, shape{})
	// The wildcard and its base have their records at the same name.
	names := []string{"r.internal", "*.r.internal", "redis9.internal"}
	n.Hide(4) // other servers of a zone lag behind
	good(t, issue(t, New(o), ca.Request{Names: names}), names, cert.P256)
	isClear(t, n, "_acme-challenge.r.internal.", 3)
}

func TestDNS01StepCA(t *testing.T) {
	t.Parallel()
	s := useStepCA(t)
	names := []string{"*.d1.internal", "d2.internal"}
	how := update(s.names)
	how.Zone = "Internal" // case and the last dot do not matter
	good(t, issue(t, New(s.options(t, how)), ca.Request{Names: names}), names, cert.P256)
	if left := s.names.TXT("_acme-challenge.d1.internal."); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// Records that others put there stay.
func TestDNS01KeepsOthers(t *testing.T) {
	t.Parallel()
	n, _, o := startDNS(t, shape{})
	n.Add(t, `_acme-challenge.redis1.internal. 60 IN TXT "of another host"`)
	issue(t, New(o), ca.Request{})
	if got := n.TXT("_acme-challenge.redis1.internal."); !slices.Equal(got, []string{"of another host"}) {
		t.Errorf("left are %q", got)
	}
}

// The name servers to wait for are those of the zone: each of them, at the
// address beside its name, from the server, or as this host resolves it.
func TestDNS01NameServers(t *testing.T) {
	t.Parallel()
	n, _, o := startDNS(t, shape{})
	n.Add(t, "ns.internal. 60 IN A 127.0.0.1")
	n.Add(t, "internal. 60 IN NS localhost.") // which the server says is at its default address
	how := update(n)
	o.Challenge = how
	n.Hide(2)
	issue(t, New(o), ca.Request{})
	isClear(t, n, "_acme-challenge.redis1.internal.", 1)

	// One of them has no such server.
	n.Add(t, "internal. 60 IN NS gone.internal.")
	n.Add(t, "gone.internal. 60 IN A "+acmetest.FreshHost(t))
	how.Propagation = 10 * time.Second
	o.Challenge = how
	says(t, refused(t, New(o), ca.Request{}), "prove redis1.internal: ", "gone.internal. does not have the TXT record of _acme-challenge.redis1.internal. after 10s", "refused")
	isClear(t, n, "_acme-challenge.redis1.internal.", 2)
}

// A name server that has answered and then hangs is told of by its answer.
func TestDNS01LastAnswer(t *testing.T) {
	t.Parallel()
	n := acmetest.NewNameserver(t, "internal", "127.0.0.1")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	var asked atomic.Int32
	n.Intercept("redis1.internal.", func(q *dns.Msg) *dns.Msg {
		if asked.Add(1) > 1 {
			cancel()
			<-ended
		}
		return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
	})
	err := nameServer{"ns.internal.", []string{n.Addr}}.await(ctx, "redis1.internal.", "value")
	close(ended)
	if err == nil || err.Error() != "it answers SERVFAIL with 0 other records" {
		t.Error(err)
	}
}

// An alias leads to where the record belongs.
func TestDNS01Alias(t *testing.T) {
	t.Parallel()
	n, p, o := startDNS(t, shape{})
	n.Add(t, "_acme-challenge.redis1.internal. 60 IN CNAME one.acme.internal.")
	n.Add(t, "one.acme.internal. 60 IN CNAME two.acme.internal.")
	owner := place{"two.acme.internal.", "internal."}
	open, err := o.Challenge.open(t.Context(), []string{"redis1.internal"})
	if err != nil {
		t.Fatal(err)
	}
	if got := open.(*updateProof).places["_acme-challenge.redis1.internal."]; got != owner {
		t.Errorf("the record goes to %v, want %v", got, owner)
	}
	n.Add(t, "two.acme.internal. 60 IN CNAME one.acme.internal.")
	says(t, refused(t, New(o), ca.Request{}), "go on and on")
	if p.Count("order-plz") > 0 {
		t.Error("an order was made")
	}
}

// What a name server says no to costs no order, or leaves nothing behind.
func TestDNS01Refusals(t *testing.T) {
	t.Parallel()
	n, p, o := startDNS(t, shape{})
	code := func(rcode int, signed bool) func(*dns.Msg) *dns.Msg {
		return func(q *dns.Msg) *dns.Msg {
			if q.Opcode != dns.OpcodeUpdate {
				return nil
			}
			m := new(dns.Msg).SetRcode(q, rcode)
			if signed {
				ts := q.IsTsig()
				m.SetTsig(ts.Hdr.Name, ts.Algorithm, 300, time.Now().Unix())
			}
			return m
		}
	}
	tests := []struct {
		name    string
		change  func(*DNS01Update)
		instead func(*dns.Msg) *dns.Msg
		orders  bool
		wants   []string
	}{
		{name: "unknown key", change: func(d *DNS01Update) { d.KeyName = "other" }, orders: true, wants: []string{"does not know TSIG key other (BADKEY)", "hmac-sha256"}},
		{name: "wrong secret", change: func(d *DNS01Update) { d.Secret = secretOf("d3Jvbmc=") }, orders: true, wants: []string{"another secret", "(BADSIG)"}},
		{name: "no base64", change: func(d *DNS01Update) { d.Secret = secretOf("not base64!") }, wants: []string{"illegal base64"}},
		{name: "empty secret", change: func(d *DNS01Update) { d.Secret = secretOf("") }, wants: []string{"this secret is not base64"}},
		{name: "no key", change: func(d *DNS01Update) { d.KeyName, d.Secret = "", secret.Secret{} }, orders: true, wants: []string{"refuses the update", "no TSIG key"}},
		{name: "other zone", change: func(d *DNS01Update) { d.Zone = "example.com" }, wants: []string{"is not in the zone example.com."}},
		{name: "smaller zone", change: func(d *DNS01Update) { d.Zone = "redis1.internal" }, orders: true, wants: []string{"does not have _acme-challenge.redis1.internal. in the zone redis1.internal."}},
		{name: "not its zone", instead: func(q *dns.Msg) *dns.Msg { return new(dns.Msg).SetRcode(q, dns.RcodeRefused) }, orders: true, wants: []string{"refuses the update of _acme-challenge.redis1.internal."}},
		{name: "refused", instead: code(dns.RcodeRefused, true), orders: true, wants: []string{"refuses the update", "update-policy"}},
		{name: "not primary", instead: code(dns.RcodeNotAuth, false), orders: true, wants: []string{"is not the primary of internal."}},
		{name: "broken", instead: code(dns.RcodeServerFailure, false), orders: true, wants: []string{"with SERVFAIL"}},
		{name: "unsigned", instead: code(dns.RcodeSuccess, false), orders: true, wants: []string{"the reply to the update is not signed"}},
		{name: "down", change: func(d *DNS01Update) { d.Server = at(acmetest.FreshHost(t), 53) }, wants: []string{":53 does not answer"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, before := update(n), p.Count("order-plz")
			d.Propagation = time.Second
			if tt.change != nil {
				tt.change(&d)
			}
			n.Instead(tt.instead)
			defer n.Instead(nil)
			o := o
			o.Challenge = d
			o.AccountKeyFile = p.options(t).AccountKeyFile
			var told []string
			o.Warn = func(msg string) { told = append(told, msg) }
			e := refused(t, New(o), ca.Request{})
			says(t, e, append(tt.wants, "prove")...)
			if strings.Contains(e.Error(), acmetest.TSIGSecret) {
				t.Error("the secret shows")
			}
			// An unsigned answer leaves open what was done.
			if behind := strings.Contains(strings.Join(told, "\n"), "stays behind"); behind != (tt.name == "unsigned") {
				t.Errorf("told %q", told)
			}
			if ordered := p.Count("order-plz") > before; ordered != tt.orders {
				t.Errorf("an order was made: %t, want %t", ordered, tt.orders)
			}
		})
	}
	isClear(t, n, "_acme-challenge.redis1.internal.", 0)
}

// A reply with somebody else's signature is no reply.
func TestDNS01ForgedReply(t *testing.T) {
	t.Parallel()
	p := &updateProof{d: DNS01Update{KeyName: acmetest.TSIGName}, server: "ns", secret: acmetest.TSIGSecret}
	reply := new(dns.Msg).SetUpdate("internal.")
	reply.SetTsig(acmetest.TSIGName, dns.HmacSHA256, 300, time.Now().Unix())
	if err := p.accepted(record{}, reply, dns.ErrSig); err == nil || !strings.Contains(err.Error(), "does not verify") {
		t.Errorf("forged: %v", err)
	}
	if err := p.accepted(record{}, reply, nil); err != nil {
		t.Errorf("fine: %v", err)
	}
}

// An answer that does not fit into UDP is asked for again over TCP.
func TestDNS01Truncated(t *testing.T) {
	t.Parallel()
	n, _, _ := startDNS(t, shape{})
	n.Add(t, `_acme-challenge.long.internal. 60 IN TXT "value"`)
	var cut atomic.Bool
	n.Instead(func(q *dns.Msg) *dns.Msg {
		if cut.Swap(true) {
			return nil
		}
		m := new(dns.Msg).SetReply(q)
		m.Truncated = true
		return m
	})
	reply, err := ask(t.Context(), n.Addr, "_acme-challenge.long.internal", dns.TypeTXT)
	if err != nil || !slices.Equal(texts(reply), []string{"value"}) || !cut.Load() {
		t.Errorf("%v, %v", reply, err)
	}
}

// Whatever ends an order, its records are removed.
func TestDNS01CleanUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var act func(http.ResponseWriter, *http.Request) bool
	n, _, o := startDNS(t, shape{Answer: func(w http.ResponseWriter, r *http.Request) bool {
		return act != nil && strings.HasPrefix(r.URL.Path, "/chalZ/") && act(w, r)
	}})
	c := New(o)

	act = func(w http.ResponseWriter, r *http.Request) bool {
		acmetest.Problem(w, http.StatusForbidden, "unauthorized", `"detail":"no"`)
		return true
	}
	says(t, refused(t, c, ca.Request{}), "prove redis1.internal: ", "unauthorized: no")
	isClear(t, n, "_acme-challenge.redis1.internal.", 1)

	act = func(_ http.ResponseWriter, r *http.Request) bool {
		acmetest.Payload(r) // net/http notices that the client goes once the body is read
		cancel()
		<-r.Context().Done()
		return true
	}
	_, err := c.Issue(ctx, fill(ca.Request{}))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	says(t, checked(t, c, err), "prove redis1.internal", "cancelled")
	isClear(t, n, "_acme-challenge.redis1.internal.", 2)
}

// A record that cannot be removed is told, and the certificate is good.
func TestDNS01LeftBehind(t *testing.T) {
	t.Parallel()
	n, _, o := startDNS(t, shape{})
	var updates atomic.Int32
	n.Instead(func(q *dns.Msg) *dns.Msg {
		if q.Opcode == dns.OpcodeUpdate {
			if updates.Add(1) > 1 {
				return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
			}
		}
		return nil
	})
	var told []string
	o.Warn = func(msg string) { told = append(told, msg) }
	issue(t, New(o), ca.Request{})
	if last := told[len(told)-1]; !strings.Contains(last, "the TXT record of _acme-challenge.redis1.internal. stays behind") || !strings.Contains(last, "SERVFAIL") {
		t.Errorf("told %q", told)
	}
}

func TestWithPort(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ns.internal": "ns.internal:53", "10.0.0.1": "10.0.0.1:53", "10.0.0.1:5353": "10.0.0.1:5353",
		"::1": "[::1]:53", "[::1]": "[::1]:53", "[::1]:5353": "[::1]:5353",
	} {
		if got := withPort(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func secretOf(encoded string) secret.Secret {
	return secret.Func(func() ([]byte, error) {
		_, err := base64.StdEncoding.DecodeString(encoded)
		return []byte(encoded), err
	})
}
