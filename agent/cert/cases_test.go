package cert

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCases holds the verdict on each file of testdata/cases against what its head says,
// and against openssl. A file has one fault. Its head says who asks for what and when, and
// who refuses it as what; then come the leaf and what is sent with it, and below the line
// "trusted" what is trusted.
//
// VERDICT=write makes them anew from the faults of the other tests.
func TestCases(t *testing.T) {
	if os.Getenv("VERDICT") == "write" {
		for i := range faults {
			writeCase(t, i)
		}
	}
	files, err := filepath.Glob("testdata/cases/*.pem")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	dir := t.TempDir()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(text), "-----BEGIN")
		s, c := readCase(t, file, text)
		for _, use := range []Use{AsServer, AsClient} {
			if line := verdictLine(s, c, use); !strings.Contains(head, line) {
				t.Errorf("%s: here it is\n%sits head says\n%s", file, line, head)
			}
		}
		name := strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".pem"), "-", " ")
		if why := compareChain(t, dir, s, c); why != "" && explained[name] == "" {
			t.Errorf("%s: %s", file, why)
		}
	}
}

// verdictLine says who refuses c in a use, and why, in the words of the codes.
func verdictLine(s *sample, c sampleChain, use Use) string {
	v := Judge(Question{Leaf: c.leaf, Sent: c.sent, Names: []string{s.name}, Uses: []Use{use}, Time: s.at, Roots: c.roots})
	line := map[Use]string{AsServer: "as a server:", AsClient: "as a client:"}[use]
	for _, who := range []struct {
		name string
		bit  Clients
	}{{"go", Go}, {"openssl", OpenSSL}, {"strict", Strict}} {
		codes := "takes"
		for _, f := range v.Findings {
			if f.Refuses&who.bit != 0 && !strings.Contains(codes, f.Code) {
				codes = strings.Replace(codes, "takes", "refuses", 1) + " " + f.Code
			}
		}
		line += " " + who.name + " " + codes + ";"
	}
	return strings.TrimSuffix(line, ";") + "\n"
}

func readCase(t *testing.T, file string, text []byte) (*sample, sampleChain) {
	t.Helper()
	s := new(sample)
	var at string
	if _, err := fmt.Sscanf(string(text), "name: %s\ntime: %s\n", &s.name, &at); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var err error
	if s.at, err = time.Parse(time.RFC3339, at); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	shown, trusted, _ := bytes.Cut(text, []byte("\ntrusted\n"))
	chain, err := ParseChain(shown)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	roots, err := ParseCertificates(trusted)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return s, sampleChain{leaf: chain[0], sent: chain[1:], roots: roots}
}

func writeCase(t *testing.T, i int) {
	t.Helper()
	s, name := faulty(sampleBegin.AddDate(0, 6, 0), i, i)
	if name == "large" {
		return // 200 kB
	}
	c := s.build(t)
	text := fmt.Sprintf("name: %s\ntime: %s\n%s%s\n%strusted\n%s", s.name, s.at.Format(time.RFC3339), verdictLine(s, c, AsServer), verdictLine(s, c, AsClient),
		encode(Merge(append(c.sent[:0:0], c.leaf), c.sent)), encode(c.roots))
	path := filepath.Join("testdata/cases", strings.ReplaceAll(name, " ", "-")+".pem")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
