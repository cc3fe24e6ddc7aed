package check

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math"
	"slices"
	"testing"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload"
)

// FuzzInspect judges what files and servers hold, however odd it is: there is
// always a verdict, and it says only what may stand on a terminal.
func FuzzInspect(f *testing.F) {
	// The same in every process, as the fuzzer has several.
	seed := func(b byte) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
	}
	root := issue(f, nil, seed(1), func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames, c.NotAfter = "root", nil, now.Add(10*year)
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	leaf := issue(f, root, seed(2), nil)
	key, err := (&cert.Pair{Key: leaf.key}).KeyPEM()
	if err != nil {
		f.Fatal(err)
	}
	text := func(ders ...[]byte) []byte {
		var all []byte
		for _, der := range ders {
			all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		}
		return all
	}
	odd := [][]byte{leaf.cert.Raw, root.cert.Raw, patch(leaf.cert.Raw)}
	for _, change := range []func(*x509.Certificate){
		func(c *x509.Certificate) { c.Subject, c.DNSNames = pkix.Name{}, nil },
		func(c *x509.Certificate) { c.NotBefore, c.NotAfter = c.NotAfter, c.NotBefore },
		func(c *x509.Certificate) { c.NotAfter = everlasting },
		func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Time{}.AddDate(-1, 0, 0), time.Time{}.AddDate(-1, 0, 1)
		},
		func(c *x509.Certificate) { c.Subject.CommonName = "\x1b]0;owned\x07 | 'x'=1\r\nOK\u202e" },
		func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true },
	} {
		odd = append(odd, issue(f, root, leaf.key, change).cert.Raw)
	}
	for _, der := range odd {
		f.Add(der, true, now.Unix())
		f.Add(append(bytes.Clone(der), root.cert.Raw...), true, now.Unix())
		f.Add(append(text(der, root.cert.Raw), key...), false, now.Unix())
	}
	f.Add(text(leaf.cert.Raw)[:300], false, now.Unix())
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), false, int64(0))
	f.Add(bytes.Repeat(leaf.cert.Raw, 40), true, int64(math.MaxInt32))

	f.Fuzz(func(t *testing.T, data []byte, served bool, unix int64) {
		at := time.Unix(unix%(1<<38), 0).UTC() // a year that RFC 3339 can write, or nearly
		if at.Year() < 0 || at.Year() > 9999 {
			at = now
		}
		found := Target{Kind: File, Path: "/etc/redis/redis.crt", Key: Keys{Group: -1}}.parse(content{text: data, mode: 0o600})
		if served {
			found = Found{Target: "redis.internal:6379", Kind: Server}
			found.Chain, found.Err = x509.ParseCertificates(data)
			if found.Err == nil && len(found.Chain) > 0 {
				found.Probe = reload.Probe{AsksClient: true, Presented: found.Chain[0], Refusal: string(data[:min(40, len(data))]), Accepted: unix%2 == 0}
			} else if found.Err == nil {
				return // a handshake without a certificate is none
			}
		}
		early := usual() // before there was a year
		early.Warn, early.Crit = cert.Margin{Time: 21 * day}, cert.Margin{Time: 7 * day}
		wants := []Want{usual(), usual(root), early}
		if n := len(found.Chain); n > 0 {
			own := usual()
			own.Trust = NewTrust(found.Chain[n-1:])
			wants = append(wants, own)
		}
		for _, w := range wants {
			r := Judge(found, w, at)
			if len(r.Certificates) == 0 && r.State == OK {
				t.Errorf("%d certificates and %s", len(r.Certificates), r.State)
			}
			for _, finding := range r.Findings {
				if finding.Text == "" || finding.Certificate != nil && *finding.Certificate >= len(r.Certificates) {
					t.Errorf("finding %+v", finding)
				}
			}
			if served && found.Err == nil && w.Trust.Named != nil && (r.State == Critical) == accepted(found.Chain, w, at) && !soon(r) {
				t.Errorf("a client accepts it: %v, and it is %s: %+v", accepted(found.Chain, w, at), r.State, r.Findings)
			}
			report := NewReport([]Result{r}, at)
			checkOutputs(t, report)
			var b bytes.Buffer
			var again Report
			if err := report.WriteJSON(&b); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b.Bytes(), &again); err != nil || again.State != r.State {
				t.Errorf("%s becomes %s: %v", r.State, again.State, err)
			}
		}
	})
}

// accepted says whether a client takes the chain.
func accepted(chain []*x509.Certificate, w Want, at time.Time) bool {
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: w.Trust.Pool, Intermediates: cert.Pool(chain[1:]), CurrentTime: at, DNSName: w.Names[0],
	})
	return err == nil
}

// soon says whether it is critical for what only will be, or for a client
// certificate.
func soon(r Result) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return f.State == Critical && (f.Code == CodeExpiring || f.Code == CodeClientAuth)
	})
}

// patch gives a certificate the serial number 0, which x509 does not write.
func patch(der []byte) []byte {
	der = bytes.Clone(der)
	// SEQUENCE, SEQUENCE, [0] { INTEGER 2 }, INTEGER
	at := bytes.Index(der, []byte{0xa0, 3, 2, 1, 2, 2}) + 6
	for i := range int(der[at]) {
		der[at+1+i] = 0
	}
	return der
}
