package main

import (
	"crypto/x509"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseProc(t *testing.T) {
	const status = "Name:\tVmRSS: 1\nVmRSS:\t   18204 kB\nThreads:\t8\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t7\n"
	for name, want := range map[string]int64{"VmRSS": 18204, "Threads": 8, "voluntary_ctxt_switches": 12} {
		if got, err := statusField(status, name); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", name, got, err, want)
		}
	}
	if _, err := statusField(status, "RssAnon"); err == nil {
		t.Error("no error for a field that is not there")
	}
	if _, err := readVitals(os.Getpid()); err != nil {
		t.Error(err)
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct {
		f   Figure
		met bool
	}{
		{atMost("at the bound", 10, 10, number), true},
		{atMost("above it", 11, 10, number), false},
		{growth("as far as it may", 10, 12, 2), true},
		{growth("more", 10, 13, 2), false},
		{growth("at all", 10, 11, 0), false},
	} {
		if c.f.Met != c.met {
			t.Errorf("%s: %s by %s: met %t", c.f.Name, c.f.Value, c.f.Target, c.f.Met)
		}
	}
}

func TestReadCPU(t *testing.T) {
	before, err := readCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done").Run(); err != nil {
		t.Fatal(err)
	}
	for sum, n := 0, 0; n < 100_000_000; n++ {
		sum += n
	}
	after, err := readCPU(os.Getpid())
	if err != nil || after <= before {
		t.Errorf("this process took %s, and later %s: %v", before, after, err)
	}
	if children, err := readChildrenCPU(os.Getpid()); err != nil || children <= 0 {
		t.Errorf("its child took %s: %v", children, err)
	}
}

func TestQuantile(t *testing.T) {
	var all []time.Duration
	for n := range 1000 {
		all = append(all, time.Duration(1000-n))
	}
	for q, want := range map[float64]time.Duration{0.5: 501, 0.99: 991, 0.999: 1000} {
		if got := quantile(all, q, itself); got != want {
			t.Errorf("%v: %d, want %d", q, got, want)
		}
	}
}

// Bare handshakes with endpoints of the bench are verified, and fail with another root.
func TestEndpoints(t *testing.T) {
	a, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := a.issue(net.IPv4(127, 1, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(leaf.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if !parsed.NotAfter.Before(a.middle.NotAfter) {
		t.Errorf("the leaf ends at %s, its intermediate at %s", parsed.NotAfter, a.middle.NotAfter)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	root, err := x509.ParseCertificate(a.root)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(root)
	between.AddCert(a.middle)
	if _, err := parsed.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "127.1.2.3"}); err != nil {
		t.Error(err)
	}
}

// The page has every figure, says which one was missed, and keeps what people
// wrote after it.
func TestPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte("old\n"+endOfPage+"by hand\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := results{
		Rotation: rotation{Parts: []part{{"one part", 4}}, Sum: 10, Whole: 16},
		Idle:     idle{Window: time.Minute, Rest: 3 * time.Minute, Early: vitals{RSS: 18_000, Anon: 4000}},
	}
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, want := range []string{
		"| a rotation, due to proven, by the sum of its bare parts | 1.60 | ≤ 1.30 | **missed** |",
		"| one part | 0.40 |",
		"| when nothing has happened for 60 s | 18.4 MB | 4.1 MB |",
		endOfPage + "by hand\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	for _, f := range r.Figures() {
		if !strings.Contains(page, "| "+f.Name+" | "+f.Value+" |") {
			t.Errorf("the page lacks %s", f.Name)
		}
	}
	if strings.Contains(page, "old") {
		t.Error("the old page is still there")
	}
}

// A process is measured by itself, whatever the one that starts it has had in memory.
func TestMeasureProcess(t *testing.T) {
	large := make([]byte, 64<<20)
	for i := range large {
		large[i] = 1
	}
	u, err := measureProcess(t.Context(), "sleep", "0.2")
	if err != nil {
		t.Fatal(err)
	}
	if u.RSS <= 0 || u.RSS > 32<<10 || u.Wall < 200*time.Millisecond {
		t.Errorf("sleep: %+v beside %d MB", u, len(large)>>20)
	}
}
