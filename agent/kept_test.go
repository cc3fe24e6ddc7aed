package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/cert"
)

// A pair keeps the type of its key at renewals, unless the configuration names one; that
// counts at once.
func TestKeyTypeIsKept(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		start := func(typ cert.KeyType) {
			w.store.Close()
			w.open(dir, func(o *Options) { o.KeyType = typ })
			w.run()
			synctest.Wait()
		}
		has := func(want cert.KeyType, issued int) {
			t.Helper()
			if got := cert.KeyTypeOf(w.disk().PublicKey); got != want || w.ca.issued != issued {
				t.Errorf("a key of %s after %d certificates, want %s after %d", got, w.ca.issued, want, issued)
			}
		}
		start("")
		has(cert.P256, 1) // the first
		w.stop()
		start(cert.P384)
		has(cert.P384, 2) // it is wanted
		w.stop()
		start("")
		pass(time.Minute)
		has(cert.P384, 2) // it is not replaced for it
		if err := w.renew(true); w.ca.issued != 3 {
			t.Error(err)
		}
		has(cert.P384, 3)
		pass(40 * time.Hour)
		has(cert.P384, 5)
		w.stop()
	})
}

// A key of a kind that nobody can ask for is followed by the nearest that is no weaker.
func TestNextKeyType(t *testing.T) {
	rsaKey := func(bits uint) *rsa.PublicKey {
		return &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int), int(bits-1), 1), E: 65537}
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pub  any
		want cert.KeyType
	}{
		{rsaKey(1024), cert.RSA2048}, {rsaKey(2048), cert.RSA2048}, {rsaKey(2432), cert.RSA3072}, {rsaKey(4096), cert.RSA4096}, {rsaKey(8192), cert.RSA4096},
		{p521.Public(), cert.P384}, {"something else", cert.P256},
	} {
		if got := cert.NextKeyType(c.pub); got != c.want {
			t.Errorf("after %s: %s, want %s", cert.KeyTypeOf(c.pub), got, c.want)
		}
	}
}
