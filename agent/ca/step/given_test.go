package step

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"
	"redis-cert-agent/reload/redistest"

	"github.com/smallstep/certificates/authority/config"
	stepprov "github.com/smallstep/certificates/authority/provisioner"
	official "github.com/smallstep/certificates/ca"
)

// token returns a one-time token as `step ca token` makes it.
func (r *realCA) token(t *testing.T, subject string, sans ...string) string {
	t.Helper()
	p, err := official.NewProvisioner("redis", "", r.URL, r.Running.Password, official.WithRootSHA256(r.Fingerprint))
	if err != nil {
		t.Fatal(err)
	}
	token, err := p.Token(subject, sans...)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A token that somebody brought is used before every other way, once, and not kept.
func TestGivenToken(t *testing.T) {
	real := startCA(t, nil)
	o := real.options()
	o.Password, o.TokenFile = secret.Secret{}, filepath.Join(t.TempDir(), "token")
	c := New(o)
	says(t, refused(t, c, ca.Request{}), "no password is configured, and there is no one-time token", "redis-cert-agent enroll")
	bring := func(text string, mode os.FileMode) {
		t.Helper()
		os.Remove(o.TokenFile)
		if err := os.WriteFile(o.TokenFile, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(want bool) {
		t.Helper()
		if _, err := os.Stat(o.TokenFile); (err == nil) != want {
			t.Errorf("the token is kept: %v, want %v", err == nil, want)
		}
	}
	token := real.token(t, names[1], names...)
	bring(token+"\n", 0o600)
	first := good(t, issue(t, c, ca.Request{}), MethodSign, names, cert.P256)
	kept(false)
	if cn := first.Leaf().Subject.CommonName; cn != names[1] {
		t.Errorf("the common name is %q, not the subject of the token", cn)
	}
	good(t, issue(t, c, ca.Request{Current: first}), MethodRekey, names, cert.P256) // no password is missed

	bring(real.token(t, names[0], names...), 0o600)
	second := good(t, issue(t, c, ca.Request{Current: first, ReuseKey: false}), MethodSign, names, cert.P256)
	if sameKey(first, second) {
		t.Error("the key is the same")
	}

	bring(token, 0o600) // the CA knows that it was used
	good(t, issue(t, c, ca.Request{Current: second}), MethodRekey, names, cert.P256)
	kept(false)

	bring(real.token(t, names[0], names...), 0o644)
	says(t, refused(t, c, ca.Request{}), "others can access", "chmod")
	kept(true)
	bring(real.token(t, "other.internal", "other.internal"), 0o600)
	says(t, refused(t, c, ca.Request{}), "the token is for other.internal, and the configuration wants redis1.internal, redis2.internal", "step ca token redis1.internal --san redis1.internal")
	kept(true)
	bring("eyJhbGciOiJ.x.y", 0o600)
	says(t, refused(t, c, ca.Request{}), "this is no one-time token")

	bring(real.token(t, names[0], names...), 0o600)
	real.Close()
	refused(t, c, ca.Request{})
	kept(true)
}

func TestTokenFits(t *testing.T) {
	now := time.Now()
	for want, token := range map[string]Token{
		"":                    {Subject: "a", Names: []string{"b", "a"}, End: now.Add(-30 * time.Second).Unix()}, // the CA allows for clocks
		"the token ended at ": {Subject: "a", Names: []string{"a", "b"}, End: now.Add(-2 * time.Minute).Unix()},
		"the token is for a, and the configuration wants a, b":        {Subject: "a", Names: []string{"a"}},
		"the token is for a, b, c, and the configuration wants a, b":  {Subject: "a", Names: []string{"a", "b", "c"}},
		"the token is for a, b, and the configuration wants a, b: ma": {Subject: "other", Names: []string{"a", "b"}},
	} {
		err := token.Fits([]string{"a", "b"}, now)
		if want == "" && err == nil {
			continue
		}
		if want == "" || err == nil {
			t.Errorf("%+v: %v", token, err)
			continue
		}
		says(t, err, want)
	}
}

// A provisioner of type X5C takes a certificate that the host has already.
func TestX5C(t *testing.T) {
	hosts, strangers := redistest.NewRoot(t), redistest.NewRoot(t)
	real := startCA(t, func(c *config.AuthConfig) {
		c.Provisioners = append(c.Provisioners, &stepprov.X5C{Type: "X5C", Name: "hosts", Roots: (&cert.Pair{Chain: hosts.Roots()}).CertPEM()})
	})
	o := real.options()
	o.Password, o.Provisioner = secret.Secret{}, "hosts"
	with := func(p *redistest.Pair) *Client {
		files := p.Write(t, t.TempDir())
		o.X5C = X5C{Cert: files.Cert, Key: secret.File(files.Key)}
		return New(o)
	}
	host := hosts.Issue(t, redistest.Leaf{Names: []string{"host.vendor.example"}})
	c := with(host)
	if _, err := c.Inspect(t.Context(), nil); err != nil {
		t.Error(err)
	}
	first := good(t, issue(t, c, ca.Request{}), MethodSign, names, cert.P256)
	if sameKey(first, &cert.Pair{Chain: host.Chain}) {
		t.Error("it has the key of the host's certificate")
	}
	good(t, issue(t, c, ca.Request{Current: first}), MethodRekey, names, cert.P256)

	says(t, refused(t, with(strangers.Issue(t, redistest.Leaf{Names: []string{"host.vendor.example"}})), ca.Request{}), "401")
	old := with(hosts.Issue(t, redistest.Leaf{Names: []string{"h"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}))
	says(t, refused(t, old, ca.Request{}), "the certificate of the host", "expired at", "whoever renews it has to")
	if _, err := old.Inspect(t.Context(), nil); err == nil {
		t.Error("a certificate that has expired is found to be well")
	}
}
