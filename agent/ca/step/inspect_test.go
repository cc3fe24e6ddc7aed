package step

import (
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"
)

func fixed(text string) secret.Secret {
	return secret.Func(func() ([]byte, error) { return []byte(text), nil })
}

// A look at a real step-ca finds what the next request for a certificate would meet, also
// where the renewals until then would succeed; and it issues nothing.
func TestInspect(t *testing.T) {
	real := startCA(t, nil)
	named := []*x509.Certificate{real.RootCertificate}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := ln.Addr().String()
	ln.Close()
	for _, tt := range []struct {
		name   string
		change func(*Options)
		absent bool
		want   string // "" all is well
	}{
		{"all is well", func(*Options) {}, false, ""},
		{"the password", func(o *Options) { o.Password = fixed("wrong") }, false, "check the provisioner's password"},
		{"an empty password", func(o *Options) { o.Password = fixed("") }, false, "check the provisioner's password"},
		{"no such provisioner", func(o *Options) { o.Provisioner = "nobody" }, false, `the CA has no "nobody"`},
		{"the fingerprint", func(o *Options) { o.Fingerprint = strings.Repeat("ab", 32) }, false, "compare the configured fingerprint"},
		{"nobody listens", func(o *Options) { o.URL = "https://" + silent }, true, "check that the CA runs"},
	} {
		o := real.options()
		tt.change(&o)
		_, err := New(o).Inspect(t.Context(), named)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		var e *ca.Error
		if !errors.As(err, &e) || e.Absent() != tt.absent || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q, absent %t", tt.name, err, tt.want, tt.absent)
		}
	}
}

// A client that has asked before looks as if it had not: the root that it fetched and the
// key that it decrypted may be out of force.
func TestInspectIsFresh(t *testing.T) {
	real := startCA(t, nil)
	o := real.options()
	password, err := o.Password.Read()
	if err != nil {
		t.Fatal(err)
	}
	o.Password = secret.Func(func() ([]byte, error) { return password, nil })
	c := New(o)
	issue(t, c, ca.Request{})
	password = []byte("another")
	if _, err := c.Inspect(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "check the provisioner's password") {
		t.Errorf("after the password changed: %v", err)
	}
}

// What another answers in the place of the CA is told apart: one that is in trouble says
// nothing of the configuration, one that is not the CA does. Its Date tells of the clocks.
func TestInspectAnswers(t *testing.T) {
	real := startCA(t, nil)
	for name, tt := range map[string]struct {
		status      int
		date        time.Duration
		stranger    bool
		bad, absent bool
	}{
		"well":                  {date: 0},
		"ahead":                 {date: -5 * time.Hour},
		"behind":                {date: 48 * time.Hour},
		"busy":                  {status: 503, bad: true, absent: true},
		"busy, and a clock":     {status: 503, date: 48 * time.Hour, bad: true, absent: true},
		"too many":              {status: 429, bad: true, absent: true},
		"forbidden":             {status: 403, bad: true},
		"a stranger's own root": {stranger: true, bad: true},
	} {
		f := newFront(t, real, func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Date", time.Now().Add(tt.date).UTC().Format(http.TimeFormat))
			if tt.status != 0 {
				reply(w, tt.status, map[string]string{"message": "no"})
			}
			if tt.stranger && strings.HasPrefix(r.URL.Path, "/root/") {
				reply(w, http.StatusOK, map[string]string{"ca": pemOf(real.RootCertificate)})
				return true
			}
			return tt.status != 0
		}, nil)
		o := f.options(real)
		if tt.stranger {
			o.Fingerprint = cert.FingerprintOf(real.RootCertificate).String()
		}
		ahead, err := New(o).Inspect(t.Context(), nil)
		var e *ca.Error
		if (err != nil) != tt.bad || tt.bad && (!errors.As(err, &e) || e.Absent() != tt.absent) {
			t.Errorf("%s: %v", name, err)
		}
		// The proxy of the front adds the date of the CA behind it as well.
		if tt.status != 0 && (ahead+tt.date).Abs() > time.Minute {
			t.Errorf("%s: %s ahead, want %s", name, ahead, -tt.date)
		}
	}
}
