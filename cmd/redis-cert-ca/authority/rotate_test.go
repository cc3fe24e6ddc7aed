package authority_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/cmd/redis-cert-ca/authority"
)

// TestRotateRoot takes all steps, with a restart after each, and a client whose
// certificate is from before.
func TestRotateRoot(t *testing.T) {
	t.Parallel()
	info := initialize(t, authority.InitOptions{})
	r := start(t, info.Dir, authority.RunOptions{})
	old := sign(t, r, "a.internal")
	step := func(name string, rotation *authority.Rotation, err error) *authority.Rotation {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r = start(t, info.Dir, authority.RunOptions{Address: r.Address})
		return rotation
	}
	expect := func(name, fingerprint string, roots int, renewable bool) {
		t.Helper()
		if r.Fingerprint != fingerprint {
			t.Errorf("%s: signs below %s, want %s", name, r.Fingerprint, fingerprint)
		}
		resp, err := client(t, r).Roots()
		if err != nil || len(resp.Certificates) != roots {
			t.Errorf("%s: roots %v, error %v; want %d", name, resp, err, roots)
		}
		if _, err := client(t, r).Renew(transport(t, r, old)); (err == nil) != renewable {
			t.Errorf("%s: renew the old certificate: error %v", name, err)
		}
	}
	// wait lets the time pass that hosts need to renew.
	wait := func() {
		t.Helper()
		day := time.Now().Add(-24 * time.Hour)
		if err := os.Chtimes(filepath.Join(info.Dir, "db/served-roots"), day, day); err != nil {
			t.Fatal(err)
		}
	}

	rotation, err := authority.AddRoot(info.Dir)
	fresh := step("add", rotation, err).Added.Fingerprint
	expect("add", info.Fingerprint, 2, true)
	wait()
	rotation, err = authority.UseRoot(info.Dir, false)
	if used := step("use", rotation, err).InUse.Fingerprint; used != fresh {
		t.Errorf("uses %s, added %s", used, fresh)
	}
	expect("use", fresh, 2, true)
	wait()
	rotation, err = authority.RetireRoot(info.Dir, false)
	step("retire", rotation, err)
	expect("retire", fresh, 1, false)
}

// TestRotationRefuses holds what keeps an operator from a step that would lock
// hosts out, each with the words that say what to do.
func TestRotationRefuses(t *testing.T) {
	t.Parallel()
	info := initialize(t, authority.InitOptions{})
	refused := func(_ *authority.Rotation, err error) func(want string) {
		return func(want string) {
			t.Helper()
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		}
	}
	did := func(_ *authority.Rotation, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	run := func() {
		t.Helper()
		if err := start(t, info.Dir, authority.RunOptions{}).Close(); err != nil {
			t.Fatal(err)
		}
	}
	refused(authority.UseRoot(info.Dir, true))("use the added root: there is none: add it first")
	refused(authority.RetireRoot(info.Dir, true))("retire the old root: there is none: add and use a new one first")
	did(authority.AddRoot(info.Dir))
	refused(authority.AddRoot(info.Dir))("a rotation is under way: finish it first")
	refused(authority.UseRoot(info.Dir, false))("not started since the last step: restart it, and give hosts 1 d to renew")
	run()
	refused(authority.UseRoot(info.Dir, false))("to renew: wait, or --force it once all of them have")
	did(authority.UseRoot(info.Dir, true))
	refused(authority.RetireRoot(info.Dir, false))("not started since the last step")
	refused(authority.AddRoot(info.Dir))("a rotation is under way: finish it first")
	did(authority.RetireRoot(info.Dir, true))
	did(authority.AddRoot(info.Dir)) // the next rotation begins
}

// TestServedSince stays what it was when an authority is started again.
func TestServedSince(t *testing.T) {
	t.Parallel()
	info := initialize(t, authority.InitOptions{})
	since := func() time.Time {
		t.Helper()
		rotation, err := authority.ReadRotation(info.Dir)
		if err != nil {
			t.Fatal(err)
		}
		return rotation.Since
	}
	if at := since(); !at.IsZero() {
		t.Errorf("served since %s, and never started", at)
	}
	if err := start(t, info.Dir, authority.RunOptions{}).Close(); err != nil {
		t.Fatal(err)
	}
	first := since()
	if first.IsZero() {
		t.Error("not served, and started")
	}
	if err := start(t, info.Dir, authority.RunOptions{}).Close(); err != nil {
		t.Fatal(err)
	}
	if at := since(); !at.Equal(first) {
		t.Errorf("served since %s, then since %s", first, at)
	}
}
