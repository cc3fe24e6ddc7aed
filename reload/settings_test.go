package reload_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

func TestSettings(t *testing.T) {
	h := start(t, redistest.Options{Socket: true}, nil, nil)
	// The proxy hears what is asked: a wildcard would show tls-key-file-pass.
	proxy := redistest.StartProxy(t, redistest.ProxyOptions{Unix: true, Upstream: "unix:" + h.redis.Socket})
	h.server.Control = "unix:" + proxy.Socket
	got, err := reload.New(h.server).Settings(t.Context(), h.trust)
	if err != nil {
		t.Fatal(err)
	}
	want := reload.Settings{Version: got.Version, Cert: h.redis.Files.Cert, Key: h.redis.Files.Key, CA: h.redis.Files.CA}
	if got != want || !strings.Contains(got.Version, ".") {
		t.Errorf("settings %+v, want %+v", got, want)
	}
	for _, c := range proxy.Commands() {
		if line := strings.ToLower(strings.Join(c, " ")); strings.ContainsAny(line, "*?[") || len(c) > 3 {
			t.Errorf("it asks for more than one parameter: %q", line)
		}
	}
}

// Redis resolves relative paths against its dir, and reports them as they are.
func TestSettingsOfRelativePaths(t *testing.T) {
	dir, ca := t.TempDir(), redistest.NewRoot(t)
	files := ca.Issue(t, redistest.Leaf{}).Write(t, dir)
	s := redistest.Start(t, redistest.Options{
		Files: redistest.Files{Cert: "redis.crt", Key: files.Key, CA: "./ca.crt"},
		Conf:  []string{"dir " + dir},
	})
	r, trust := reload.New(reload.Server{Address: s.Addr, Name: "localhost"}), reload.Trust{Roots: ca.Roots()}
	got, err := r.Settings(t.Context(), trust)
	if err != nil || got.Cert != files.Cert || got.CA != files.CA || got.Key != files.Key {
		t.Errorf("settings %+v, %v; want the files of %+v", got, err, files)
	}
	pair := ca.Issue(t, redistest.Leaf{})
	pair.Overwrite(t, files)
	if err := reloaded(r, t.Context(), trust); err != nil {
		t.Fatal(err)
	}
	if err := r.Prove(t.Context(), trust, pair.Leaf()); err != nil {
		t.Fatal(err)
	}
}

func TestClientAuth(t *testing.T) {
	h := start(t, redistest.Options{Socket: true}, nil, nil)
	h.trust.Client = h.ca.Issue(t, redistest.Leaf{}).TLS()
	admin := h.admin(t)
	unix := "unix:" + h.redis.Socket
	own := func() (*tls.Certificate, error) { return h.trust.Client, nil }
	cert, key := h.redis.Files.Cert, h.redis.Files.Key
	for _, c := range []struct {
		auth, replication, cluster string
		clientCert, clientKey      string
		control                    string
		client                     func() (*tls.Certificate, error)
		want                       bool
	}{
		{"no", "no", "no", "", "", "", nil, false},
		{"yes", "no", "no", "", "", "", nil, true},
		{"optional", "no", "no", "", "", "", nil, true},
		{"yes", "no", "no", "", "", unix, nil, false},
		{"yes", "no", "no", "", "", "", own, false},
		{"no", "yes", "no", "", "", unix, nil, true},
		{"no", "no", "yes", "", "", unix, nil, true},
		{"no", "yes", "yes", cert, key, unix, nil, false},
		{"no", "yes", "yes", cert, "", unix, nil, true}, // without a key it is ignored
		{"yes", "yes", "yes", cert, key, "", nil, true},
	} {
		for _, set := range [][2]string{
			{"tls-auth-clients", c.auth}, {"tls-replication", c.replication}, {"tls-cluster", c.cluster},
			{"tls-client-key-file", c.clientKey}, {"tls-client-cert-file", c.clientCert},
		} {
			if err := admin.ConfigSet(t.Context(), set[0], set[1]).Err(); err != nil {
				t.Fatal(set, err)
			}
		}
		h.server.Control, h.server.Client = c.control, c.client
		got, err := reload.New(h.server).Settings(t.Context(), h.trust)
		if err != nil || got.ClientAuth != c.want {
			t.Errorf("%+v: client auth %v, %v", c, got.ClientAuth, err)
		}
	}
}

// What this version of redis does not know is empty; what a later one says is read, each
// by a question of its own.
func TestSettingsOfPeers(t *testing.T) {
	h := start(t, redistest.Options{Socket: true, AuthClients: "yes"}, nil, nil)
	h.server.Control = "unix:" + h.redis.Socket
	found, err := reload.New(h.server).Settings(t.Context(), h.trust)
	if err != nil || found.PeerName != "" || found.ClientUser != "" || found.CADir != "" {
		t.Errorf("%+v, %v", found, err)
	}
	later := redistest.StartProxy(t, redistest.ProxyOptions{Upstream: "unix:" + h.redis.Socket, Unix: true, Handle: func(command []string) (string, bool) {
		if len(command) != 3 || command[1] != "GET" {
			return "", false
		}
		value, ok := map[string]string{"tls-expected-peer-name": "peer.internal", "tls-auth-clients-user": "cn", "tls-ca-cert-dir": "cas", "dir": "/data"}[command[2]]
		return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(command[2]), command[2], len(value), value), ok
	}})
	h.server.Control = "unix:" + later.Socket
	found, err = reload.New(h.server).Settings(t.Context(), h.trust)
	if err != nil || found.PeerName != "peer.internal" || found.ClientUser != "CN" || found.CADir != "/data/cas" {
		t.Errorf("%+v, %v", found, err)
	}
}
