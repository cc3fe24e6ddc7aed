package authority

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBrokenOffInit takes every state in which a kill can leave a directory,
// up to the rename that makes it an authority: none of them starts, and none
// is in the way of the next Init.
func TestBrokenOffInit(t *testing.T) {
	t.Parallel()
	parts := []string{"certs", "secrets", "db"}
	for moved := range len(parts) + 1 {
		dir := filepath.Join(t.TempDir(), "[ca]*") // a name that means something to Glob
		if _, err := Init(InitOptions{Dir: dir, DNS: []string{"localhost"}}); err != nil {
			t.Fatal(err)
		}
		tmp := filepath.Join(dir, partial+"1")
		if err := os.Mkdir(tmp, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range append([]string{"config"}, parts[moved:]...) {
			if err := os.Rename(filepath.Join(dir, name), filepath.Join(tmp, name)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Start(dir, RunOptions{Address: "127.0.0.1:0"}); !errors.Is(err, ErrNotFound) {
			t.Errorf("%d moved: start: %v, want ErrNotFound", moved, err)
		}
		if _, err := Init(InitOptions{Dir: dir, DNS: []string{"localhost"}}); err != nil {
			t.Errorf("%d moved: init: %v", moved, err)
			continue
		}
		r, err := Start(dir, RunOptions{Address: "127.0.0.1:0"})
		if err != nil {
			t.Errorf("%d moved: start after init: %v", moved, err)
			continue
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFailedInit leaves nothing: here a file cannot be written.
func TestFailedInit(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"certs/a": nil, "config/" + strings.Repeat("x", 300): nil}
	dir := filepath.Join(t.TempDir(), "new")
	if err := install(dir, files); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", dir, err)
	}
	dir = t.TempDir()
	if err := install(dir, files); err == nil {
		t.Error("no error")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left in a directory that was there: %v, %v", entries, err)
	}
}

func TestOwnCertificate(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now, issued, fail := start, 0, error(nil)
	own := &ownCertificate{
		now: func() time.Time { return now },
		issue: func() (*tls.Certificate, error) {
			if fail != nil {
				return nil, fail
			}
			issued++
			return &tls.Certificate{Leaf: &x509.Certificate{NotBefore: now, NotAfter: now.Add(24 * time.Hour)}}, nil
		},
	}
	check := func(at time.Duration, wantIssued int, wantErr error) {
		t.Helper()
		now = start.Add(at)
		if _, err := own.get(nil); !errors.Is(err, wantErr) || issued != wantIssued {
			t.Errorf("after %s: %d certificates, error %v; want %d, %v", at, issued, err, wantIssued, wantErr)
		}
	}
	check(0, 1, nil)
	check(16*time.Hour-time.Second, 1, nil)
	fail = errors.New("no entropy")
	check(16*time.Hour, 1, nil) // the old one is still good
	check(24*time.Hour, 1, fail)
	fail = nil
	check(24*time.Hour, 2, nil)
	check(40*time.Hour, 3, nil)
}

func TestServerURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, address, want string }{
		{"ca.internal", ":9000", "https://ca.internal:9000"},
		{"ca.internal", ":443", "https://ca.internal"},
		{"10.0.0.1", "10.0.0.1:9000", "https://10.0.0.1:9000"},
		{"::1", "[::1]:9000", "https://[::1]:9000"},
		{"::1", "[::1]:443", "https://[::1]"},
		{"ca.internal", ":0", ""},
	} {
		if got := serverURL(tt.name, tt.address); got != tt.want {
			t.Errorf("serverURL(%q, %q) = %q, want %q", tt.name, tt.address, got, tt.want)
		}
	}
}
