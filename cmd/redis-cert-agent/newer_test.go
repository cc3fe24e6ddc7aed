//go:build newer

package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"redis-cert-agent/agent/control"
	"redis-cert-agent/reload/redistest"
)

// The tests of this file need Redis 8.6 or Valkey 9.0, which `make newer` builds: a server
// that logs a client in by the name in its certificate.

// loginHost is an agent without a password, beside a server that has one user. Where that is
// not the name of the host, the agent presents a client's pair of that name.
func loginHost(t *testing.T, name, user string) *host {
	t.Helper()
	s := newPlainHost(t, name)
	text, err := os.ReadFile(s.path("agent.yaml"))
	s.must(err)
	config := strings.Replace(string(text), "    password_file: "+s.path("redis-password")+"\n", "", 1)
	if user != name {
		own := s.path("pair/pairs/login/current/redis")
		config = strings.Replace(config, "  - address: "+s.addr, "  - {address: "+s.addr+", client_cert: "+own+".crt, client_key: "+own+".key}", 1) +
			"pairs: [{name: login, names: [" + user + "]}]\n"
	}
	s.must(os.WriteFile(s.path("agent.yaml"), []byte(config), 0o600))
	s.must(s.startAgent(nil, "run", "--config", "agent.yaml"))
	s.must(s.until("a pair", func() bool { return s.pairOnDisk() == nil }))
	files := redistest.Files{Cert: s.path("pair/current/redis.crt"), Key: s.path("pair/current/redis.key"), CA: s.path("pair/current/ca.crt")}
	s.redis = redistest.Start(t, redistest.Options{Addr: s.addr, Files: files, AuthClients: "yes",
		ACL: []string{"default off", user + " on +config|get +config|set +info +ping"}, Conf: []string{"tls-auth-clients-user CN"}})
	return s
}

// rotated has the agent rotate, and sees that redis shows what came of it.
func (s *host) rotated() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), waitLimit)
	defer cancel()
	_, err := control.Dial(s.path("control.sock")).Renew(ctx, true)
	s.must(err)
	want, err := readLeaf(s.path("pair/current/redis.crt"))
	s.must(err)
	chain, err := s.look()
	s.must(err)
	if !chain[0].Equal(want) {
		s.t.Error("redis does not show the pair on disk")
	}
}

// TestLoginByCertificate rotates without any password of redis: by the name in the server's
// own certificate, and by that in the certificate of one of the agent's clients' pairs.
func TestLoginByCertificate(t *testing.T) {
	t.Parallel()
	for host, user := range map[string]string{"login-own.internal": "login-own.internal", "login-other.internal": "login-client.internal"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			s := loginHost(t, host, user)
			for range 3 {
				s.rotated()
			}
			s.loggedInBy(user)
		})
	}
}

// loggedInBy sees, by clients of its own, that the certificate alone opens redis, and
// another's does not.
func (s *host) loggedInBy(user string) {
	s.t.Helper()
	for name, in := range map[string]bool{user: true, "stranger.internal": false} {
		conf := linkTLS(s.t)
		own := s.ca.intermediate.Issue(s.t, redistest.Leaf{Names: []string{name}}).TLS()
		own.Certificate = append(own.Certificate, s.ca.intermediate.Cert.Raw)
		conf.Certificates[0] = *own
		c := redis.NewClient(&redis.Options{Addr: s.addr, TLSConfig: conf, Protocol: 2, DisableIdentity: true, MaxRetries: -1})
		err := c.Ping(s.t.Context()).Err()
		c.Close()
		if in && err != nil || !in && (err == nil || !strings.HasPrefix(err.Error(), "NOAUTH")) {
			s.t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLoginByAnotherName: a certificate whose name is no user of redis would lock the agent
// out. It is taken back over the session that loaded it, and the agent still gets in.
func TestLoginByAnotherName(t *testing.T) {
	t.Parallel()
	const user = "login-first.internal"
	s := loginHost(t, user, user)
	s.rotated()
	before, err := s.look()
	s.must(err)
	text, err := os.ReadFile(s.path("agent.yaml"))
	s.must(err)
	s.must(os.WriteFile(s.path("agent.yaml"), []byte(strings.Replace(string(text), "names: ["+user, "names: [login-second.internal, "+user, 1)), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	ask := control.Dial(s.path("control.sock"))
	s.must(ask.Reload(ctx))
	if _, err = ask.Renew(ctx, false); err == nil {
		err = errors.New("no error")
	}
	if !strings.Contains(err.Error(), "log in to "+s.addr+" with the new certificate") {
		t.Errorf("another common name: %v", err)
	}
	after, err := s.look()
	s.must(err)
	if !after[0].Equal(before[0]) {
		t.Errorf("redis shows the certificate that locks the agent out, of %s", after[0].Subject)
	}
	s.must(os.WriteFile(s.path("agent.yaml"), text, 0o600))
	s.must(ask.Reload(ctx))
	s.rotated()
}
