package reload

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What a cipher list allows is what openssl says, for lists that people write and for
// such as nobody does.
func TestCipherSuitesAsOpenSSL(t *testing.T) {
	lists := []string{
		"DEFAULT", "DEFAULT:!MEDIUM", "HIGH:!aNULL:!MD5", "ECDHE+AESGCM", "EECDH+AESGCM:EDH+AESGCM", "kRSA", "ALL:!aECDSA", "HIGH:!ECDSA", "!ECDSA:ALL",
		"ALL:-ECDSA:ECDHE-ECDSA-AES128-SHA", "ALL:!RSA:!DHE", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE+aRSA+AESGCM:!SHA384", "aRSA+CHACHA20,AES256-GCM-SHA384",
		"DHE-RSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-SHA384", "HIGH:@STRENGTH", "ALL:@SECLEVEL=1", "DEFAULT:+RSA", "PSK:ECDHE-RSA-AES128-SHA", "TLSv1.2+aRSA", "ECDHE:!SHA1",
	}
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("ALL DEFAULT COMPLEMENTOFDEFAULT HIGH MEDIUM kRSA RSA ECDHE EECDH kECDHE kEECDH ECDH DHE EDH kDHE kEDH DH aRSA aECDSA ECDSA " +
		"AES AES128 AES256 CHACHA20 CAMELLIA CAMELLIA128 CAMELLIA256 ARIA ARIA128 ARIA256 SEED AESGCM AESCCM AESCCM8 ARIAGCM SHA SHA1 SHA256 SHA384 SSLv3 TLSv1 TLSv1.0 TLSv1.2")
	all := slices.Clone(words)
	for _, s := range suites() {
		all = append(all, s.name)
	}
	all = append(all, nothing...)
	for range 150 {
		list := []string{"ALL", "HIGH", "ECDHE-ECDSA-AES128-SHA", "aRSA"}[r.IntN(4)]
		for range 1 + r.IntN(4) {
			item := []string{"", "", "!", "-", "+"}[r.IntN(5)] + all[r.IntN(len(all))]
			if r.IntN(3) == 0 {
				item += "+" + words[r.IntN(len(words))]
			}
			if strings.Contains(item, "DEFAULT") {
				continue // has a meaning of its own behind other words
			}
			list += ":" + item
		}
		lists = append(lists, list)
	}
	compared := 0
	for _, list := range lists {
		out, err := exec.Command("openssl", "ciphers", "-s", "-tls1_2", list).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "no cipher match") {
			t.Fatalf("openssl ciphers %s: %v: %s", list, err, out)
		}
		var want []string
		for name := range strings.SplitSeq(strings.TrimSpace(string(out)), ":") {
			if err == nil && slices.ContainsFunc(suites(), func(s suite) bool { return s.name == name }) {
				want = append(want, name)
			}
		}
		allowed, whole := cipherSuites(list)
		if !whole {
			t.Errorf("%s: something in it is not known", list)
		}
		var got []string
		for _, s := range allowed {
			if !s.medium() { // which Debian's openssl is built without
				got = append(got, s.name)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if len(want) > 0 {
			compared++
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", list, got, want)
		}
	}
	if compared < 50 {
		t.Errorf("only %d of %d lists allow something", compared, len(lists))
	}
}

// A name that is not known here may stand for anything; one that takes away may not.
func TestUnknownCiphersAreNotJudged(t *testing.T) {
	for list, want := range map[string]bool{
		"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-MLDSA-AES256-GCM-SHA384": false,
		"SUITEB128": false, "ALL:!MLDSA": true, "ALL:-MLDSA+AES": true, "ALL:@SECLEVEL=4": false, "": true,
	} {
		if _, whole := cipherSuites(list); whole != want {
			t.Errorf("%q: whole is %v", list, whole)
		}
	}
}

// Every suite of crypto/tls for TLS 1.2 has its name here, but for RC4.
func TestEverySuiteOfGoIsKnown(t *testing.T) {
	ids := map[uint16]bool{}
	for _, s := range suites() {
		ids[s.id] = true
	}
	for _, id := range clientSuites {
		if !ids[id] {
			t.Errorf("%s has no name", fmt.Sprintf("%#04x", id))
		}
	}
}
