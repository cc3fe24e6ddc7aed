package step

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"

	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/authority/policy"
)

// What a user gets wrong, against the real CA.
func TestWrongConfiguration(t *testing.T) {
	real := startCA(t, func(c *config.AuthConfig) {
		c.Policy = &policy.Options{X509: &policy.X509PolicyOptions{AllowedNames: &policy.X509NameOptions{
			DNSDomains: []string{"*.internal", "localhost"}, IPRanges: []string{"127.0.0.0/8"}}}}
	})
	ok := ca.Request{Names: []string{"redis1.internal"}}
	tests := []struct {
		name    string
		change  func(*Options)
		request ca.Request
		status  int
		says    []string
	}{
		{"fingerprint", func(o *Options) { o.Fingerprint = strings.Repeat("ab", 32) }, ok, 404,
			[]string{"bootstrap: " + real.URL, "was not found", "step certificate fingerprint root_ca.crt"}},
		{"short fingerprint", func(o *Options) { o.Fingerprint = "abcd" }, ok, 0, []string{"64 hex digits"}},
		{"password", func(o *Options) { o.Password = secret.Func(func() ([]byte, error) { return []byte("wrong"), nil }) }, ok, 0,
			[]string{`provisioner: "redis" exists`, "check the provisioner's password"}},
		{"empty password", func(o *Options) { o.Password = secret.Func(func() ([]byte, error) { return nil, nil }) }, ok, 0, []string{"check the provisioner's password"}},
		{"no password", func(o *Options) { o.Password = secret.Secret{} }, ok, 0, []string{"no password is configured, and there is no one-time token"}},
		{"unreadable password", func(o *Options) { o.Password = secret.Func(func() ([]byte, error) { return nil, os.ErrPermission }) }, ok, 0, []string{"read the password: permission denied"}},
		{"provisioner", func(o *Options) { o.Provisioner = "rediss" }, ok, 0, []string{`the CA has no "rediss": name one of its provisioners of type JWK: "redis"`}},
		{"provisioner of another type", func(o *Options) { o.Provisioner = "acme" }, ok, 0, []string{`"acme" is of type ACME, not JWK: name one of its provisioners of type JWK: "redis"`}},
		{"name against the policy", func(*Options) {}, ca.Request{Names: []string{"bad.example.com"}}, 403,
			[]string{"sign: " + real.URL + " answers 403", `"bad.example.com" not allowed`, "ask the CA's administrator to allow the name"}},
		{"lifetime", func(o *Options) { o.Lifetime = 1000 * time.Hour }, ok, 403,
			[]string{"more than the authorized maximum", "ask for a lifetime that the provisioner allows"}},
		{"no names", func(*Options) {}, ca.Request{Names: []string{}}, 0, []string{"no names are configured"}},
		{"plain URL", func(o *Options) { o.URL = "http://127.0.0.1" }, ok, 0, []string{"is not encrypted"}},
		{"URL with a password", func(o *Options) { o.URL = "https://a:geheim@127.0.0.1:1" }, ok, 0, []string{"has a user or password in it"}},
		{"URL with a path", func(o *Options) { o.URL = real.URL + "/ca" }, ok, 0, []string{"write " + real.URL}},
		{"key type", func(*Options) {}, ca.Request{Names: ok.Names, KeyType: "ec-p999"}, 0, []string{`unknown key type "ec-p999"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := real.options()
			tt.change(&o)
			e := refused(t, New(o), tt.request)
			if e.Status != tt.status {
				t.Errorf("status %d, want %d", e.Status, tt.status)
			}
			says(t, e, tt.says...)
			if strings.Contains(e.Error(), "geheim") {
				t.Errorf("a password shows: %v", e)
			}
		})
	}
	if e := refused(t, New(func() Options { o := real.options(); o.Provisioner = "nobody"; return o }()), ok); strings.Contains(e.Error(), "password") {
		t.Errorf("a wrong name is told as a wrong password: %v", e)
	}
}

// The CA's own request id leads to its log.
func TestRequestID(t *testing.T) {
	real := startCA(t, nil)
	o := real.options()
	o.Lifetime = 1000 * time.Hour
	e := refused(t, New(o), ca.Request{})
	if e.RequestID == "" {
		t.Errorf("no request id: %v", e)
	}
	says(t, e, "(request "+e.RequestID+")")
}

// The CA sends another root than the pinned one.
func TestForgedRoot(t *testing.T) {
	f := newFront(t, nil, nil, nil)
	o := f.options(nil)
	o.Fingerprint = strings.Repeat("ab", 32)
	e := refused(t, New(o), ca.Request{})
	says(t, e, "not the pinned abab", "find out what answers")
	if f.count("/roots")+f.count("/provisioners") != 0 {
		t.Error("the client went on")
	}
}

// A CA that cannot answer now ends the attempt at once, whatever was asked.
func TestUnavailableEndsTheAttempt(t *testing.T) {
	real := startCA(t, nil)
	first := pair(t, issue(t, New(real.options()), ca.Request{}))
	for _, status := range []int{408, 429, 500, 502, 503} {
		for _, path := range []string{"/1.0/rekey", "/1.0/renew", "/1.0/sign", "/roots"} {
			f := newFront(t, real, func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != path {
					return false
				}
				w.Header().Set("Retry-After", "17")
				reply(w, status, map[string]any{"status": status, "message": "not\nnow"})
				return true
			}, nil)
			r := ca.Request{Current: first, ReuseKey: path == "/1.0/renew", Fresh: path == "/1.0/sign"}
			e := refused(t, New(f.options(real)), r)
			if e.Status != status || e.RetryAfter() != 17*time.Second || e.Message != "not now" {
				t.Errorf("%s %d: got %d, wait %s, %q", path, status, e.Status, e.RetryAfter(), e.Message)
			}
			if n := f.count(path); n != 1 {
				t.Errorf("%s %d: asked %d times, want once", path, status, n)
			}
			if f.count("/1.0/sign") > 0 && path != "/1.0/sign" {
				t.Errorf("%s %d: went on to sign", path, status)
			}
			f.tokens(t)
		}
	}
}

// A refusal leads on, and what was refused is told when nothing helps.
func TestRefusalLeadsOn(t *testing.T) {
	real := startCA(t, nil)
	first := pair(t, issue(t, New(real.options()), ca.Request{}))
	for _, status := range []int{400, 401, 403, 404, 409} {
		f := newFront(t, real, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet {
				return false
			}
			reply(w, status, map[string]any{"message": "no, " + r.URL.Path})
			return true
		}, nil)
		e := refused(t, New(f.options(real)), ca.Request{Current: first})
		says(t, e, fmt.Sprintf("answers %d: no, /1.0/sign", status), fmt.Sprintf("before that rekey: %d", status))
		e = refused(t, New(f.options(real)), ca.Request{Current: first, Now: first.Leaf().NotAfter.Add(time.Hour)})
		says(t, e, "before that renew by token: "+fmt.Sprint(status))
		if f.count("/1.0/sign") != 2 || f.tokens(t) != 3 {
			t.Errorf("%d: asked to sign %d times with %d tokens", status, f.count("/1.0/sign"), f.tokens(t))
		}
	}
}

// The CA looks at the client certificate and ends the connection.
func TestHangUpLeadsOn(t *testing.T) {
	real := startCA(t, nil)
	first := pair(t, issue(t, New(real.options()), ca.Request{}))
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		f := newFront(t, real, nil, func(c *tls.Config) {
			c.ClientAuth = tls.RequestClientCert
			c.MaxVersion = version
			c.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
				if len(raw) > 0 {
					return errors.New("expired")
				}
				return nil
			}
		})
		got := issue(t, New(f.options(real)), ca.Request{Current: first})
		if got.Method == MethodRekey {
			t.Errorf("%s: issued by %s", name, got.Method)
		}
		f.tokens(t)
	}
}

// The CA closes the connection without a word. When it has seen a client
// certificate this may be its refusal; without one it is trouble.
func TestEndOfFile(t *testing.T) {
	real := startCA(t, nil)
	first := pair(t, issue(t, New(real.options()), ca.Request{}))
	f := newFront(t, real, func(_ http.ResponseWriter, r *http.Request) bool {
		if len(r.TLS.PeerCertificates) > 0 {
			panic(http.ErrAbortHandler)
		}
		return false
	}, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert })
	good(t, issue(t, New(f.options(real)), ca.Request{Current: first}), MethodRenewToken, names, cert.P256)

	f = newFront(t, real, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost || r.URL.Path == "/roots" {
			panic(http.ErrAbortHandler)
		}
		return false
	}, nil)
	late := first.Leaf().NotAfter.Add(time.Hour)
	e := refused(t, New(f.options(real)), ca.Request{Current: first, Now: late})
	says(t, e, "EOF", "check that the CA runs")
	if n := f.count("/provisioners") + f.count("/1.0/sign"); n != 0 {
		t.Errorf("went on to the next way to ask after %v", e)
	}
}

// A CA in trouble is not asked further, even where the pinned root is not
// needed to go on.
func TestTroubleAtBootstrap(t *testing.T) {
	real := startCA(t, nil)
	for status, goesOn := range map[int]bool{404: true, 503: false, 429: false} {
		f := newFront(t, real, func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/root/") {
				return false
			}
			reply(w, status, map[string]string{"message": "no"})
			return true
		}, nil)
		o := f.options(real)
		o.Fingerprint, o.Roots = strings.Repeat("ab", 32), []*x509.Certificate{f.root}
		if goesOn {
			issue(t, New(o), ca.Request{})
			continue
		}
		if e := refused(t, New(o), ca.Request{}); e.Op != opBootstrap || e.Status != status {
			t.Errorf("%d: %v", status, e)
		}
	}
}

// A redirect is not followed, wherever it leads.
func TestRedirect(t *testing.T) {
	real := startCA(t, nil)
	for _, path := range []string{"/roots", "/1.0/sign"} {
		f := newFront(t, real, func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}, nil)
		says(t, refused(t, New(f.options(real)), ca.Request{}), "answers 307", "leads elsewhere ("+path+")")
		if f.count(path) != 1 {
			t.Errorf("%s: asked %d times, want once", path, f.count(path))
		}
	}
}

// A CA, or what stands before it, that repeats what it was sent.
func TestSecretsStaySecret(t *testing.T) {
	real := startCA(t, nil)
	for _, wrap := range []string{"%s", `{"message":"bad token %s"}`} {
		f := newFront(t, real, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet {
				return false
			}
			body, _ := io.ReadAll(r.Body)
			token := r.Header.Get("Authorization")
			if i := strings.Index(string(body), "eyJ"); i >= 0 {
				token, _, _ = strings.Cut(string(body[i:]), `"`)
			}
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, wrap, token)
			return true
		}, nil)
		says(t, refused(t, New(f.options(real)), ca.Request{}), "[token]")
	}
}

// A wrong clock is the commonest reason of a 401, and the answer's Date tells.
func TestClockSkew(t *testing.T) {
	real := startCA(t, nil)
	for ahead, want := range map[time.Duration]string{
		2 * time.Hour:    "clock is 2h0m",
		-3 * time.Hour:   "behind the CA's: set it",
		10 * time.Second: "compare this host's clock",
	} {
		f := newFront(t, real, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet {
				return false
			}
			w.Header().Set("Date", time.Now().Add(-ahead).UTC().Format(http.TimeFormat))
			reply(w, http.StatusUnauthorized, map[string]string{"message": "no"})
			return true
		}, nil)
		says(t, refused(t, New(f.options(real)), ca.Request{}), want)
	}
}
