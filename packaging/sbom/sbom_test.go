package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBill holds both documents against what `go version -m` says of the same binary.
func TestBill(t *testing.T) {
	self := filepath.Join(t.TempDir(), "gen")
	if out, err := exec.Command("go", "build", "-o", self, "redis-cert-agent/packaging/gen").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	at := time.Unix(1_700_000_000, 0)
	b, err := read(self, "prog", "1.2+3", at)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "version", "-m", self).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) >= 3 && f[0] == "dep" {
			want = append(want, f[1]+" "+f[2])
		}
	}
	if len(want) == 0 {
		t.Fatal("go version -m names no module")
	}
	var spdx struct {
		Packages []struct{ Name, VersionInfo, SPDXID string }
		Created  struct{ Created string } `json:"creationInfo"`
	}
	var cdx struct {
		SerialNumber string
		Components   []struct{ Name, Version, Purl string }
	}
	turned(t, b.spdx(), &spdx)
	turned(t, b.cycloneDX(), &cdx)
	var got [2][]string
	ids := map[string]bool{}
	for _, p := range spdx.Packages {
		if ids[p.SPDXID] {
			t.Errorf("two packages have the id %s", p.SPDXID)
		}
		ids[p.SPDXID] = true
		got[0] = append(got[0], p.Name+" "+p.VersionInfo)
	}
	for _, c := range cdx.Components {
		got[1] = append(got[1], c.Name+" "+c.Version)
	}
	if got[0] = got[0][2:]; !slices.Equal(got[0], want) { // the program and the library of Go come first
		t.Errorf("SPDX has %q, want %q", got[0], want)
	}
	if got[1] = got[1][1:]; !slices.Equal(got[1], want) {
		t.Errorf("CycloneDX has %q, want %q", got[1], want)
	}
	if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(cdx.SerialNumber) {
		t.Errorf("serialNumber %q", cdx.SerialNumber)
	}
	if spdx.Created.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("created %q", spdx.Created.Created)
	}
}

func turned(t *testing.T, document, into any) {
	t.Helper()
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}
