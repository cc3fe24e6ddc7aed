package cert

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The corpus of zlint (github.com/zmap/zlint): certificates with one fault each, as CAs have
// made them. It is taken from the module proxy by the test, not required in go.mod: what it
// requires itself would be 40 lines in go.sum.
const (
	corpusModule = "github.com/zmap/zlint/v3@v3.7.3"
	corpusSum    = "h1:k7MZOUjW0nhmvqvG/VtHExOREuXkcTAfee9zoNRe8Vo="
)

func corpus(t *testing.T) (files []string) {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", corpusModule)
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	var module struct{ Dir, Sum, Error string }
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err != nil || module.Sum != corpusSum {
		t.Fatalf("go mod download %s: %v, %s", corpusModule, err, out)
	}
	if files, err = filepath.Glob(filepath.Join(module.Dir, "testdata", "*.pem")); err != nil || len(files) < 1000 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files
}

// explainedCorpus are the differences between the verdict and OpenSSL's on certificates of
// the corpus. One that does not show any more fails the test.
var explainedCorpus = map[string]string{
	"SANDNSNameNotFQDN.pem":         "OpenSSL cannot decode its alternative names and holds the certificate for invalid; crypto/x509 reads none in them",
	"ncOnX400.pem":                  "the same of its name constraints",
	"certVersion2WithExtension.pem": "crypto/x509 does not read extensions of version 2, and OpenSSL does",
	"rsassapssInSPKI.pem":           "neither OpenSSL nor this program can read its key: here it is not judged",
	"unknownpublickey.pem":          "the same",
}

// TestCorpus holds what is read of each certificate, and of a quarter of them (VERDICT=all:
// of each) the verdict on it where it is the one that is trusted, against OpenSSL.
func TestCorpus(t *testing.T) {
	l, err := opensslLoads()
	if err != nil {
		t.Fatal(err)
	}
	files := corpus(t)
	texts := make([][]byte, len(files))
	for i, file := range files {
		if texts[i], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	loaded := l.load(t, texts...)
	shown, judged := map[string]bool{}, 0
	var mu sync.Mutex
	var workers sync.WaitGroup
	next := make(chan int)
	for range oracles {
		workers.Go(func() {
			dir := t.TempDir()
			for i := range next {
				file, text := files[i], texts[i]
				differ := comparePEM(t, l, text, loaded[i])
				judge := i%4 == 0 || explainedCorpus[filepath.Base(file)] != "" || os.Getenv("VERDICT") == "all"
				if c, err := ParseCertificates(text); judge && err == nil && Unread(c[0]) == nil && c[0].NotBefore.Before(c[0].NotAfter) {
					name := "redis.site.internal"
					if len(c[0].DNSNames) > 0 && !strings.ContainsRune(c[0].DNSNames[0], 0) {
						name = c[0].DNSNames[0]
					}
					s := &sample{name: name, at: c[0].NotBefore.Add(c[0].NotAfter.Sub(c[0].NotBefore) / 2).Truncate(time.Second)}
					if why := compareChain(t, dir, s, sampleChain{leaf: c[0], roots: []*x509.Certificate{c[0]}}); why != "" {
						differ = append(differ, why)
					}
				}
				mu.Lock()
				judged++
				for _, d := range differ {
					if name := filepath.Base(file); explainedCorpus[name] != "" {
						shown[name] = true
					} else {
						t.Errorf("%s: %.600s", name, d)
					}
				}
				mu.Unlock()
			}
		})
	}
	for i := range files {
		next <- i
	}
	close(next)
	workers.Wait()
	allShown(t, explainedCorpus, shown)
	t.Logf("%d certificates", judged)
}
