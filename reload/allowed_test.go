package reload_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

// checked is a pair as the agent has it.
func checked(t *testing.T, p *redistest.Pair) *cert.Pair {
	t.Helper()
	c, err := cert.New(p.Chain, p.Key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// clients asks openssl, which knows nothing of this program, which versions of TLS a
// client can speak with the server.
func clients(t *testing.T, addr string) (works map[uint16]bool) {
	t.Helper()
	works = map[uint16]bool{}
	for version, flag := range map[uint16]string{tls.VersionTLS12: "-tls1_2", tls.VersionTLS13: "-tls1_3"} {
		cmd := exec.Command("openssl", "s_client", "-connect", addr, flag, "-brief")
		works[version] = cmd.Run() == nil
		if cmd.ProcessState == nil {
			t.Fatal("openssl does not run")
		}
	}
	return works
}

// What is said of a pair before it is loaded is what openssl's clients meet afterwards,
// on a real redis-server: for keys of each kind and what redis.conf may allow.
func TestTryIsWhatClientsMeet(t *testing.T) {
	ca := redistest.NewRoot(t)
	pairs := map[string]*redistest.Pair{}
	for _, kind := range []string{"ec", "rsa", "ed25519"} {
		pairs[kind] = ca.Issue(t, redistest.Leaf{Key: kind})
	}
	for _, a := range []reload.Allowed{
		{},
		{Protocols: "TLSv1.2"},
		{Protocols: "TLSv1.3"},
		{Protocols: "tlsv1.2 TLSV1.3"},
		{Protocols: "TLSv1.2", Ciphers: "ECDHE-RSA-AES128-GCM-SHA256"},
		{Protocols: "TLSv1.2", Ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"},
		{Ciphers: "ECDHE-RSA-AES256-GCM-SHA384"},
		{Ciphers: "HIGH:!aRSA:!aNULL"},
		{Protocols: "TLSv1.2", Ciphers: "kRSA+AESGCM"},
		{Protocols: "TLSv1.2", Ciphers: "AES256-GCM-SHA384"},
		{Protocols: "TLSv1.2", Ciphers: "ECDHE-RSA-AES128-SHA256:AES128-SHA256"},
		{Protocols: "TLSv1.2", Ciphers: "DEFAULT:!ECDSA"},
		{Protocols: "TLSv1.2", Ciphers: "DEFAULT:!MEDIUM"},
		{Protocols: "TLSv1.3", Ciphersuites: "TLS_CHACHA20_POLY1305_SHA256", Ciphers: "ECDHE-RSA-AES128-SHA"},
	} {
		t.Run(fmt.Sprintf("%s %s %s", a.Protocols, a.Ciphers, a.Ciphersuites), func(t *testing.T) {
			var conf []string
			for name, value := range map[string]string{"tls-protocols": a.Protocols, "tls-ciphers": a.Ciphers, "tls-ciphersuites": a.Ciphersuites} {
				if value != "" {
					conf = append(conf, fmt.Sprintf("%s %q", name, value))
				}
			}
			h := start(t, redistest.Options{Socket: true, Conf: conf}, pairs["rsa"], ca)
			h.server.Control = "unix:" + h.redis.Socket
			for name, pair := range pairs {
				pair.Overwrite(t, h.redis.Files)
				if err := reloaded(reload.New(h.server), t.Context(), h.trust); err != nil {
					t.Fatal(err)
				}
				works := clients(t, h.redis.Addr)
				all := works[tls.VersionTLS12] || works[tls.VersionTLS13]
				err := a.Try(t.Context(), checked(t, pair), nil)
				if (err == nil) != all {
					t.Errorf("%s: clients %v, and before it was loaded: %v", name, works, err)
				}
				if err != nil {
					fails(t, err, reload.ErrUnfit, "redis.conf")
					fails(t, err, reload.ErrRefused)
				}
				// What this program proves is what openssl's clients can do.
				if err := reload.New(h.server).Prove(t.Context(), h.trust, pair.Leaf()); (err == nil) != all {
					t.Errorf("%s: clients %v, and the proof: %v", name, works, err)
				}
			}
		})
	}
}

// A pair with which clients of one version would be lost is not loaded as long as there is
// one that serves them.
func TestTryKeepsClients(t *testing.T) {
	ca := redistest.NewRoot(t)
	rsa, ec := ca.Issue(t, redistest.Leaf{Key: "rsa"}), ca.Issue(t, redistest.Leaf{})
	shared := map[*redistest.Pair]*reload.Trials{rsa: {}, ec: {}}
	for _, c := range []struct {
		name    string
		allowed reload.Allowed
		pair    *redistest.Pair
		shown   *x509.Certificate
		refused string
	}{
		{"TLS 1.2 is lost", reload.Allowed{Ciphers: "ECDHE-RSA-AES256-GCM-SHA384"}, ec, rsa.Leaf(), "TLS 1.2"},
		{"it was lost already", reload.Allowed{Ciphers: "ECDHE-RSA-AES256-GCM-SHA384"}, ec, ec.Leaf(), ""},
		{"the one there is about to end", reload.Allowed{Ciphers: "ECDHE-RSA-AES256-GCM-SHA384"}, ec, nil, ""},
		{"nothing is lost", reload.Allowed{Ciphers: "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384"}, ec, rsa.Leaf(), ""},
		{"all are lost", reload.Allowed{Protocols: "TLSv1.2", Ciphers: "aECDSA"}, rsa, ec.Leaf(), "TLS 1.2"},
		{"a cipher that is not known here", reload.Allowed{Protocols: "TLSv1.2", Ciphers: "aECDSA:ECDHE-MLDSA-AES128-GCM-SHA256"}, rsa, ec.Leaf(), ""},
		{"old versions alone", reload.Allowed{Protocols: "TLSv1 TLSv1.1"}, ec, ec.Leaf(), "tls-protocols"},
		{"what only OpenSSL has", reload.Allowed{Protocols: "TLSv1.2", Ciphers: "DHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-SHA384"}, rsa, rsa.Leaf(), ""},
		{"what only OpenSSL has, and TLS 1.3", reload.Allowed{Ciphers: "DHE-RSA-AES256-GCM-SHA384"}, rsa, rsa.Leaf(), ""},
		{"CCM alone, and TLS 1.2", reload.Allowed{Ciphersuites: "TLS_AES_128_CCM_SHA256"}, rsa, rsa.Leaf(), ""},
		{"CCM alone", reload.Allowed{Protocols: "TLSv1.3", Ciphersuites: "TLS_AES_128_CCM_SHA256"}, rsa, rsa.Leaf(), "could not prove it"},
	} {
		// Servers that allow other things, or show another kind of key, are not confused.
		for _, trials := range []*reload.Trials{nil, shared[c.pair], shared[c.pair]} {
			err := trials.Try(t.Context(), c.allowed, checked(t, c.pair), c.shown)
			if c.refused == "" && err != nil || c.refused != "" && (!errors.Is(err, reload.ErrUnfit) || !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (reload.Allowed{}).Try(ctx, checked(t, ec), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped halfway: %v", err)
	}
}

// A key that this program cannot read does not keep it from judging what the ciphers say.
func TestTryWithoutAKey(t *testing.T) {
	ec := checked(t, redistest.NewRoot(t).Issue(t, redistest.Leaf{}))
	ec.Key = nil
	rsaOnly := reload.Allowed{Protocols: "TLSv1.2", Ciphers: "ECDHE-RSA-AES256-GCM-SHA384"}
	fails(t, rsaOnly.Try(t.Context(), ec, nil), reload.ErrUnfit, "key.type: rsa-2048")
	if err := (reload.Allowed{}).Try(t.Context(), ec, nil); err != nil {
		t.Error(err)
	}
}

// Nothing is switched, and redis is told nothing, where the pair could not be served.
func TestReloadAsksFirst(t *testing.T) {
	h := start(t, redistest.Options{Socket: true, Conf: []string{"tls-protocols TLSv1.2", "tls-ciphers ECDHE-RSA-AES128-GCM-SHA256"}},
		nil, nil)
	rsa := h.ca.Issue(t, redistest.Leaf{Key: "rsa"})
	rsa.Overwrite(t, h.redis.Files)
	h.server.Control = "unix:" + h.redis.Socket
	if err := reloaded(reload.New(h.server), t.Context(), h.trust); err != nil {
		t.Fatal(err)
	}
	h.server.Control = ""
	proxy := redistest.StartProxy(t, redistest.ProxyOptions{Upstream: "unix:" + h.redis.Socket, Unix: true})
	for _, control := range []string{"", "unix:" + h.redis.Socket, "unix:" + proxy.Socket} {
		h.server.Control = control
		r := reload.New(h.server)
		load := func(p *redistest.Pair) (ready bool, err error) {
			reloaded, err := r.Reload(t.Context(), h.trust, reload.Load{Pair: checked(t, p), Shown: rsa.Leaf(), Ready: func(reload.Settings) error {
				ready = true
				p.Overwrite(t, h.redis.Files)
				return nil
			}})
			reloaded.Close()
			return ready, err
		}
		ready, err := load(h.ca.Issue(t, redistest.Leaf{}))
		fails(t, err, reload.ErrUnfit, "tls-ciphers", "key.type: rsa-2048")
		if ready {
			t.Error("the files were switched")
		}
		next := h.ca.Issue(t, redistest.Leaf{Key: "rsa"})
		if ready, err := load(next); err != nil || !ready {
			t.Errorf("a pair that it can serve: %v, %v", ready, err)
		}
		if err := r.Prove(t.Context(), h.trust, next.Leaf()); err != nil {
			t.Error(err)
		}
		broken := errors.New("the disk is full")
		if _, err := r.Reload(t.Context(), h.trust, reload.Load{Pair: checked(t, next), Ready: func(reload.Settings) error { return broken }}); !errors.Is(err, broken) {
			t.Errorf("files that could not be switched: %v", err)
		}
	}
	// One question a parameter: a pattern would show the passphrase of the key.
	sets := 0
	for _, command := range proxy.Commands() {
		switch {
		case len(command) > 2 && strings.EqualFold(command[1], "get") && (len(command) != 3 || strings.ContainsAny(command[2], "*?[") || command[2] == "tls-key-file-pass"):
			t.Errorf("asked %q", command)
		case len(command) > 2 && strings.EqualFold(command[1], "set"):
			sets++
		}
	}
	if sets != 1 {
		t.Errorf("%d CONFIG SETs, want that of the pair that it can serve", sets)
	}
}

// A chain that is larger than any client takes is loaded by redis with OK, and known
// before that by the handshake in memory.
func TestTrySize(t *testing.T) {
	ca := redistest.NewRoot(t)
	names := []string{"localhost"}
	for i := range 9000 {
		names = append(names, fmt.Sprintf("a-long-name-of-a-host-%d.internal", i))
	}
	pair := ca.Issue(t, redistest.Leaf{Names: names})
	err := reload.Allowed{}.Try(t.Context(), checked(t, pair), nil)
	fails(t, err, reload.ErrUnfit, "TLS 1.2", "TLS 1.3")
	h := start(t, redistest.Options{}, pair, ca)
	if works := clients(t, h.redis.Addr); works[tls.VersionTLS12] || works[tls.VersionTLS13] {
		t.Errorf("clients %v", works)
	}
}
