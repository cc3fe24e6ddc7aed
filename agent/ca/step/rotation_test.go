package step

import (
	"os"
	"path/filepath"
	"testing"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/cmd/redis-cert-ca/authority"

	"github.com/smallstep/certificates/authority/config"
)

// reroot rewrites the configuration of the CA in dir: its roots are now files,
// and it signs with the intermediate of the CA in from.
func reroot(t *testing.T, dir, from string, roots ...string) {
	t.Helper()
	if err := edit(dir, func(c *config.Config) error { c.Root = roots; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"certs/intermediate_ca.crt", "secrets/intermediate_ca_key", "secrets/password"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A rotation as step-ca's documentation does it: announce the new root, issue
// from it, drop the old one. The configured fingerprint stays the old one.
func TestRootRotation(t *testing.T) {
	dir, next := initCA(t, nil), filepath.Join(t.TempDir(), "next")
	if _, err := authority.Init(authority.InitOptions{Dir: next, DNS: []string{"localhost"}}); err != nil {
		t.Fatal(err)
	}
	oldRoot, newRoot := filepath.Join(dir, "certs/root_ca.crt"), filepath.Join(next, "certs/root_ca.crt")
	real := runCA(t, dir, "127.0.0.1:0")
	o := real.options()
	first := pair(t, issue(t, New(o), ca.Request{}))

	reroot(t, dir, dir, oldRoot, newRoot)
	real = real.restart(t)
	o.Roots = first.CA
	second := good(t, issue(t, New(o), ca.Request{Current: first}), MethodRekey, names, cert.P256)
	if len(second.CA) != 2 {
		t.Fatalf("%d roots announced, want 2", len(second.CA))
	}
	// Where it named its roots lately, it is not asked for them.
	lately := issue(t, New(o), ca.Request{Current: first, Named: first.CA})
	if !lately.Named || len(lately.Roots) != 1 {
		t.Errorf("%d roots, want the one that was named before (%t)", len(lately.Roots), lately.Named)
	}

	reroot(t, dir, next, newRoot, oldRoot)
	real = real.restart(t)
	o.Roots = second.CA
	third := good(t, issue(t, New(o), ca.Request{Current: second}), MethodRekey, names, cert.P256)
	// Unless it issues from another one by now.
	moved := issue(t, New(o), ca.Request{Current: second, Named: first.CA})
	good(t, moved, MethodRekey, names, cert.P256)
	if moved.Named || len(moved.Roots) != 2 {
		t.Errorf("%d roots, want both (%t)", len(moved.Roots), moved.Named)
	}

	fresh := o
	fresh.Roots = nil
	says(t, refused(t, New(fresh), ca.Request{}), "its root was rotated", "configure the fingerprint of the new root")
	fresh.Roots = first.CA
	says(t, refused(t, New(fresh), ca.Request{Current: first}), "if the CA's root was rotated, configure the fingerprint")

	reroot(t, dir, next, newRoot)
	real.restart(t)
	o.Roots = third.CA[:1] // the new root alone: the pinned one is nowhere now
	fourth := good(t, issue(t, New(o), ca.Request{Current: third}), MethodRekey, names, cert.P256)
	if len(fourth.CA) != 1 {
		t.Errorf("%d roots, want the new one", len(fourth.CA))
	}
	// A pair from before: its issuer is unknown to the CA, which says so in 400.
	good(t, issue(t, New(o), ca.Request{Current: first}), MethodSign, names, cert.P256)
	good(t, issue(t, New(o), ca.Request{Current: first, Now: first.Leaf().NotAfter.Add(1)}), MethodSign, names, cert.P256)

	fresh.Roots = nil
	says(t, refused(t, New(fresh), ca.Request{}), "was not found", "compare the configured fingerprint")
	fresh.Roots = first.CA
	fresh.Fingerprint = cert.Fingerprint{1}.String()
	says(t, refused(t, New(fresh), ca.Request{}), "nor does the CA offer the pinned root (bootstrap: 404)")
}
