package truststore

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"redis-cert-agent/reload/redistest"
)

const child = "TRUSTSTORE_TEST_CHILD"

// TestMain runs the tests again in a mount namespace of their own, in which the store
// of the system is a copy: update-ca-certificates is the real one, and changes nothing
// outside.
func TestMain(m *testing.M) {
	if os.Getenv(child) != "" || os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), child+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// private puts a copy of a directory in its place.
func private(t *testing.T, dir string) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", dir, copied).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	if err := syscall.Mount(copied, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func TestDebian(t *testing.T) {
	if os.Getenv(child) == "" {
		t.Skip("only root can have a mount namespace of its own: run the tests as root")
	}
	store, err := System()
	if err != nil || store.Dir != "/usr/local/share/ca-certificates" {
		t.Skipf("this host has no update-ca-certificates (%v, %v): apt install ca-certificates", store, err)
	}
	private(t, store.Dir)
	private(t, "/etc/ssl/certs")
	private(t, "/etc/ca-certificates")
	ctx := t.Context()
	first, second := redistest.NewRoot(t), redistest.NewRoot(t)
	leaf, leaf2 := first.Issue(t, redistest.Leaf{}), second.Issue(t, redistest.Leaf{})
	other := filepath.Join(store.Dir, "redis-cert-agent@a.b.0123456789abcdef.crt") // of the instance a.b
	if err := os.WriteFile(other, pemOf(first.Cert), 0o644); err != nil {
		t.Fatal(err)
	}

	trusts(t, leaf, false)
	install(t, store, true, first.Cert)
	trusts(t, leaf, true)
	install(t, store, false, first.Cert)
	install(t, store, true, first.Cert, second.Cert)
	trusts(t, leaf, true)
	trusts(t, leaf2, true)
	install(t, store, true, second.Cert) // the first has gone from the CA
	if err := os.Remove(other); err != nil {
		t.Fatal(err) // nor did it touch what is another's
	}
	if err := update(ctx, store.removed); err != nil {
		t.Fatal(err)
	}
	trusts(t, leaf, false)
	trusts(t, leaf2, true)
	for _, want := range []bool{true, false} {
		if changed, err := store.Uninstall(ctx, "a"); err != nil || changed != want {
			t.Errorf("uninstall: changed %v, %v", changed, err)
		}
		trusts(t, leaf2, false)
	}
	if left, err := filepath.Glob(filepath.Join(store.Dir, "*redis-cert-agent*")); err != nil || left != nil {
		t.Errorf("left %q, %v", left, err)
	}
}

func install(t *testing.T, s Store, want bool, roots ...*x509.Certificate) {
	t.Helper()
	if changed, err := s.Install(t.Context(), "a", roots); err != nil || changed != want {
		t.Errorf("install: changed %v, %v", changed, err)
	}
}

// trusts asks openssl whether the system trusts a certificate.
func trusts(t *testing.T, p *redistest.Pair, want bool) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "leaf.pem")
	if err := os.WriteFile(file, pemOf(p.Chain...), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("openssl", "verify", "-CApath", "/etc/ssl/certs", "-untrusted", file, file).CombinedOutput()
	if (err == nil) != want {
		t.Errorf("openssl: %v, want trusted: %v\n%s", err, want, out)
	}
}

// What makes the bundles may be missing, or fail.
func TestUpdateFails(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	if _, err := System(); err == nil || !strings.Contains(err.Error(), "install the package ca-certificates") {
		t.Errorf("without the program: %v", err)
	}
	script := "#!/bin/sh\necho 'no space\nleft' >&2; exit 3\n"
	if err := os.WriteFile(filepath.Join(bin, "update-ca-trust"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	store, err := System()
	if err != nil || store.Dir != "/etc/pki/ca-trust/source/anchors" {
		t.Fatalf("%v, %v: want the store of Fedora", store, err)
	}
	store.Dir = t.TempDir()
	root := redistest.NewRoot(t)
	changed, err := store.Install(t.Context(), "default", []*x509.Certificate{root.Cert})
	if !changed || err == nil || !strings.Contains(err.Error(), "update-ca-trust: exit status 3: no space left") {
		t.Errorf("changed %v, %v", changed, err)
	}
	// The next run makes the bundle, although the file is there.
	if _, err := store.Install(t.Context(), "default", []*x509.Certificate{root.Cert}); err == nil {
		t.Error("a bundle that was never made is called well")
	}
	files, err := os.ReadDir(store.Dir)
	if err != nil || len(files) != 1 || !slices.ContainsFunc(files, func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), ".pem") }) {
		t.Errorf("files %v, %v", files, err)
	}
}

func pemOf(chain ...*x509.Certificate) []byte {
	var text bytes.Buffer
	for _, c := range chain {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return text.Bytes()
}
