package cert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A sample is a chain as it is made before it is signed: a root, an intermediate and a
// leaf, and whoever signs them. Faults change it.
type sample struct {
	root, middle, leaf          *x509.Certificate
	rootKey, middleKey, leafKey crypto.Signer
	signer                      crypto.Signer // of the leaf; nil: the intermediate's key
	name                        string        // that clients ask for
	at                          time.Time
	drop                        bool               // the intermediate is not sent
	trust                       string             // root, middle, leaf, other
	extra                       func(*sampleChain) // adds to what is sent
}

type sampleChain struct {
	leaf        *x509.Certificate
	sent, roots []*x509.Certificate
}

var sampleKeys = sync.OnceValue(func() (keys []*ecdsa.PrivateKey) {
	for range 5 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		keys = append(keys, key)
	}
	return keys
})

var weakKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	return key
})

var sampleBegin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newSample() *sample {
	k := sampleKeys()
	ca := func(name string, years int) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
			NotBefore: sampleBegin, NotAfter: sampleBegin.AddDate(years, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	return &sample{
		root: ca("A Root", 20), middle: ca("An Intermediate", 10),
		leaf: &x509.Certificate{
			SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "redis.site.internal"},
			NotBefore: sampleBegin, NotAfter: sampleBegin.AddDate(1, 0, 0),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			DNSNames: []string{"redis.site.internal"}, IPAddresses: []net.IP{{10, 0, 0, 5}},
		},
		rootKey: k[0], middleKey: k[1], leafKey: k[2],
		name: "redis.site.internal", at: sampleBegin.AddDate(0, 6, 0), trust: "root",
	}
}

func (s *sample) build(t testing.TB) sampleChain {
	t.Helper()
	sign := func(c, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, key)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	root := sign(s.root, s.root, s.rootKey.Public(), s.rootKey)
	middle := sign(s.middle, root, s.middleKey.Public(), s.rootKey)
	key := s.middleKey
	if s.signer != nil {
		key = s.signer
	}
	parent := *middle
	if s.leaf.AuthorityKeyId != nil {
		parent.SubjectKeyId = s.leaf.AuthorityKeyId
	}
	if s.signer != nil {
		parent.PublicKey = key.Public()
	}
	leaf := sign(s.leaf, &parent, s.leafKey.Public(), key)
	c := sampleChain{leaf: leaf, roots: []*x509.Certificate{root}}
	if !s.drop {
		c.sent = []*x509.Certificate{middle}
	}
	switch s.trust {
	case "middle":
		c.roots = []*x509.Certificate{middle}
	case "leaf":
		c.roots = []*x509.Certificate{leaf}
	case "other":
		c.roots = []*x509.Certificate{sign(s.root, s.root, sampleKeys()[3].Public(), sampleKeys()[3])}
	}
	if s.extra != nil {
		s.extra(&c)
	}
	return c
}

// faults are what is wrong with a sample, each alone.
var faults = []struct {
	name string
	do   func(*sample)
}{
	{"none", func(*sample) {}},
	{"leaf expired", func(s *sample) { s.leaf.NotAfter = s.at.Add(-time.Hour) }},
	{"leaf not yet valid", func(s *sample) { s.leaf.NotBefore = s.at.Add(time.Hour) }},
	{"intermediate expired", func(s *sample) { s.middle.NotAfter = s.at.Add(-time.Hour) }},
	{"root expired", func(s *sample) { s.root.NotAfter = s.at.Add(-time.Hour) }},
	{"another name", func(s *sample) { s.name = "other.site.internal" }},
	{"upper case name", func(s *sample) { s.name = "Redis.Site.Internal" }},
	{"wildcard", func(s *sample) { s.leaf.DNSNames = []string{"*.site.internal"} }},
	{"wildcard below the top", func(s *sample) { s.leaf.DNSNames = []string{"*.internal"}; s.name = "redis.internal" }},
	{"wildcard is one label", func(s *sample) { s.leaf.DNSNames = []string{"*.internal", "*.a.internal"} }},
	{"partial wildcard", func(s *sample) { s.leaf.DNSNames = []string{"red*.site.internal"} }},
	{"address", func(s *sample) { s.name = "10.0.0.5" }},
	{"address as a DNS name", func(s *sample) { s.leaf.DNSNames, s.name = []string{"10.0.0.6"}, "10.0.0.6" }},
	{"common name only", func(s *sample) { s.leaf.DNSNames, s.leaf.IPAddresses = nil, nil }},
	{"URI only", func(s *sample) {
		s.leaf.DNSNames, s.leaf.IPAddresses, s.leaf.URIs = nil, nil, []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/redis"}}
		s.leaf.Subject.CommonName = "x"
	}},
	{"leaf without usages", func(s *sample) { s.leaf.ExtKeyUsage = nil }},
	{"leaf for any usage", func(s *sample) { s.leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }},
	{"leaf for servers only", func(s *sample) { s.leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }},
	{"leaf for clients only", func(s *sample) { s.leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }},
	{"leaf for code", func(s *sample) { s.leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }},
	{"intermediate for servers only", func(s *sample) { s.middle.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }},
	{"intermediate for clients only", func(s *sample) { s.middle.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }},
	{"intermediate for any usage", func(s *sample) { s.middle.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }},
	{"root for clients only", func(s *sample) { s.root.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }},
	{"key usage of an encipherer", func(s *sample) { s.leaf.KeyUsage = x509.KeyUsageDataEncipherment }},
	{"key usage of a signer of CRLs", func(s *sample) { s.leaf.KeyUsage = x509.KeyUsageCRLSign }},
	{"key agreement", func(s *sample) { s.leaf.KeyUsage = x509.KeyUsageKeyAgreement }},
	{"no key usage", func(s *sample) { s.leaf.KeyUsage = 0 }},
	{"intermediate may not sign", func(s *sample) { s.middle.KeyUsage = x509.KeyUsageCRLSign }},
	{"intermediate is no CA", func(s *sample) {
		s.middle.IsCA, s.middle.KeyUsage = false, x509.KeyUsageDigitalSignature
	}},
	{"intermediate does not say that it is a CA", func(s *sample) { s.middle.IsCA, s.middle.BasicConstraintsValid = false, false }},
	{"path too long", func(s *sample) { s.root.MaxPathLenZero = true }},
	{"another key identifier", func(s *sample) { s.leaf.AuthorityKeyId = []byte{1, 2, 3} }},
	{"signed by another", func(s *sample) { s.signer = sampleKeys()[4] }},
	{"no intermediate", func(s *sample) { s.drop = true }},
	{"intermediate trusted", func(s *sample) { s.trust = "middle" }},
	{"leaf trusted", func(s *sample) { s.trust = "leaf" }},
	{"another root of the name", func(s *sample) { s.trust = "other" }},
	{"the subject of its issuer", func(s *sample) { s.leaf.Subject = s.middle.Subject }},
	{"weak key", func(s *sample) { s.leafKey = weakKey() }},
	{"weak intermediate", func(s *sample) { s.middleKey = weakKey() }},
	{"unknown critical extension", func(s *sample) {
		s.leaf.ExtraExtensions = append(s.leaf.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
	}},
	{"name constraint against", func(s *sample) {
		s.middle.PermittedDNSDomains = []string{"other.internal"}
		s.middle.PermittedDNSDomainsCritical = true
	}},
	{"name constraint in favour", func(s *sample) {
		s.middle.PermittedDNSDomains = []string{"site.internal"}
		s.middle.PermittedDNSDomainsCritical = true
	}},
	{"expired root beside", func(s *sample) { s.extra = expiredRoot }},
	{"basic constraints not critical", func(s *sample) {
		s.middle.BasicConstraintsValid, s.middle.IsCA = false, false
		s.middle.ExtraExtensions = append(s.middle.ExtraExtensions, pkix.Extension{Id: oidBasicConstraints, Value: []byte{0x30, 3, 1, 1, 0xff}})
	}},
	{"leaf may sign certificates", func(s *sample) { s.leaf.KeyUsage |= x509.KeyUsageCertSign }},
	{"large", func(s *sample) {
		for i := range 4000 {
			s.leaf.DNSNames = append(s.leaf.DNSNames, fmt.Sprintf("n%d.a-rather-long-name.site.internal", i))
		}
	}},
}

// expiredRoot adds an old certificate of the root, cross-signed by one that has expired.
func expiredRoot(c *sampleChain) {
	k := sampleKeys()
	old := &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "Old Root"}, SubjectKeyId: []byte{9}}
	cross := &x509.Certificate{
		SerialNumber: big.NewInt(8), Subject: pkix.Name{CommonName: "A Root"}, SubjectKeyId: c.roots[0].SubjectKeyId,
		NotBefore: c.roots[0].NotBefore.AddDate(-5, 0, 0), NotAfter: c.roots[0].NotBefore.AddDate(0, 1, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cross, old, k[0].Public(), k[4])
	if err != nil {
		panic(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	c.sent = append(c.sent, made)
}

// explained are the differences between this program's verdict and OpenSSL's that are
// known, by the faults. One that does not show any more fails the test.
var explained = map[string]string{
	"common name only, name constraint against": "OpenSSL holds a common name against name constraints as if it were a DNS name; clients in Go refuse the certificate anyway",
	"intermediate may not sign, leaf trusted":   "with partial chains OpenSSL judges what stands above a leaf that is trusted itself; a client that trusts the leaf is a case of its own",
	"intermediate is no CA, leaf trusted":       "the same",
	"leaf trusted, name constraint against":     "the same",
}

// oracles is how many chains are compared at a time: a test waits for processes of openssl,
// and does little itself.
const oracles = 8

// TestVerdictAgainstOpenSSL holds the verdict on every fault, and on every two of them,
// against openssl and crypto/x509.
func TestVerdictAgainstOpenSSL(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a thousand processes")
	}
	type pair struct{ a, b int }
	var work []pair
	for a := range faults {
		for b := a; b < len(faults); b++ {
			if a != b && (a == 0 || faults[b].name == "large") {
				continue
			}
			work = append(work, pair{a, b})
		}
	}
	shown := map[string]bool{}
	var mu sync.Mutex
	next := make(chan pair)
	var wg sync.WaitGroup
	for range oracles {
		wg.Go(func() {
			dir := t.TempDir()
			for p := range next {
				s := newSample()
				faults[p.a].do(s)
				name := faults[p.a].name
				if p.b != p.a {
					faults[p.b].do(s)
					name += ", " + faults[p.b].name
				}
				why := compare(t, dir, s)
				if why == "" {
					continue
				}
				mu.Lock()
				if explained[name] != "" {
					shown[name] = true
				} else {
					t.Errorf("%s: %s", name, why)
				}
				mu.Unlock()
			}
		})
	}
	for _, p := range work {
		next <- p
	}
	close(next)
	wg.Wait()
	for name, reason := range explained {
		if !shown[name] {
			t.Errorf("%s: the difference that was explained (%s) does not show any more", name, reason)
		}
	}
	t.Logf("%d chains", len(work))
}

// compare returns where the verdict on s differs from what the others say.
func compare(t *testing.T, dir string, s *sample) string { return compareChain(t, dir, s, s.build(t)) }

func compareChain(t *testing.T, dir string, s *sample, c sampleChain) string {
	var differ []string
	for _, use := range []Use{AsServer, AsClient} {
		q := Question{Leaf: c.leaf, Sent: c.sent, Names: []string{s.name}, Uses: []Use{use}, Time: s.at, Roots: c.roots}
		v := Judge(q)
		purpose := "sslserver"
		if use == AsClient {
			purpose = "sslclient"
		}
		plain, said := openssl(t, dir, c, s, purpose)
		if v.Refusal(OpenSSL) == nil != plain && !onlyHandshake(v, OpenSSL) {
			differ = append(differ, fmt.Sprintf("openssl, %s: %q; here %v", purpose, said, v.Refusal(OpenSSL)))
		}
		strict, said := openssl(t, dir, c, s, purpose, "-x509_strict", "-partial_chain")
		if v.Refusal(Strict) == nil != strict && !onlyHandshake(v, Strict) {
			differ = append(differ, fmt.Sprintf("strict, %s: %q; here %v", purpose, said, v.Refusal(Strict)))
		}
		if (v.Refusal(Go) == nil) != (v.Go == nil) && !cannotJudge(v.Go) {
			differ = append(differ, fmt.Sprintf("Go, %s: %v; here %v", purpose, v.Go, v.Refusal(Go)))
		}
	}
	return strings.Join(differ, "\n  ")
}

// onlyHandshake says that only what a handshake shows is at fault, of which a file knows
// nothing: the size of the message, and a key that no client offers to use.
func onlyHandshake(v Verdict, who Clients) bool {
	for _, f := range v.Findings {
		if f.Refuses&who != 0 && f.Code != CodeSize && f.Code != CodeCurve {
			return false
		}
	}
	return v.Refusal(who) != nil
}

func openssl(t *testing.T, dir string, c sampleChain, s *sample, purpose string, more ...string) (ok bool, said string) {
	t.Helper()
	write := func(name string, certs ...*x509.Certificate) string {
		var text bytes.Buffer
		for _, c := range certs {
			if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	args := []string{"verify", "-purpose", purpose, "-attime", strconv.FormatInt(s.at.Unix(), 10), "-auth_level", "2",
		"-no-CApath", "-no-CAstore", "-CAfile", write("ca.pem", c.roots...)}
	if len(c.sent) > 0 {
		args = append(args, "-untrusted", write("sent.pem", c.sent...))
	}
	if purpose == "sslserver" {
		how := "-verify_hostname"
		if net.ParseIP(s.name) != nil {
			how = "-verify_ip"
		}
		args = append(args, how, s.name)
	}
	out, err := exec.Command("openssl", append(append(args, more...), write("leaf.pem", c.leaf))...).CombinedOutput()
	return err == nil, string(out)
}
