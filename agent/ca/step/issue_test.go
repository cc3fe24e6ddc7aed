package step

import (
	"crypto"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"

	"github.com/smallstep/certificates/authority/config"
)

// sameKey reports whether two certificates are for one key.
func sameKey(a, b *cert.Pair) bool {
	return slices.Equal(a.Leaf().RawSubjectPublicKeyInfo, b.Leaf().RawSubjectPublicKeyInfo)
}

func TestSignsFirst(t *testing.T) {
	ca1 := startCA(t, nil)
	o := ca1.options()
	o.Fingerprint = strings.ToUpper(o.Fingerprint)
	o.Lifetime = 2 * time.Hour
	got := issue(t, New(o), ca.Request{})
	p := good(t, got, MethodSign, names, cert.P256)
	if life := time.Until(p.Leaf().NotAfter); life > 2*time.Hour || life < 2*time.Hour-time.Minute {
		t.Errorf("asked for 2h, got %s", life)
	}
	if len(got.Chain) != 2 || len(got.Roots) != 1 || !got.Roots[0].Equal(ca1.RootCertificate) {
		t.Errorf("chain of %d and %d roots, want leaf with intermediate and the one root", len(got.Chain), len(got.Roots))
	}
	if want := "step-ca " + ca1.URL + " (provisioner redis)"; got.Issuer != want {
		t.Errorf("issuer %q, want %q", got.Issuer, want)
	}
}

func TestRenewsOverTLS(t *testing.T) {
	ca1 := startCA(t, nil)
	o := ca1.options()
	first := good(t, issue(t, New(o), ca.Request{}), MethodSign, names, cert.P256)

	// A renewal needs no password, and no bootstrap with roots from disk.
	o.Password, o.Roots = secret.Secret{}, first.CA
	c := New(o)
	second := good(t, issue(t, c, ca.Request{Current: first}), MethodRekey, names, cert.P256)
	if sameKey(first, second) {
		t.Error("a rekey left the key as it was")
	}
	third := good(t, issue(t, c, ca.Request{Current: second, KeyType: cert.P384}), MethodRekey, names, cert.P384)
	fourth := good(t, issue(t, c, ca.Request{Current: third, KeyType: cert.P384, ReuseKey: true}), MethodRenew, names, cert.P384)
	if !sameKey(third, fourth) {
		t.Error("a renewal changed the key")
	}
	if third.Leaf().SerialNumber.Cmp(fourth.Leaf().SerialNumber) == 0 {
		t.Error("a renewal gave the same certificate")
	}
}

// TestAnotherLifetime: a renewal would keep the lifetime for ever.
func TestAnotherLifetime(t *testing.T) {
	o := startCA(t, nil).options()
	first := good(t, issue(t, New(o), ca.Request{}), MethodSign, names, cert.P256)
	o.Lifetime = first.Leaf().NotAfter.Sub(first.Leaf().NotBefore) - 10*time.Minute
	second := good(t, issue(t, New(o), ca.Request{Current: first}), MethodSign, names, cert.P256)
	if got := second.Leaf().NotAfter.Sub(second.Leaf().NotBefore); (got - o.Lifetime).Abs() > 2*time.Minute {
		t.Errorf("lifetime %v, want %v", got, o.Lifetime)
	}
	good(t, issue(t, New(o), ca.Request{Current: second}), MethodRekey, names, cert.P256)
}

func TestFreshSkipsRenewal(t *testing.T) {
	ca1 := startCA(t, nil)
	c := New(ca1.options())
	first := pair(t, issue(t, c, ca.Request{}))
	other := []string{"10.1.2.3", "redis9.internal"}

	second := good(t, issue(t, c, ca.Request{Current: first, Fresh: true, Names: other}), MethodSign, other, cert.P256)
	if sameKey(first, second) {
		t.Error("a new certificate kept the key without being asked to")
	}
	if second.Leaf().Subject.CommonName != other[0] {
		t.Errorf("common name %q, want the first name", second.Leaf().Subject.CommonName)
	}
	kept := good(t, issue(t, c, ca.Request{Current: first, Fresh: true, Names: other, ReuseKey: true}), MethodSign, other, cert.P256)
	if !sameKey(first, kept) {
		t.Error("a new certificate changed the key that was to be kept")
	}
	good(t, issue(t, c, ca.Request{Current: first, Fresh: true, KeyType: cert.Ed25519, ReuseKey: true}), MethodSign, names, cert.Ed25519)
}

func TestExpiredRenewsByToken(t *testing.T) {
	ca1 := startCA(t, renewsExpired)
	o := ca1.options()
	for _, kt := range []cert.KeyType{cert.P256, cert.P384, cert.RSA2048, cert.Ed25519} {
		old := ca1.expired(t, pair(t, issue(t, New(ca1.options()), ca.Request{KeyType: kt})))
		o.Password = secret.Secret{}
		got := good(t, issue(t, New(o), ca.Request{Current: old, KeyType: kt}), MethodRenewToken, names, kt)
		if !sameKey(old, got) {
			t.Error("a renewal by token changed the key")
		}
	}
}

// The clock here is behind the CA's: what looks valid has expired for the CA,
// which says so by a TLS alert or by hanging up.
func TestExpiredInTheEyesOfTheCA(t *testing.T) {
	ca1 := startCA(t, renewsExpired)
	o := ca1.options()
	old := ca1.expired(t, pair(t, issue(t, New(o), ca.Request{})))
	o.Password = secret.Secret{}
	for range 5 {
		got := issue(t, New(o), ca.Request{Current: old, Now: old.Leaf().NotAfter.Add(-time.Minute)})
		good(t, got, MethodRenewToken, names, cert.P256)
	}
}

func TestExpiredAndNotAllowedSigns(t *testing.T) {
	ca1 := startCA(t, nil)
	o := ca1.options()
	old := ca1.expired(t, pair(t, issue(t, New(o), ca.Request{})))
	good(t, issue(t, New(o), ca.Request{Current: old}), MethodSign, names, cert.P256)

	o.Password = secret.Func(func() ([]byte, error) { return []byte("wrong"), nil })
	e := refused(t, New(o), ca.Request{Current: old})
	says(t, e, "does not open with the configured password", "before that renew by token: 401")
}

func TestRenewalDisabledSigns(t *testing.T) {
	ca1 := startCA(t, func(c *config.AuthConfig) { *c.Claims.DisableRenewal = true })
	c := New(ca1.options())
	first := pair(t, issue(t, c, ca.Request{}))
	good(t, issue(t, c, ca.Request{Current: first}), MethodSign, names, cert.P256)
	good(t, issue(t, c, ca.Request{Current: first, ReuseKey: true}), MethodSign, names, cert.P256)
}

// The pair was issued by another CA: adopted, or left from before a move.
func TestForeignPairSigns(t *testing.T) {
	ca1 := startCA(t, nil)
	_, chain := newServerChain(t, nil)
	current := pair(t, ca.Issued{Chain: []*x509.Certificate{chain.Leaf}, Key: chain.PrivateKey.(crypto.Signer)})
	good(t, issue(t, New(ca1.options()), ca.Request{Current: current}), MethodSign, names, cert.P256)
}

func TestRestartOfTheCA(t *testing.T) {
	ca1 := startCA(t, nil)
	o := ca1.options()
	asked := 0
	o.Password = secret.Func(func() ([]byte, error) { asked++; return ca1.Password, nil })
	c := New(o)
	first := pair(t, issue(t, c, ca.Request{}))
	ca1 = ca1.restart(t)
	second := good(t, issue(t, c, ca.Request{Current: first}), MethodRekey, names, cert.P256)
	good(t, issue(t, c, ca.Request{Current: second, Fresh: true}), MethodSign, names, cert.P256)
	if asked != 1 {
		t.Errorf("the provisioner's key was decrypted %d times, want once", asked)
	}
}

// A proxy that ends TLS hides the client certificate: the CA answers 400.
func TestBehindAProxySigns(t *testing.T) {
	ca1 := startCA(t, nil)
	f := newFront(t, ca1, nil, nil)
	c := New(f.options(ca1))
	first := good(t, issue(t, c, ca.Request{}), MethodSign, names, cert.P256)
	for range 3 {
		good(t, issue(t, c, ca.Request{Current: first}), MethodSign, names, cert.P256)
	}
	if n := f.count("/1.0/rekey"); n != 3 {
		t.Errorf("%d tries to rekey, want 3", n)
	}
	if n := f.tokens(t); n != 4 {
		t.Errorf("%d tokens for 4 certificates", n)
	}
}
