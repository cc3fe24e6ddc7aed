package step

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"

	"github.com/smallstep/certificates/api"
	official "github.com/smallstep/certificates/ca"
	"go.step.sm/crypto/jose"
)

// theirs is the official client, doing what ours does.
type theirs struct {
	*testing.T
	real *realCA
}

func (o theirs) client() *official.Client {
	o.Helper()
	official.DisableIdentity = true // whatever the user who runs this has in ~/.step
	c, err := official.NewClient(o.real.URL, official.WithRootSHA256(o.real.Fingerprint), official.WithTimeout(20*time.Second))
	if err != nil {
		o.Fatal(err)
	}
	o.Cleanup(c.CloseIdleConnections)
	return c
}

func (o theirs) token(names []string) string {
	o.Helper()
	official.DisableIdentity = true
	p, err := official.NewProvisioner("redis", "", o.real.URL, o.real.Password, official.WithRootSHA256(o.real.Fingerprint))
	if err != nil {
		o.Fatal(err)
	}
	o.Cleanup(p.CloseIdleConnections)
	token, err := p.Token(names[0], names...)
	if err != nil {
		o.Fatal(err)
	}
	return token
}

func (o theirs) csr(key crypto.Signer, names []string) api.CertificateRequest {
	o.Helper()
	der, err := cert.Request(key, names)
	if err != nil {
		o.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		o.Fatal(err)
	}
	return api.NewCertificateRequest(csr)
}

func (o theirs) sign(kt cert.KeyType, names []string, life time.Duration) ca.Issued {
	o.Helper()
	key, err := cert.GenerateKey(kt)
	if err != nil {
		o.Fatal(err)
	}
	req := &api.SignRequest{CsrPEM: o.csr(key, names), OTT: o.token(names)}
	req.NotAfter.SetDuration(life)
	answer, err := o.client().Sign(req)
	return o.issued(MethodSign, key, answer, err)
}

// mtls is a transport that presents p.
func (o theirs) mtls(p *cert.Pair) *http.Transport {
	tr := &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: cert.Pool([]*x509.Certificate{o.real.RootCertificate}), Certificates: []tls.Certificate{p.TLS()}}}
	o.Cleanup(tr.CloseIdleConnections)
	return tr
}

func (o theirs) renew(p *cert.Pair) ca.Issued {
	o.Helper()
	answer, err := o.client().Renew(o.mtls(p))
	return o.issued(MethodRenew, p.Key, answer, err)
}

func (o theirs) rekey(p *cert.Pair, kt cert.KeyType) ca.Issued {
	o.Helper()
	key, err := cert.GenerateKey(kt)
	if err != nil {
		o.Fatal(err)
	}
	answer, err := o.client().Rekey(&api.RekeyRequest{CsrPEM: o.csr(key, cert.NamesOf(p.Leaf()))}, o.mtls(p))
	return o.issued(MethodRekey, key, answer, err)
}

// renewByToken makes the token as the step command does; package ca has no
// helper for it.
func (o theirs) renewByToken(p *cert.Pair) ca.Issued {
	o.Helper()
	var chain []string
	for _, c := range p.Chain {
		chain = append(chain, base64.StdEncoding.EncodeToString(c.Raw))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Key: p.Key}, new(jose.SignerOptions).WithType("JWT").WithHeader("x5cInsecure", chain))
	if err != nil {
		o.Fatal(err)
	}
	token, err := jose.Signed(signer).Claims(jose.Claims{
		Issuer: "step-ca-client/1.0", Subject: p.Leaf().Subject.CommonName, ID: serial(o.T).String(),
		Audience:  jose.Audience{o.real.URL + "/renew"},
		NotBefore: jose.NewNumericDate(time.Now()), Expiry: jose.NewNumericDate(time.Now().Add(time.Minute)),
	}).CompactSerialize()
	if err != nil {
		o.Fatal(err)
	}
	answer, err := o.client().RenewWithToken(token)
	return o.issued(MethodRenewToken, p.Key, answer, err)
}

func (o theirs) issued(method string, key crypto.Signer, answer *api.SignResponse, err error) ca.Issued {
	o.Helper()
	if err != nil {
		o.Fatalf("the official client: %s: %v", method, err)
	}
	got := ca.Issued{Key: key, Method: method}
	for _, c := range answer.CertChainPEM {
		got.Chain = append(got.Chain, c.Certificate)
	}
	roots, err := o.client().Roots()
	if err != nil {
		o.Fatal(err)
	}
	for _, c := range roots.Certificates {
		got.Roots = append(got.Roots, c.Certificate)
	}
	return got
}

// portrait is all of an answer that does not change from one to the next.
func portrait(i ca.Issued) string {
	var b strings.Builder
	leaf := i.Chain[0]
	fmt.Fprintf(&b, "method %s\nsubject %s\nissuer %s\ndns %v\nip %v\nother names %v %v\nlifetime %s\nkey %s\nusage %b\nextended %v %v\nca %v\n",
		i.Method, leaf.Subject, leaf.Issuer, leaf.DNSNames, leaf.IPAddresses, leaf.EmailAddresses, leaf.URIs,
		leaf.NotAfter.Sub(leaf.NotBefore), cert.KeyTypeOf(leaf.PublicKey), leaf.KeyUsage, leaf.ExtKeyUsage, leaf.UnknownExtKeyUsage, leaf.IsCA)
	for _, e := range leaf.Extensions {
		if !slices.Contains([]string{"2.5.29.14"}, e.Id.String()) { // the key's own identifier
			fmt.Fprintf(&b, "extension %s %v %x\n", e.Id, e.Critical, e.Value)
		}
	}
	fmt.Fprintf(&b, "key is the leaf's: %v\n", i.Key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(leaf.PublicKey))
	for _, c := range i.Chain[1:] {
		fmt.Fprintf(&b, "chain %s\n", cert.FingerprintOf(c))
	}
	for _, c := range i.Roots {
		fmt.Fprintf(&b, "root %s\n", cert.FingerprintOf(c))
	}
	return b.String()
}

// Our client and the official one, with the same inputs against the same CA,
// get the same results.
func TestContract(t *testing.T) {
	real := startCA(t, renewsExpired)
	const life = 3 * time.Hour
	o := real.options()
	o.Lifetime = life
	ours := New(o)
	for _, kt := range []cert.KeyType{cert.P256, cert.P384, cert.RSA2048, cert.RSA3072, cert.RSA4096, cert.Ed25519} {
		t.Run(string(kt), func(t *testing.T) {
			their := theirs{t, real}
			same := func(got, want ca.Issued) {
				t.Helper()
				if g, w := portrait(got), portrait(want); g != w {
					t.Errorf("ours:\n%s\ntheirs:\n%s", g, w)
				}
			}
			first := issue(t, ours, ca.Request{KeyType: kt})
			same(first, their.sign(kt, names, life))
			p := pair(t, first)
			same(issue(t, ours, ca.Request{KeyType: kt, Current: p}), their.rekey(p, kt))
			same(issue(t, ours, ca.Request{KeyType: kt, Current: p, ReuseKey: true}), their.renew(p))
			old := real.expired(t, p)
			same(issue(t, ours, ca.Request{KeyType: kt, Current: old}), their.renewByToken(old))
		})
	}
	t.Run("defaults", func(t *testing.T) {
		one := []string{"redis1.internal"}
		got, want := issue(t, New(real.options()), ca.Request{Names: one}), theirs{t, real}.sign(cert.P256, one, 0)
		if g, w := portrait(got), portrait(want); g != w {
			t.Errorf("ours:\n%s\ntheirs:\n%s", g, w)
		}
	})
}

// The tokens of both clients say the same.
func TestTokenContract(t *testing.T) {
	real := startCA(t, nil)
	c := New(real.options())
	tr, err := c.trust(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := c.open(tr, &tls.Config{RootCAs: tr.pool})
	defer s.close()
	k, err := s.signer(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := s.oneTimeToken(k, grant{subject: names[0], names: names, path: "/1.0/sign"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	read := func(token string) (string, float64, string) {
		parsed, err := jose.ParseSigned(token)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := parsed.UnsafeClaimsWithoutVerification(&m); err != nil {
			t.Fatal(err)
		}
		id, life := m["jti"].(string), m["exp"].(float64)-m["nbf"].(float64)
		for _, k := range []string{"jti", "exp", "nbf", "iat"} {
			if m[k] == nil {
				t.Errorf("no %s", k)
			}
			delete(m, k)
		}
		h := parsed.Headers[0]
		return fmt.Sprint(m, h.Algorithm, h.KeyID, h.ExtraHeaders), life, id
	}
	got, life, id := read(ours)
	want, theirLife, theirID := read(theirs{t, real}.token(names))
	if got != want || life != theirLife || len(id) < 32 || id == theirID {
		t.Errorf("ours %s %v %s\ntheirs %s %v %s", got, life, id, want, theirLife, theirID)
	}
}
