package acme

import (
	"testing"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

func TestHTTP01Pebble(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	names := []string{"redis1.internal", "redis2.internal", p.Host}
	c := New(p.options(t))
	good(t, issue(t, c, ca.Request{Names: names}), names, cert.P256)
	closed(t, p.Listen(p.HTTPPort))
}

func TestHTTP01StepCA(t *testing.T) {
	t.Parallel()
	s := useStepCA(t)
	host := s.claim(t, "h1.internal", "h2.internal")
	names := []string{"h1.internal", "h2.internal", host}
	c := New(s.options(t, HTTP01{Listen: at(host, s.httpPort)}))
	good(t, issue(t, c, ca.Request{Names: names}), names, cert.P256)
	closed(t, at(host, s.httpPort))
}

func TestALPN01(t *testing.T) {
	t.Parallel()
	t.Run("pebble", func(t *testing.T) {
		p := startPebble(t, shape{})
		names := []string{"redis1.internal", "redis2.internal", p.Host}
		o := p.options(t)
		o.Challenge = TLSALPN01{Listen: p.Listen(p.TLSPort)}
		good(t, issue(t, New(o), ca.Request{Names: names}), names, cert.P256)
		closed(t, p.Listen(p.TLSPort))
	})
	t.Run("step-ca", func(t *testing.T) {
		s := useStepCA(t)
		host := s.claim(t, "a1.internal", "a2.internal")
		names := []string{"a1.internal", "a2.internal", host}
		c := New(s.options(t, TLSALPN01{Listen: at(host, s.tlsPort)}))
		good(t, issue(t, c, ca.Request{Names: names}), names, cert.P256)
	})
}
