package acme

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	pebbleca "github.com/letsencrypt/pebble/v2/ca"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/acme/acmetest"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"
)

// needs is how many certificates each cell of the matrix asks for, one after the other.
const needs = 2

// Whatever a CA does of the matrix, two certificates in a row are issued by an order each,
// or refused in one line for the nonces; and neither a listener, nor a record, nor an order
// of a certificate that was issued stays open. The table at the end counts.
func TestMatrix(t *testing.T) {
	t.Parallel()
	sum := newSummary()
	t.Run("cells", func(t *testing.T) {
		for _, c := range chosen(t) {
			t.Run(c.String(), func(t *testing.T) {
				t.Parallel()
				sum.add(c, runCell(t, c, 5))
			})
		}
	})
	if os.Getenv("ACME_MATRIX") != "" { // make acme-matrix
		fmt.Print(sum.table())
	}
	t.Log("\n" + sum.table())
}

// shape is that of the cell's CA.
func (c cell) shape() shape {
	s := shape{
		BadNonces: c.number("nonces"), Reuse: c.number("reuse"), Sleep: c.number("sleep"), Chains: c.number("alternates"),
		Lenient: c.is("strict", "no"), Stages: c.is("stages", "yes"),
		Length: map[string]acmetest.Length{"0": acmetest.LeafAlone, "1": acmetest.OneIssuer, "3": acmetest.ThreeIssuers}[c["length"]],
	}
	if c.is("profile", "yes") {
		s.Profiles = map[string]pebbleca.Profile{"short": {Description: "short", ValidityPeriod: 3600}}
	}
	if c.is("eab", "yes") {
		s.EAB = map[string]string{cellKeyID: cellKey}
	}
	return s
}

// What a CA hands out for an external account.
const cellKeyID, cellKey = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"

// A scene is a cell's CA, and what its client is to leave as it was
type scene struct {
	*pebble
	names  *acmetest.Nameserver // where the way is dns-01
	listen string               // elsewhere
	asked  []string             // the names of the certificate
}

// set starts the cell's CA, and returns the options of a client of it.
func set(t *testing.T, c cell) (scene, Options) {
	s := c.shape()
	p := scene{asked: []string{"redis1.internal", "redis2.internal"}}
	if c.is("way", kindDNS01) {
		p.names = acmetest.NewNameserver(t, "internal", "127.0.0.1")
		s.Resolver = p.names.Addr
		p.asked = append(p.asked, "*.redis1.internal")
	}
	p.pebble = startPebble(t, s)
	o := p.options(t)
	o.Timeout = DefaultTimeout
	switch c["way"] {
	case kindHTTP01:
		p.listen = p.Listen(p.HTTPPort)
	case kindTLSALPN01:
		p.listen = p.Listen(p.TLSPort)
		o.Challenge = TLSALPN01{Listen: p.listen}
	case kindDNS01:
		o.Challenge = update(p.names)
	}
	if c.is("profile", "yes") {
		o.Profile = "short"
	}
	if c.is("eab", "yes") {
		o.EAB = &EAB{KeyID: cellKeyID, Key: secret.Func(func() ([]byte, error) { return []byte(cellKey), nil })}
	}
	if s.Chains > 0 {
		roots := p.RootNames()
		o.PreferredChain = roots[len(roots)-1]
	}
	return p, o
}

// left checks that nothing of an order stayed open on this host.
func (p scene) left(t *testing.T) {
	if p.names == nil {
		closed(t, p.listen)
		return
	}
	for _, name := range []string{"_acme-challenge.redis1.internal.", "_acme-challenge.redis2.internal."} {
		if values := p.names.TXT(name); len(values) > 0 {
			t.Errorf("%s still has %q", name, values)
		}
	}
}

// starved says whether Pebble or this host got no answer from the test's own servers, which
// happens where a hundred of them share two processors. It says nothing of the client.
func starved(e *ca.Error) bool {
	text := e.Error()
	return strings.Contains(text, "occurred while resolving URL") || strings.Contains(text, "Error retrieving TXT records") ||
		strings.Contains(text, "own listener") && strings.Contains(text, "deadline exceeded")
}

// runCell asks one kind of CA for the certificates; another one of the kind, where the
// machine was too slow, up to so many times.
func runCell(t *testing.T, c cell, tries int) result {
	p, o := set(t, c)
	client := New(o)
	var r result
	var current *cert.Pair
	for range needs {
		before := p.Counts().Orders
		got, err := client.Issue(t.Context(), fill(ca.Request{Names: p.asked, Current: current}))
		p.left(t)
		r.most = max(r.most, p.Counts().Orders-before)
		if err != nil {
			e := checked(t, client, err)
			if starved(e) && tries > 1 {
				t.Logf("again: %v", e)
				return runCell(t, c, tries-1)
			}
			if c.number("nonces") == 0 || e.Type != "badNonce" { // ten in a row are refused at 50 % as well, now and then
				t.Errorf("refused: %v", e)
			}
			t.Log(e)
			r.refused++
			break
		}
		if c.is("length", "0") {
			c.gate(t, got, p.asked)
			r.refused++
			break
		}
		r.issued++
		current = good(t, got, p.asked, cert.P256)
		c.chain(t, current, o.PreferredChain)
	}
	r.Counts = p.Counts()
	r.held(t, p.authorizations(), needs*len(p.asked))
	return r
}

// gate checks that a certificate without its issuer is refused in one clear line.
func (c cell) gate(t *testing.T, i ca.Issued, names []string) {
	t.Helper()
	p, err := cert.New(i.Chain, i.Key, i.Roots)
	if err == nil {
		need := cert.Need{Names: names, KeyType: cert.P256, Roots: i.Roots}
		err = need.Check(p, time.Now())
	}
	if err == nil {
		t.Fatal("a certificate without its issuer is taken")
	}
	says(t, err, "issuer")
	if strings.ContainsAny(err.Error(), "\r\n") {
		t.Errorf("not one line: %q", err)
	}
}

// chain checks that the chain is as long as the cell says, and leads to the root that the
// configuration prefers.
func (c cell) chain(t *testing.T, p *cert.Pair, preferred string) {
	t.Helper()
	if want := 1 + c.number("length"); len(p.Chain) != want {
		t.Errorf("a chain of %d certificates, want %d", len(p.Chain), want)
	}
	root := top(p.Chain).Issuer.CommonName
	if c.number("nonces") > 0 && root != preferred {
		return // ten nonces for another chain were refused in a row, now and then
	}
	if preferred != "" && root != preferred {
		t.Errorf("the chain leads to %q, not to %q", root, preferred)
	}
}

// authorizations counts the names that the client was told of.
func (p *pebble) authorizations() int {
	seen := map[string]bool{}
	for _, request := range p.Seen() {
		if strings.Contains(request, "/authZ/") {
			seen[request] = true
		}
	}
	return len(seen)
}

// A result is what one cell cost.
type result struct {
	acmetest.Counts
	issued, refused int
	most            int // orders for one certificate
}

// held checks that a CA which counts would have had nothing to say.
func (r result) held(t *testing.T, told, mostTold int) {
	t.Helper()
	if r.issued+r.refused == 0 || r.most > 1 || r.Orders > r.issued+r.refused {
		t.Errorf("%d orders, at most %d at once, for %d certificates and %d refusals", r.Orders, r.most, r.issued, r.refused)
	}
	if r.Accounts > 1 || r.Failed > 0 || r.Certificates < r.issued || r.Open+r.Certificates > r.issued+r.refused {
		t.Errorf("%+v for %d certificates and %d refusals", r.Counts, r.issued, r.refused)
	}
	if told > mostTold {
		t.Errorf("the client read %d authorizations, want at most %d", told, mostTold)
	}
}

// String names the cell for people and for go test -run.
func (c cell) String() string {
	var parts []string
	for _, d := range dimensions {
		parts = append(parts, d.name+"="+c[d.name])
	}
	return fmt.Sprint(strings.Join(parts, ","))
}
