package main

import (
	"context"
	"os"
	"sync"
	"testing"

	"redis-cert-agent/agent/control"
	"redis-cert-agent/reload/redistest"
)

// TestRenewBesideReload asks for renewals while one configuration follows the
// other. Every question is answered, and no renewal falls between two agents.
func TestRenewBesideReload(t *testing.T) {
	t.Parallel()
	s := newPlainHost(t, "concurrent.internal")
	s.must(s.startAgent(nil, "run", "--config", "agent.yaml"))
	s.must(s.until("a pair", func() bool { return s.pairOnDisk() == nil }))
	files := redistest.Files{Cert: s.path("pair/current/redis.crt"), Key: s.path("pair/current/redis.key"), CA: s.path("pair/current/ca.crt")}
	s.redis = redistest.Start(t, redistest.Options{Addr: s.addr, Password: secret, Files: files})

	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	control := control.Dial(s.path("control.sock"))
	const times = 15
	var asking sync.WaitGroup
	asking.Go(func() {
		for range times {
			if err := control.Reload(ctx); err != nil {
				t.Errorf("reload: %v", err)
			}
		}
	})
	for range 2 {
		asking.Go(func() {
			for range times {
				if _, err := control.Renew(ctx, false); err != nil {
					t.Errorf("renew: %v", err)
				}
			}
		})
	}
	asking.Wait()
	if n := s.ca.count(s.name); n != 1 {
		t.Errorf("%d certificates were issued, want 1", n)
	}
}

// newPlainHost is the host of a test that is no script, with the usual
// configuration in agent.yaml.
func newPlainHost(t *testing.T, name string) *host {
	t.Helper()
	return newPlainHostAt(t, name, reserve(t))
}

func newPlainHostAt(t *testing.T, name, addr string) *host {
	t.Helper()
	ca, err := sharedCA()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "host") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := newHost(t, dir, name, ca)
	s.addr = addr
	values := map[string]string{"CA_URL": "https://" + s.caRelay.Addr, "CA_PIN": ca.Fingerprint, "NAME": name, "REDIS": s.addr, "WORK": dir}
	s.must(s.writeSecrets())
	s.must(os.WriteFile(s.path("agent.yaml"), []byte(os.Expand(usualConfig, func(k string) string { return values[k] })), 0o600))
	return s
}
