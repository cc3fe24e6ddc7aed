package cert

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"runtime"
	"testing"
	"time"
)

// hostile are chains that an attacker may show, each at the cost of a handshake.
func hostile(t testing.TB) map[string]Question {
	large := newSample()
	for i := range 1500 {
		large.leaf.DNSNames = append(large.leaf.DNSNames, fmt.Sprintf("n%d.a-rather-long-name.site.internal", i))
	}
	constrained := newSample()
	for i := range 400 {
		constrained.leaf.DNSNames = append(constrained.leaf.DNSNames, fmt.Sprintf("n%d.site.internal", i))
		constrained.middle.PermittedDNSDomains = append(constrained.middle.PermittedDNSDomains, fmt.Sprintf("p%d.internal", i))
	}
	constrained.middle.PermittedDNSDomains = append(constrained.middle.PermittedDNSDomains, "site.internal")
	text, err := os.ReadFile("testdata/rsa-8192.key") // to make one takes half a minute
	if err != nil {
		t.Fatal(err)
	}
	huge, err := ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	keys := newSample()
	keys.rootKey, keys.middleKey = huge, huge
	twins := newSample()
	twins.extra = func(c *sampleChain) {
		// Issuers of the same name, with the same key and with others.
		for i := range 100 {
			key := sampleKeys()[i%5]
			x := &x509.Certificate{SerialNumber: big.NewInt(int64(100 + i)), Subject: pkix.Name{CommonName: "An Intermediate"},
				NotBefore: sampleBegin, NotAfter: sampleBegin.AddDate(9, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
			der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			made, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			c.sent = append(c.sent, made)
		}
	}
	questions := map[string]Question{}
	for name, s := range map[string]*sample{"a leaf of 60 kB": large, "400 names, 400 constraints": constrained, "keys of 8,192 bits": keys, "100 issuers of one name": twins} {
		c := s.build(t)
		questions[name] = Question{Leaf: c.leaf, Sent: c.sent, Names: []string{s.name, "10.0.0.5"}, Uses: []Use{AsServer, AsClient}, Time: s.at, Roots: c.roots}
	}
	return questions
}

// BenchmarkHostile compares the verdict on a hostile chain with x509.Verify of it, for each
// of the two uses, in one run.
func BenchmarkHostile(b *testing.B) {
	for name, q := range hostile(b) {
		b.Run(name, func(b *testing.B) {
			roots, sent := Pool(q.Roots), Pool(q.Sent)
			var bare, whole time.Duration
			for b.Loop() {
				from := time.Now()
				for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
					_, _ = q.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: sent, CurrentTime: q.Time, KeyUsages: []x509.ExtKeyUsage{usage}})
				}
				between := time.Now()
				Judge(q)
				bare, whole = bare+between.Sub(from), whole+time.Since(between)
			}
			b.ReportMetric(float64(whole)/float64(bare), "verdict/verify")
			b.ReportMetric(float64(len(q.Leaf.Raw))/1024, "leaf-kB")
		})
	}
}

// A hostile chain is judged in memory that its size bounds.
func TestVerdictIsBounded(t *testing.T) {
	for name, q := range hostile(t) {
		size := len(q.Leaf.Raw)
		for _, c := range q.Sent {
			size += len(c.Raw)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		Judge(q)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > uint64(100*size)+4<<20 {
			t.Errorf("%s: %d bytes for a chain of %d", name, used, size)
		}
	}
}
