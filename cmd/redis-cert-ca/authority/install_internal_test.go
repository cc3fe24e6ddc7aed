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

// TestBrokenOffInit ends an Init before and after it writes each of its files, without
// giving it a chance to tidy up. What it leaves does not start unless it is
// whole, and is not in the way of the next Init.
func TestBrokenOffInit(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "[ca]*") // a name that means something to Glob
	o := InitOptions{Dir: dir, DNS: []string{"localhost"}}.withDefaults()
	files, _, err := newFiles(o, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	writes := len(files)
	for step := range 2 * writes {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if !installUntil(dir, files, step) {
			t.Fatalf("step %d: not reached", step)
		}
		whole := step == 2*writes-1
		r, err := Start(dir, RunOptions{Address: "127.0.0.1:0"})
		if err == nil {
			r.Close()
		}
		if whole && err != nil || !whole && !errors.Is(err, ErrNotFound) {
			t.Errorf("step %d: start: %v; whole is %t", step, err, whole)
		}
		// What matters of Init here, without the making of new keys.
		err = install(dir, files, writeFile)
		if whole && !errors.Is(err, ErrExists) || !whole && err != nil {
			t.Errorf("step %d: init: %v; whole is %t", step, err, whole)
		}
		if _, _, err := load(dir); err != nil {
			t.Errorf("step %d: load in the end: %v", step, err)
		}
	}
}

// installUntil runs install up to a step, which is before a write when it is
// even and after one when it is odd, and reports whether it got there.
func installUntil(dir string, files map[string][]byte, step int) (killed bool) {
	defer func() { killed = recover() != nil }()
	n := 0
	install(dir, files, func(path string, data []byte) error {
		if n == step {
			panic("killed")
		}
		err := writeFile(path, data)
		if n++; n == step {
			panic("killed")
		}
		n++
		return err
	})
	return false
}

// TestExpiredAuthority is refused by the authority's own look at itself.
func TestExpiredAuthority(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	files, _, err := newFiles(InitOptions{Dir: dir, DNS: []string{"localhost"}}.withDefaults(), time.Now().Add(-caLifetime))
	if err != nil {
		t.Fatal(err)
	}
	if err := install(dir, files, writeFile); err != nil {
		t.Fatal(err)
	}
	r, err := Start(dir, RunOptions{Address: "127.0.0.1:0"})
	if err == nil {
		r.Close()
	}
	if want := "certificate has expired"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("start: %v, want %q", err, want)
	}
}

// TestFailedInit leaves nothing: here a file cannot be written.
func TestFailedInit(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{"certs/a": nil, "config/" + strings.Repeat("x", 300): nil}
	dir := filepath.Join(t.TempDir(), "new")
	if err := install(dir, files, writeFile); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", dir, err)
	}
	dir = t.TempDir()
	if err := install(dir, files, writeFile); err == nil {
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
