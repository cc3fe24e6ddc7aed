package authority_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/cmd/redis-cert-ca/authority"

	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/ca"
)

// tree returns every file below dir with its mode and content.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		b.WriteString(fi.Mode().String() + " " + path + "\n")
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			b.Write(data)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestInitClosesEverythingToOthers(t *testing.T) {
	t.Parallel()
	// An existing directory is taken over, and closed.
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := authority.Init(authority.InitOptions{Dir: dir, DNS: []string{"localhost"}}); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if fi.Mode()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, fi.Mode())
		}
		if d.Type().IsRegular() {
			files++
		}
		if strings.HasPrefix(d.Name(), ".init-") {
			t.Errorf("%s is left", path)
		}
		return nil
	})
	if err != nil || files != 7 {
		t.Errorf("%d files, error %v; want 7 files", files, err)
	}
}

func TestInitRefusesWhatIsThere(t *testing.T) {
	t.Parallel()
	info := initialize(t, authority.InitOptions{})
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "certs"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ dir, want string }{
		{info.Dir, "refusing to overwrite the certificate authority that is there: run it, or choose another directory"},
		{other, "refusing to overwrite what is there (certs): choose a directory that does not exist yet or is empty"},
	} {
		before := tree(t, tt.dir)
		_, err := authority.Init(authority.InitOptions{Dir: tt.dir, DNS: []string{"localhost"}})
		if !errors.Is(err, authority.ErrExists) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
		if tree(t, tt.dir) != before {
			t.Errorf("%s changed", tt.dir)
		}
	}
}

func TestInitReportsAllFaults(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	_, err := authority.Init(authority.InitOptions{
		Dir: dir, DNS: []string{"https://ca.internal:9000", "-x"}, Address: "9000", Provisioner: "acme",
		Lifetime: time.Minute, MinLifetime: time.Hour,
	})
	var faults authority.OptionError
	if !errors.As(err, &faults) || len(faults) != 5 {
		t.Fatalf("error %v, want five faults", err)
	}
	for _, want := range []string{`"https://ca.internal:9000"`, `"-x"`, `address: "9000"`, `provisioner: "acme"`, "lifetime: 1m0s lies outside 1h0m0s"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not tell about %s", err, want)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s was made", dir)
	}
}

// TestMoveToStepCA holds the promise that step-ca itself can take over.
func TestMoveToStepCA(t *testing.T) {
	t.Parallel()
	info := initialize(t, authority.InitOptions{ACME: true})
	cfg, err := config.LoadConfiguration(info.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	password, err := os.ReadFile(info.KeyPasswordFile)
	if err != nil {
		t.Fatal(err)
	}
	step, err := ca.New(cfg, ca.WithPassword(bytes.TrimSpace(password)), ca.WithQuiet(true))
	if err != nil {
		t.Fatal(err)
	}
	if err := step.Stop(); err != nil {
		t.Error(err)
	}
}
