package pair

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"
)

// passphrase is one that a test may change.
type passphrase struct{ text string }

func (p *passphrase) secret() secret.Secret {
	return secret.Func(func() ([]byte, error) {
		if p.text == "" {
			return nil, errors.New("it cannot be read")
		}
		return []byte(p.text), nil
	})
}

func (h *fixture) key(name string) []byte {
	h.t.Helper()
	text, err := os.ReadFile(name)
	h.must(err)
	return text
}

// Every key is encrypted from the time on when there is a passphrase; those before stay
// readable. With a wrong one, or none, nothing is decided and nothing changed.
func TestEncryptedStore(t *testing.T) {
	before, after := issue(t), issue(t)
	h := newFixture(t, true)
	h.open()
	h.put(before)
	h.must(relink(h.store))
	h.must(h.store.Close())

	p := &passphrase{"right"}
	h.opts.Passphrase = p.secret()
	h.open()
	h.wantLinked(before)
	h.put(after)
	if text := h.key(h.opts.Paths.Key); !cert.IsEncrypted(text) {
		t.Errorf("the key is not encrypted:\n%s", text)
	}
	if st := h.load(); len(st.All) != 2 || st.Current.Pair == nil || st.Current.Pair.Key == nil || st.Foreign != nil {
		t.Errorf("%+v", st.Current)
	}

	for _, wrong := range []string{"wrong", ""} {
		h.must(h.store.Close())
		p.text = wrong
		h.open()
		if _, err := h.store.Load(); !errors.Is(err, cert.ErrPassphrase) {
			t.Errorf("passphrase %q: %v", wrong, err)
		}
		if err := relink(h.store); err == nil {
			t.Errorf("passphrase %q: linked", wrong)
		}
		if err := h.store.Switch(1); err == nil {
			t.Errorf("passphrase %q: switched", wrong)
		}
		if st, err := Read(h.opts); err != nil || st.Current == nil || !st.Current.Pair.Leaf().Equal(after.Leaf()) || st.Current.Pair.Key != nil || st.Current.KeyErr == nil {
			t.Errorf("passphrase %q, for who only looks: %+v, %v", wrong, st.Current, err)
		}
	}
	if _, err := h.store.Put(issue(t), Origin{Method: "sign"}); !errors.Is(err, cert.ErrPassphrase) {
		t.Errorf("put without a passphrase: %v", err)
	}
	h.must(h.store.Close())
	h.opts.Passphrase = secret.Secret{}
	h.open()
	if _, err := h.store.Load(); !errors.Is(err, cert.ErrEncryptedKey) {
		t.Errorf("without a passphrase: %v", err)
	}
	h.must(h.store.Close())
	h.opts.Passphrase, p.text = p.secret(), "right"
	h.open()
	if st := h.load(); !st.Current.Pair.Leaf().Equal(after.Leaf()) || len(st.All) != 2 {
		t.Errorf("afterwards: %+v", st.Current)
	}

	// A destroyed key is found encrypted as well.
	sealed, err := before.EncryptedKeyPEM([]byte("right"))
	h.must(err)
	h.must(os.MkdirAll(h.store.foundDir(), 0o700))
	copied := filepath.Join(h.store.foundDir(), "sealed.key")
	h.must(os.WriteFile(copied, sealed, 0o600))
	d := Distrust{}
	d.Add(distrusted(before))
	h.must(h.store.SetDistrust(d))
	if n, err := h.store.Destroy(); n != 2 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
	if _, err := os.Stat(copied); err == nil {
		t.Error("the encrypted copy is there still")
	}
}

// What another program renews is read with the passphrase, and loaded without it.
func TestEncryptedExternal(t *testing.T) {
	p, other := issue(t), issue(t)
	h, x := external(t, p)
	h.must(x.Close())
	text, err := p.EncryptedKeyPEM([]byte("right"))
	h.must(err)
	write(t, h.opts.Paths.Key, text)
	for passphrase, opens := range map[string]bool{"right": true, "wrong": false} {
		o := h.externalOptions()
		o.Passphrase = secret.Func(func() ([]byte, error) { return []byte(passphrase), nil })
		x, err := OpenExternal(o)
		h.must(err)
		st, err := x.Load()
		h.must(err)
		if g := st.Current; g.Err != nil || (g.Pair.Key != nil) != opens || (g.KeyErr == nil) != opens {
			t.Errorf("%s: %v, %v", passphrase, g.Err, g.KeyErr)
		}
		h.must(x.Close())
	}
	write(t, h.opts.Paths.Cert, other.CertPEM())
	o := h.externalOptions()
	o.Passphrase = secret.Func(func() ([]byte, error) { return []byte("right"), nil })
	x, err = OpenExternal(o)
	h.must(err)
	defer x.Close()
	if st, err := x.Load(); err != nil || !errors.Is(st.Current.Err, cert.ErrMismatch) {
		t.Errorf("another certificate: %v, %v", st.Current.Err, err)
	}
}
