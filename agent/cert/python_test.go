package cert

import (
	"bufio"
	"crypto"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// explainedPython are the differences between the verdict and Python's ssl that are known,
// by a fault that is in them. One that does not show any more fails the test.
var explainedPython = map[string]string{
	"partial wildcard": "Python's ssl tells OpenSSL to take no wildcard that is a part of a label",
}

// TestVerdictAgainstPython holds the verdict on every fault, and on a fifth of all twos of
// them (VERDICT=all: on each), against handshakes of Python's ssl, with its flags before
// 3.13 and since.
func TestVerdictAgainstPython(t *testing.T) {
	cmd := exec.Command("python3", "testdata/python_ssl.py")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		_ = cmd.Wait()
	}()
	dir, shown := t.TempDir(), map[string]bool{}
	writeGood(t, dir)
	// The chains are written while the answers are read, so that neither side waits for the
	// other at every chain.
	type asked struct {
		s     *sample
		c     sampleChain
		names string
	}
	questions := make(chan asked, 100)
	go func() {
		defer close(questions)
		n := 0
		for a := range faults {
			for b := a; b < len(faults); b++ {
				if a != b && (a == 0 || faults[b].name == "large") {
					continue
				}
				s, names := faulty(time.Now(), a, b)
				if a != b && (a+b)%5 != 0 && explained[names] == "" && os.Getenv("VERDICT") != "all" {
					continue
				}
				of := filepath.Join(dir, strconv.Itoa(n))
				c, err := s.build(t), os.Mkdir(of, 0o700)
				if err == nil {
					writeChain(t, of, s, c)
					_, err = fmt.Fprintln(in, of, s.name)
				}
				if err != nil {
					t.Error(err)
					return
				}
				questions <- asked{s, c, names}
				n++
			}
		}
	}()
	answers, n := bufio.NewReader(out), 0
	for q := range questions {
		line, err := answers.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		n++
		for i, said := range strings.Fields(line) {
			ours := Judge(Question{Leaf: q.c.leaf, Sent: q.c.sent, Names: []string{q.s.name}, Uses: []Use{Use(i / 2)}, Time: q.s.at, Roots: q.c.roots})
			refusal := ours.Refusal([]Clients{OpenSSL, Strict}[i%2])
			if (refusal == nil) == (said == "taken") || explains(explainedPython, shown, q.names) || explains(explained, shown, q.names) {
				continue
			}
			t.Errorf("%s, use %d, %s: python %s; here %v", q.names, i/2, []Clients{OpenSSL, Strict}[i%2], said, refusal)
		}
	}
	allShown(t, explainedPython, shown)
	allShown(t, explained, shown)
	t.Logf("%d chains", n)
}

// faulty returns a sample with the faults a and b, both to be seen at a time, and their
// names.
func faulty(at time.Time, a, b int) (s *sample, names string) {
	s = newSample()
	d := at.Sub(s.at)
	move := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = c.NotBefore.Add(d), c.NotAfter.Add(d)
	}
	move(s.root)
	move(s.middle)
	move(s.leaf)
	s.at = at
	faults[a].do(s)
	names = faults[a].name
	if b != a {
		faults[b].do(s)
		names += ", " + faults[b].name
	}
	return s, names
}

// explains says whether a difference of these faults is explained, and notes that it shows.
func explains(table map[string]string, shown map[string]bool, names string) bool {
	for key := range table {
		if key == names || strings.HasPrefix(names, key+", ") || strings.HasSuffix(names, ", "+key) {
			shown[key] = true
			return true
		}
	}
	return false
}

func allShown(t *testing.T, table map[string]string, shown map[string]bool) {
	t.Helper()
	for names, reason := range table {
		if !shown[names] {
			t.Errorf("%s: the difference that was explained (%s) does not show any more", names, reason)
		}
	}
}

// writeChain writes what is sent and what is trusted into dir, and the leaf's key.
func writeChain(t *testing.T, dir string, s *sample, c sampleChain) {
	t.Helper()
	p := Pair{Chain: append([]*x509.Certificate{c.leaf}, c.sent...), Key: s.leafKey, CA: c.roots}
	writePair(t, dir, p, "chain.pem", "key.pem")
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), p.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeGood writes a pair of which nobody asks anything.
func writeGood(t *testing.T, dir string) {
	t.Helper()
	s := newSample()
	c := s.build(t)
	writePair(t, dir, Pair{Chain: []*x509.Certificate{c.leaf}, Key: s.leafKey}, "good.pem", "goodkey.pem")
}

func writePair(t *testing.T, dir string, p Pair, chain, key string) {
	t.Helper()
	text, err := (&Pair{Key: crypto.Signer(p.Key)}).KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{chain: p.CertPEM(), key: text} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
