package step

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.step.sm/crypto/jose"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/secret"
)

// Answers of 200 that are not step-ca's, on every path, end the attempt.
func TestGarbage(t *testing.T) {
	real := startCA(t, nil)
	first := pair(t, issue(t, New(real.options()), ca.Request{}))
	root := pemOf(real.RootCertificate)
	bodies := map[string]string{
		"empty":             "",
		"html":              "<html><body>log in</body></html>",
		"half":              `{"crt":"-----BEGIN`,
		"null":              "null",
		"list":              "[]",
		"empty chain":       `{"crt":"","ca":null,"certChain":[],"crts":[]}`,
		"no PEM":            `{"crt":"x","certChain":["x"],"crts":["x"],"ca":"x"}`,
		"numbers":           `{"crt":1,"certChain":[1],"crts":[1],"ca":1,"provisioners":1}`,
		"a key, not a cert": `{"certChain":["-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"],"crts":["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]}`,
		"huge":              `{"x":"` + strings.Repeat("a", maxAnswer) + `"}`,
		"many":              mustJSON(t, map[string]any{"crts": strings.Split(strings.Repeat(root+"|", maxChain+1), "|"), "certChain": strings.Split(strings.Repeat(root+"|", maxChain+1), "|")}),
	}
	for _, path := range []string{"/root/", "/roots", "/provisioners", "/1.0/sign", "/1.0/rekey"} {
		for name, body := range bodies {
			f := newFront(t, real, func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, path) || path == "/root/" && r.URL.Path == "/roots" {
					return false
				}
				w.WriteHeader(http.StatusOK)
				fmt.Fprint(w, body)
				return true
			}, nil)
			e := refused(t, New(f.options(real)), ca.Request{Current: first, Fresh: path != "/1.0/rekey"})
			if n := f.count("/1.0/sign"); n > 1 || n == 1 && path != "/1.0/sign" {
				t.Errorf("%s %s: asked to sign after it", path, name)
			}
			if e.Op == "" || e.Message == "" {
				t.Errorf("%s %s: says nothing: %v", path, name, e)
			}
		}
	}
}

// An answer without end is cut off, long before the timeout.
func TestEndlessAnswer(t *testing.T) {
	real := startCA(t, nil)
	for _, path := range []string{"/root/", "/roots", "/1.0/sign"} {
		f := newFront(t, real, func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, path) || path == "/root/" && r.URL.Path == "/roots" {
				return false
			}
			_, err := fmt.Fprintf(w, `{"ca":%q,"crts":[%[1]q],"certChain":[%[1]q],"x":"`, pemOf(real.RootCertificate))
			for chunk := strings.Repeat("a", 64<<10); err == nil; {
				_, err = fmt.Fprint(w, chunk)
			}
			return true
		}, nil)
		says(t, refused(t, New(f.options(real)), ca.Request{}), "the answer is longer than 2 MiB")
	}
}

// Error bodies that are no JSON keep their status, and whatever they hold
// becomes one short line.
func TestRefusalText(t *testing.T) {
	tests := []struct{ body, want string }{
		{`{"status":403,"message":"no"}`, "no"},
		{`{"status":403}`, "Forbidden"},
		{"", "Forbidden"},
		{"<html>nginx</html>", "Forbidden"},
		{"upstream said\n\x1b[31mno\x00\u202e", "upstream said [31mno"},
		{strings.Repeat("ä", 5000), strings.Repeat("ä", ca.MaxMessage-1) + "…"},
		{"\xff\xfe", ""},
	}
	for _, tt := range tests {
		if got := ca.Clean(refusalText(http.StatusForbidden, []byte(tt.body)), ca.MaxMessage); got != tt.want {
			t.Errorf("%.40q: %q, want %q", tt.body, got, tt.want)
		}
	}
	real := startCA(t, nil)
	f := newFront(t, real, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/1.0/sign" {
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, "short and stout\n"+strings.Repeat("x", 1<<20))
			return true
		}
		return false
	}, nil)
	e := refused(t, New(f.options(real)), ca.Request{})
	if e.Status != http.StatusTeapot || !strings.HasPrefix(e.Message, "short and stout x") || len([]rune(e.Message)) > ca.MaxMessage {
		t.Errorf("%d %q", e.Status, e.Message)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		header string
		want   time.Duration
	}{
		{"", 0}, {"0", 0}, {"120", 2 * time.Minute}, {" 5 ", 5 * time.Second},
		{"-5", 0}, {"1.5", 0}, {"soon", 0},
		{"99999999999999999999999", 0}, {"9223372036854775807", plan.MaxAfter}, {"86401", plan.MaxAfter},
		{"Fri, 02 Jan 2026 03:05:05 GMT", time.Minute},
		{"Friday, 02-Jan-26 03:05:05 GMT", time.Minute},
		{"Fri, 02 Jan 2026 03:03:05 GMT", 0},
		{"Fri, 02 Jan 2099 03:03:05 GMT", plan.MaxAfter},
	}
	for _, tt := range tests {
		if got := plan.ParseRetryAfter(tt.header, now); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.header, got, tt.want)
		}
	}
}

// More than one page; several keys under one name, of which the password opens
// one; entries of types that nobody knows.
func TestProvisionerPages(t *testing.T) {
	one, two := sealed(t, "one", "key-one"), sealed(t, "two", "key-two")
	entry := func(kind, name, kid, key string) map[string]any {
		return map[string]any{"type": kind, "name": name, "key": map[string]string{"kid": kid}, "encryptedKey": key}
	}
	pages := map[string]any{
		"":    map[string]any{"provisioners": []any{entry("ACME", "redis", "", ""), entry("JWK", "other", "o", two), 7, map[string]any{"type": map[string]int{}}}, "nextCursor": "a&b"},
		"a&b": map[string]any{"provisioners": []any{entry("JWK", "redis", "key-one", one)}, "nextCursor": "c"},
		"c":   map[string]any{"provisioners": []any{entry("jwk", "redis", "key-two", two)}, "nextCursor": ""},
	}
	f := newFront(t, nil, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/provisioners" {
			return false
		}
		reply(w, http.StatusOK, pages[r.URL.Query().Get("cursor")])
		return true
	}, nil)
	o := f.options(nil)
	o.Password = secret.Func(func() ([]byte, error) { return []byte("two"), nil })
	if k := mustSigner(t, New(o)); k.keyID != "key-two" {
		t.Errorf("key %q, want key-two", k.keyID)
	}
	if n := f.count("/provisioners"); n != 3 {
		t.Errorf("%d pages, want 3", n)
	}
	o.Provisioner = "nobody"
	_, err := New(o).signerForTest()
	says(t, err, `provisioners of type JWK: "other", "redis"`)

	pages["c"] = map[string]any{"nextCursor": "a&b"}
	o.Provisioner = "redis"
	_, err = New(o).signerForTest()
	says(t, err, "has no end")
}

// A new key at the CA is decrypted anew, the same one is not.
func TestProvisionerKeyIsCached(t *testing.T) {
	key := sealed(t, "secret", "k1")
	f := newFront(t, nil, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/provisioners" {
			return false
		}
		reply(w, http.StatusOK, map[string]any{"provisioners": []any{map[string]any{"type": "JWK", "name": "redis", "encryptedKey": key}}})
		return true
	}, nil)
	asked := 0
	o := f.options(nil)
	o.Password = secret.Func(func() ([]byte, error) { asked++; return []byte("secret"), nil })
	c := New(o)
	for range 3 {
		if k := mustSigner(t, c); k.keyID != "k1" {
			t.Errorf("key %q", k.keyID)
		}
	}
	key = sealed(t, "secret", "k2")
	if k := mustSigner(t, c); k.keyID != "k2" || asked != 2 {
		t.Errorf("key %q after %d decryptions, want k2 after 2", k.keyID, asked)
	}
}

func TestUnseal(t *testing.T) {
	private, err := jose.GenerateJWK("EC", "P-256", "ES256", "sig", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	public := private.Public()
	for name, content := range map[string]any{
		"a public key":    public,
		"a symmetric key": map[string]string{"kty": "oct", "k": "AAAA"},
		"no JWK":          "hello",
	} {
		text, err := seal(content, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unseal(text, []byte("x")); err == nil || errors.Is(err, errPassword) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := unseal("x.y.z", []byte("x")); err == nil || errors.Is(err, errPassword) {
		t.Errorf("what is no JWE: %v", err)
	}
}

func sealed(t *testing.T, password, kid string) string {
	t.Helper()
	key, err := jose.GenerateJWK("EC", "P-256", "ES256", "sig", kid, 0)
	if err != nil {
		t.Fatal(err)
	}
	key.KeyID = kid
	text, err := seal(key, []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// signerForTest does what byProvisioner does before it signs.
func (c *Client) signerForTest() (signer, error) {
	tr, err := c.trust(context.Background(), nil)
	if err != nil {
		return signer{}, err
	}
	s := c.open(tr, &tls.Config{RootCAs: tr.pool})
	defer s.close()
	return s.signer(context.Background())
}

func mustSigner(t *testing.T, c *Client) signer {
	t.Helper()
	k, err := c.signerForTest()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func FuzzParseProvisioners(f *testing.F) {
	f.Add([]byte(`{"provisioners":[{"type":"JWK","name":"redis","key":{"kid":"a"},"encryptedKey":"a.b.c.d.e"},{"type":"ACME","name":"acme"}],"nextCursor":"x"}`))
	f.Add([]byte(`{"provisioners":[7,null,{"name":{}}],"nextCursor":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, _, err := parseProvisioners(data)
		if err != nil && len(list) > 0 {
			t.Error("a list beside an error")
		}
		found, err := candidates(list, "redis")
		if (err == nil) != (len(found) > 0) {
			t.Errorf("%d found, error %v", len(found), err)
		}
		for _, p := range found {
			if p.Name != "redis" || p.EncryptedKey == "" {
				t.Errorf("found %+v", p)
			}
		}
	})
}

func FuzzParseAnswers(f *testing.F) {
	f.Add([]byte(`{"crt":"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n","ca":null,"certChain":[""],"crts":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		check := func(list []*x509.Certificate, err error) {
			t.Helper()
			if err == nil && (len(list) == 0 || len(list) > maxChain || list[0] == nil) {
				t.Errorf("%d certificates without an error", len(list))
			}
			if err != nil && list != nil {
				t.Error("certificates beside an error")
			}
		}
		check(parseChain(data))
		check(parseRoots(data))
		if root, err := parseRoot(data); (root == nil) == (err == nil) {
			t.Errorf("root %v, error %v", root, err)
		}
	})
}

func FuzzRefusal(f *testing.F) {
	f.Add(403, []byte(`{"status":403,"message":"no\n"}`), "120")
	f.Add(502, []byte("<html>"), "Fri, 02 Jan 2026 03:05:05 GMT")
	f.Fuzz(func(t *testing.T, status int, body []byte, after string) {
		text := ca.Clean(refusalText(status, body), ca.MaxMessage)
		if strings.ContainsAny(text, "\n\r\t\x00\x1b") || len([]rune(text)) > ca.MaxMessage {
			t.Errorf("not a short line: %q", text)
		}
		if d := plan.ParseRetryAfter(after, time.Now()); d < 0 || d > plan.MaxAfter {
			t.Errorf("%q: %s", after, d)
		}
	})
}
