package pair

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/cert"
)

func distrusted(p *cert.Pair) Distrusted {
	return Distrusted{Leaf: p.Fingerprint().String(), Key: cert.KeyFingerprint(p.Leaf().PublicKey), Since: time.Now().UTC()}
}

// What is distrusted outlives the process, and so does the key under another certificate.
func TestDistrustOutlives(t *testing.T) {
	old, next := issue(t), issue(t)
	h := linked(t, old)
	d := Distrust{Rotation: &Rotation{Since: time.Now().UTC(), Servers: map[string]ServerStage{"127.0.0.1:6379": Asked}}}
	d.Add(distrusted(old))
	d.Add(distrusted(old))
	h.must(h.store.SetDistrust(d))
	d.Rotation.Servers["127.0.0.1:6379"] = Proven // the store has its own
	h.must(h.store.Close())
	h.open()
	got := h.load().Distrust
	if len(got.Leaves) != 1 || got.Rotation == nil || got.Rotation.Servers["127.0.0.1:6379"] != Asked {
		t.Errorf("%+v", got)
	}
	if !got.Distrusts(old.Leaf()) || got.Distrusts(next.Leaf()) {
		t.Error("the wrong one is distrusted")
	}
	if path := h.store.distrustPath(); modeOf(t, path) != 0o600 {
		t.Errorf("%s has mode %o", path, modeOf(t, path))
	}

	// A file that cannot be read is said, and stops nothing.
	h.must(os.WriteFile(h.store.distrustPath(), []byte(`{"leaves": [`), 0o600))
	h.must(h.store.Close())
	h.open()
	if got := h.load().Distrust; !strings.Contains(got.Fault, "distrusted.json") || len(got.Leaves) > 0 {
		t.Errorf("%+v", got)
	}
}

func modeOf(t *testing.T, path string) os.FileMode {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Mode().Perm()
}

// Only the current and the newest generation stay, and of Dir/found all but the keys that
// are distrusted: other people's keys are not ours to remove. Links to files elsewhere are
// not followed.
func TestDestroy(t *testing.T) {
	a, b, other := issue(t), issue(t), issue(t)
	h := linked(t, a)
	h.put(b)
	current := h.put(issue(t))
	key := func(p *cert.Pair) []byte {
		text, err := p.KeyPEM()
		h.must(err)
		return text
	}
	found := h.store.foundDir()
	h.must(os.MkdirAll(filepath.Join(found, "generation-000009-x"), 0o700))
	elsewhere := filepath.Join(h.root, "elsewhere.key")
	for path, text := range map[string][]byte{
		filepath.Join(found, "a.key"):                            key(a),
		filepath.Join(found, "both.pem"):                         append(a.CertPEM(), key(a)...),
		filepath.Join(found, "generation-000009-x", "redis.key"): key(b),
		filepath.Join(found, "other.key"):                        key(other),
		filepath.Join(found, "a.crt"):                            a.CertPEM(),
		elsewhere:                                                key(a),
	} {
		h.must(os.WriteFile(path, text, 0o600))
	}
	h.must(os.Symlink(elsewhere, filepath.Join(found, "link.key")))
	d := Distrust{}
	d.Add(distrusted(a))
	d.Add(distrusted(b))
	h.must(h.store.SetDistrust(d))
	if n, err := h.store.Destroy(); n != 5 || err != nil {
		t.Errorf("%d keys destroyed, want 5 (%v)", n, err)
	}
	if n, err := h.store.Destroy(); n != 0 || err != nil {
		t.Errorf("%d more, %v", n, err)
	}
	st := h.load()
	if len(st.All) != 1 || st.Current.ID != current.ID || st.Foreign != nil {
		t.Errorf("%d pairs, current %+v", len(st.All), st.Current)
	}
	for name, want := range map[string]bool{"a.key": false, "both.pem": false, "generation-000009-x/redis.key": false, "other.key": true, "a.crt": true, "link.key": true} {
		if _, err := os.Lstat(filepath.Join(found, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
	if text, err := os.ReadFile(elsewhere); err != nil || string(text) != string(key(a)) {
		t.Error("a file elsewhere was changed")
	}
}
