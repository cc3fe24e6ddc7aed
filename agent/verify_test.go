package agent

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Package cert alone says what clients accept: whoever asks crypto/x509 on his own gives
// another answer sooner or later.
func TestOneVerdict(t *testing.T) {
	asks := regexp.MustCompile(`x509\.VerifyOptions|\.VerifyHostname\(`)
	files := 0
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, filepath.Join("..", "agent", "cert")) {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if err == nil && asks.Match(text) {
			t.Errorf("%s verifies a certificate by itself: ask cert.Judge or cert.Paths", path)
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("%d files, %v", files, err)
	}
}
