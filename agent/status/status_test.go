package status

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"flag"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/cert"
)

var update = flag.Bool("update", false, "rewrite golden files")

var (
	noon     = time.Date(2026, 11, 22, 11, 10, 34, 0, time.UTC)
	notAfter = time.Date(2026, 11, 23, 3, 10, 34, 0, time.UTC)
)

func healthy() Status {
	return Status{
		Instance: "default", Version: "1.0.0", PID: 4242, Now: noon,
		Pair: &Leaf{
			Serial: "7e22b7814f5a9b0c1d2e3f4a5b6c7d8e", Names: []string{"redis1.internal", "10.0.0.5"},
			Issuer: "CN=Internal CA Intermediate,O=Internal", Method: "rekey", By: "step-ca https://ca.internal:9000 (provisioner redis)",
			NotBefore: notAfter.Add(-24 * time.Hour), NotAfter: notAfter, IssuedAt: notAfter.Add(-24 * time.Hour),
			KeyType: "ec-p256", Fingerprint: strings.Repeat("0d7d3834", 8), Generation: 7,
		},
		CAs: []CA{{Kind: "step", URL: "https://ca.internal:9000", LastSuccess: notAfter.Add(-24 * time.Hour)}},
		Servers: []Server{
			{Address: "127.0.0.1:6379", State: Proven, Since: notAfter.Add(-24 * time.Hour), ServedSerial: "7e22b7814f5a9b0c1d2e3f4a5b6c7d8e", ServedNotAfter: notAfter},
			{Address: "[::1]:6380", State: Proven, ServedSerial: "7e22b7814f5a9b0c1d2e3f4a5b6c7d8e", ServedNotAfter: notAfter},
		},
		Next:      Next{Action: "renewal", At: notAfter.Add(-8 * time.Hour), Why: "two-thirds of its lifetime"},
		Rotations: 3,
	}
}

// troubled has a pending pair, a server that serves an expired certificate,
// one that is down, and a CA that is.
func troubled() Status {
	s := healthy()
	s.Degraded = true
	s.Pair.NotAfter = noon.Add(30 * time.Minute)
	s.Pending = &Leaf{Serial: "aa11bb22cc33dd44", NotAfter: notAfter, NotBefore: noon.Add(-time.Minute)}
	s.CAs[0].Limits = []Limit{
		{Limit: "failed_validations", Of: "redis1.internal", Used: 5, Most: 5, Text: "5 of 5 failed validations of a name this hour"},
		{Limit: "duplicate_certificates", Used: 2, Most: 5, Text: "2 of 5 duplicate certificates this week"},
		{Limit: "new_orders", Used: 7, Most: 300, Text: "7 of 300 new orders in three hours"},
		{Limit: "certificates_per_domain", Used: 1, Most: 50, Text: "1 of 50 certificates of a registered domain this week"},
	}
	s.CAs[0].LastError = &Failure{Text: "sign: 503 Service Unavailable\nplease wait", At: noon.Add(-90 * time.Second)}
	s.Servers = []Server{
		{Address: "127.0.0.1:6379", State: Stale, ServedSerial: "5a9b0c1d2e3f4a5b", ServedNotAfter: noon.Add(-27 * time.Hour)},
		{Address: "127.0.0.1:6380", State: Unreachable, Error: "dial tcp 127.0.0.1:6380: connect: connection refused"},
		{Address: "127.0.0.1:6381", State: Failing, ServedSerial: "7e22b781", ServedNotAfter: noon.Add(30 * time.Minute),
			Error: "config set: -NOAUTH \x1b[31mAuthentication required: set password_file of this server", Hint: "set password_file of this server"},
		{Address: "127.0.0.1:6382", State: Unknown},
	}
	s.Next = Next{Action: "load", At: noon, Why: "a server did not take the certificate"}
	s.LastError = &Failure{Text: "reload 127.0.0.1:6381: config set: -NOAUTH Authentication required.", At: noon}
	return s
}

func states() map[string]Status {
	expired := healthy()
	expired.Pair.NotAfter = noon.Add(-time.Minute)
	expired.PID = 0
	future := healthy()
	future.Pair.NotBefore = noon.Add(time.Hour)
	return map[string]Status{
		"healthy": healthy(), "troubled": troubled(), "expired": expired, "future": future,
		"none": {Instance: "cache", Version: "1.0.0", PID: 1, Now: noon, CAs: []CA{{Kind: "step", URL: "https://ca"}}, Servers: []Server{{Address: "127.0.0.1:6379", State: Unknown}}, Degraded: true},
	}
}

func TestStatusGolden(t *testing.T) {
	for name, s := range states() {
		var b bytes.Buffer
		if err := s.WriteText(&b, false); err != nil {
			t.Fatal(err)
		}
		b.WriteString("\n" + s.Line() + "\n\n")
		text, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(text, '\n'))
		golden := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, b.String(), want)
		}
	}
}

// Colour adds nothing but escapes, and only where it is asked for.
func TestStatusColor(t *testing.T) {
	for name, s := range states() {
		var plain, color bytes.Buffer
		if err := s.WriteText(&plain, false); err != nil {
			t.Fatal(err)
		}
		if err := s.WriteText(&color, true); err != nil {
			t.Fatal(err)
		}
		stripped := strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(color.String())
		if stripped != plain.String() || strings.Contains(plain.String(), "\x1b") || stripped == color.String() {
			t.Errorf("%s: %q", name, color.String())
		}
	}
}

func TestLeafOf(t *testing.T) {
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(0x7e22b781), DNSNames: []string{"a"}, IPAddresses: []net.IP{net.ParseIP("::1")},
		NotBefore: noon, NotAfter: notAfter,
	}
	leaf.Issuer.CommonName = "ca"
	want := &Leaf{
		Serial: "7e22b781", Names: []string{"a", "::1"}, Issuer: "CN=ca", NotBefore: noon, NotAfter: notAfter,
		Fingerprint: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", // SHA-256 of nothing
	}
	if got := LeafOf(leaf); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := cert.Serial(nil); got != "none" {
		t.Errorf("no certificate has the serial %q", got)
	}
}

// What has expired since the last look shows as expired.
func TestBoardGrowsOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Board
		s := healthy()
		s.Pair.NotBefore, s.Pair.NotAfter = time.Now(), time.Now().Add(time.Hour)
		b.Set(s)
		if got := b.Get(); got.Verdict() != "ok" || !got.Now.Equal(time.Now()) {
			t.Errorf("%s at %v", got.Verdict(), got.Now)
		}
		<-time.After(time.Hour)
		if got := b.Get().Verdict(); got != "expired" {
			t.Errorf("an hour later: %s", got)
		}
	})
}

func TestBoardConcurrently(t *testing.T) {
	var b Board
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { b.Set(healthy()) })
		wg.Go(func() { b.Get() })
	}
	wg.Wait()
	if b.Get().Instance != "default" {
		t.Error("the status is lost")
	}
}

func TestBoardWatch(t *testing.T) {
	var b Board
	w := b.Watch()
	select {
	case <-w:
		t.Error("a signal without a change")
	default:
	}
	b.Set(healthy())
	b.Set(troubled())
	<-w
	select {
	case <-w:
		t.Error("two signals for changes that nobody had looked at")
	default:
	}
	b.Set(healthy())
	<-w
}
