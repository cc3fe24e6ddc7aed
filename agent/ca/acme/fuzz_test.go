package acme

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/mholt/acmez/v3/acme"
	"github.com/miekg/dns"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/acme/acmetest"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/plan"
)

func FuzzMACKey(f *testing.F) {
	for _, s := range []string{"", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W", "ab==", "a+/b", " ab-_\r\n", "=", "a"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, secret []byte) {
		got, err := macKey(secret)
		if err != nil {
			if len(secret) > 8 && strings.Contains(err.Error(), string(secret)) {
				t.Errorf("the key shows: %v", err)
			}
			return
		}
		// acmez reads it like this.
		if raw, err := base64.RawURLEncoding.DecodeString(got); err != nil || len(raw) == 0 {
			t.Errorf("%q became %q: %v", secret, got, err)
		}
	})
}

func FuzzWindow(f *testing.F) {
	f.Add([]byte(`{"suggestedWindow":{"start":"2030-01-02T00:00:00Z","end":"2030-01-03T00:00:00Z"},"explanationURL":"https://ca.test"}`))
	f.Add([]byte(`{"suggestedWindow":{"start":"0001-01-01T00:00:00Z","end":"2030-01-03T00:00:00Z"}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseWindow(body)
		if w := r.SuggestedWindow; err == nil && (w.Start.IsZero() || !w.End.After(w.Start)) {
			t.Errorf("a window from %s to %s", w.Start, w.End)
		}
	})
}

func FuzzChain(f *testing.F) {
	root, chain := acmetest.NewServerChain(f)
	leaf := pemOf(chain.Leaf.Raw)
	f.Add([]byte(leaf))
	f.Add([]byte(leaf + pemOf(root.Raw)))
	f.Add([]byte(pemOf(root.Raw)))
	f.Add([]byte(strings.Repeat(leaf, 17)))
	f.Add([]byte(leaf[:len(leaf)/2]))
	f.Fuzz(func(t *testing.T, text []byte) {
		chain, err := parseChain(text)
		if err != nil {
			return
		}
		if len(chain) == 0 || len(chain) > maxChain || len(chain) > 1 && selfSigned(top(chain)) {
			t.Errorf("a chain of %d", len(chain))
		}
		_, _ = prefer([][]*certificate{chain}, "x")
		_ = tops([][]*certificate{chain})
	})
}

func TestChainWithRoot(t *testing.T) {
	t.Parallel()
	root, chain := acmetest.NewServerChain(t)
	got, err := parseChain([]byte(pemOf(chain.Leaf.Raw) + pemOf(root.Raw)))
	if err != nil || len(got) != 1 || !got[0].Equal(chain.Leaf) {
		t.Errorf("%d certificates, %v", len(got), err)
	}
	if _, err := parseChain([]byte(strings.Repeat(pemOf(chain.Leaf.Raw), maxChain+1))); err == nil {
		t.Error("a chain without end is taken")
	}
}

func pemOf(der []byte) string {
	var b bytes.Buffer
	b.WriteString("-----BEGIN CERTIFICATE-----\n")
	b.WriteString(base64.StdEncoding.EncodeToString(der))
	b.WriteString("\n-----END CERTIFICATE-----\n")
	return b.String()
}

// A problem document of any kind becomes one line of bounded length.
func FuzzProblem(f *testing.F) {
	f.Add([]byte(`{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too\nmany","subproblems":[{"type":"x","detail":"y","identifier":{"value":"a"}}]}`))
	f.Add([]byte(`{"type":"urn:ietf:params:acme:error:userActionRequired","title":"t","instance":"https://x\u001b[2J"}`))
	f.Add([]byte(`{"subproblems":[{},{},{},{},{},{},{},{},{},{}]}`))
	s := &session{c: New(Options{URL: "https://ca.test/dir", AccountKeyFile: "/key"}), wire: newWire(nil)}
	f.Fuzz(func(t *testing.T, body []byte) {
		var p acme.Problem
		if json.Unmarshal(body, &p) != nil {
			return
		}
		for _, op := range []string{opAccount, opOrder} {
			e := &ca.Error{Op: op, URL: "https://ca.test"}
			s.problem(e, &p)
			isLine(t, e.Error(), 2500)
		}
	})
}

func isLine(t *testing.T, text string, most int) {
	t.Helper()
	if n := len([]rune(text)); n > most {
		t.Errorf("%d characters", n)
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			t.Fatalf("not one printable line: %q", text)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "-1", "120", "99999999999999999999", "Sun, 22 Nov 2026 03:00:00 GMT", "Sun, 22 Nov 2099 03:00:00 GMT"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if d := plan.ParseRetryAfter(s, now); d < 0 || d > plan.MaxAfter {
			t.Errorf("%q: %s", s, d)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"": 0, "x": 0, "-5": 0, " 120 ": 2 * time.Minute, "864000": plan.MaxAfter, "99999999999999999999": 0,
		"Sun, 22 Nov 2026 02:10:00 GMT": 10 * time.Minute, "Sun, 22 Nov 2026 01:10:00 GMT": 0,
	} {
		if got := plan.ParseRetryAfter(in, now); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// What a name server sends becomes values and one-line errors.
func FuzzReply(f *testing.F) {
	m := new(dns.Msg).SetQuestion("_acme-challenge.a.internal.", dns.TypeTXT)
	m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: "_acme-challenge.a.internal.", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"a", "b"}})
	m.SetTsig(acmetest.TSIGName, dns.HmacSHA256, 300, 1)
	if wire, err := m.Pack(); err == nil {
		f.Add(wire)
	}
	p := &updateProof{d: DNS01Update{KeyName: acmetest.TSIGName}, server: "ns", secret: acmetest.TSIGSecret}
	f.Fuzz(func(t *testing.T, wire []byte) {
		m := new(dns.Msg)
		if m.Unpack(wire) != nil {
			return
		}
		_ = texts(m)
		_ = addressesOf("a.internal.", m.Answer)
		if err := p.accepted(record{place{"a.", "b."}, "v"}, m, dns.ErrSig); err != nil {
			isLine(t, ca.Clean(err.Error(), ca.MaxMessage), ca.MaxMessage)
		} else {
			t.Error("a reply that does not verify is believed")
		}
	})
}

func FuzzAccountKey(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := parseAccountKey(text)
		if err == nil && (cert.KeyTypeOf(key.Public()) == cert.Ed25519 || strings.HasPrefix(string(cert.KeyTypeOf(key.Public())), "*")) {
			t.Errorf("took a key of type %T", key)
		}
	})
}
