package reload_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

func TestReloadAndProve(t *testing.T) {
	h := start(t, redistest.Options{}, nil, nil)
	r := reload.New(h.server)
	old, err := r.Served(t.Context(), h.trust)
	if err != nil {
		t.Fatal(err)
	}
	pair := h.renew(t, redistest.Leaf{})
	fails(t, r.Prove(t.Context(), h.trust, pair.Leaf()), reload.ErrRefused,
		fmt.Sprintf("shows serial %x", old.Chain[0].SerialNumber.Bytes()), fmt.Sprintf("%x", pair.Leaf().SerialNumber.Bytes()))
	h.works(t, pair)
	if len(h.warnings) != 0 {
		t.Errorf("warned of a server that verifies: %q", h.warnings)
	}
}

// A server name is needed for a proof: without one a client would not verify.
func TestNamesComeFromTrust(t *testing.T) {
	h := start(t, redistest.Options{}, nil, nil)
	h.server.Name = ""
	h.trust.Names = []string{"localhost", "127.0.0.1"}
	h.works(t, h.renew(t, redistest.Leaf{}))
	h.trust.Names = []string{"localhost", "other.internal"}
	fails(t, reloaded(reload.New(h.server), t.Context(), h.trust), reload.ErrUnrecognised, "other.internal")
	h.trust.Names = nil
	fails(t, reloaded(reload.New(h.server), t.Context(), h.trust), reload.ErrUnrecognised, "no name")
}

func TestControlRoutes(t *testing.T) {
	h := start(t, redistest.Options{Plain: true, Socket: true, Password: "päss word"}, nil, nil)
	for _, control := range []string{"", "unix:" + h.redis.Socket, "plain:" + h.redis.PlainAddr} {
		h.server.Control = control
		h.works(t, h.renew(t, redistest.Leaf{}))
	}
	for control, want := range map[string]string{
		"unix:":                  "want unix:/path",
		"127.0.0.1:6379":         "want unix:/path",
		"plain:192.0.2.1:6379":   "loopback",
		"unix:/nowhere/it.sock":  "unixsocket",
		"plain:127.0.0.1:999999": "invalid port",
	} {
		h.server.Control = control
		if err := reloaded(reload.New(h.server), t.Context(), h.trust); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("control %q: error %v, want %q", control, err, want)
		}
	}
}

func TestMinimalUser(t *testing.T) {
	h := start(t, redistest.Options{Socket: true, ACL: []string{"agent on >pw +config|get +config|set +info +ping"}}, nil, nil)
	h.server.User, h.server.Password = "agent", says("pw")
	h.works(t, h.renew(t, redistest.Leaf{}))
	// Nothing that go-redis does of its own accord was denied and noted.
	admin := h.admin(t)
	entries, err := admin.Do(t.Context(), "ACL", "LOG").Slice()
	if err != nil || len(entries) != 0 {
		t.Errorf("ACL LOG: %v, %v; want nothing", entries, err)
	}
	if list := admin.ClientList(t.Context()).Val(); strings.Count(list, "\n") != 1 {
		t.Errorf("connections left behind:\n%s", list)
	}
}

func TestLessThanMinimalUserReloads(t *testing.T) {
	h := start(t, redistest.Options{ACL: []string{"agent on >pw +config|get +config|set"}}, nil, nil)
	h.server.User, h.server.Password = "agent", says("pw")
	h.works(t, h.renew(t, redistest.Leaf{}))
}

func TestRenamedConfig(t *testing.T) {
	h := start(t, redistest.Options{Conf: []string{"rename-command CONFIG s3cret-config"}}, nil, nil)
	pair := h.renew(t, redistest.Leaf{})
	fails(t, reloaded(reload.New(h.server), t.Context(), h.trust), reload.ErrDenied, "unknown command 'CONFIG'", "config_command")
	h.server.ConfigCommand = "s3cret-config"
	h.works(t, pair)
}

func TestLyingOKIsNoProof(t *testing.T) {
	h := start(t, redistest.Options{Socket: true}, nil, nil)
	proxy := redistest.StartProxy(t, redistest.ProxyOptions{Unix: true, Upstream: "unix:" + h.redis.Socket, Handle: redistest.LyingOK})
	h.server.Control = "unix:" + proxy.Socket
	pair := h.renew(t, redistest.Leaf{})
	r := reload.New(h.server)
	if err := reloaded(r, t.Context(), h.trust); err != nil {
		t.Fatal(err)
	}
	fails(t, r.Prove(t.Context(), h.trust, pair.Leaf()), reload.ErrRefused, "did not take the new files")
}

// Redis 7.0.0 says OK to the same path without opening it.
func TestRedis700(t *testing.T) {
	h := start(t, redistest.Options{Socket: true}, nil, nil)
	proxy := redistest.StartProxy(t, redistest.ProxyOptions{Unix: true, Upstream: "unix:" + h.redis.Socket, Handle: func(c []string) (string, bool) {
		switch strings.ToLower(strings.Join(c[:min(len(c), 3)], " ")) {
		case "info server":
			return "$19\r\nredis_version:7.0.0\r\n", true
		case "config set tls-cert-file":
			return "+OK\r\n", true
		}
		return "", false
	}})
	h.server.Control = "unix:" + proxy.Socket
	h.works(t, h.renew(t, redistest.Leaf{}))
	if got := h.admin(t).ConfigGet(t.Context(), "tls-session-cache-timeout").Val(); got["tls-session-cache-timeout"] != "300" {
		t.Errorf("tls-session-cache-timeout is %v, want it as it was", got)
	}
}

// An RSA certificate with an EC key: Redis says OK, and every handshake fails.
func TestKeyOfAnotherKind(t *testing.T) {
	h := start(t, redistest.Options{Socket: true}, nil, nil)
	h.server.Control = "unix:" + h.redis.Socket
	rsa := h.ca.Issue(t, redistest.Leaf{Key: "rsa"})
	rsa.Overwrite(t, redistest.Files{Cert: h.redis.Files.Cert})
	r := reload.New(h.server)
	if err := reloaded(r, t.Context(), h.trust); err != nil {
		t.Fatal(err)
	}
	fails(t, r.Prove(t.Context(), h.trust, rsa.Leaf()), reload.ErrRefused, "handshake failure", "do not belong together")
	_, err := r.Served(t.Context(), h.trust)
	fails(t, err, reload.ErrRefused, "do not belong together")
	h.works(t, h.renew(t, redistest.Leaf{}))
}

func TestBadFilesKeepTheOldPair(t *testing.T) {
	old := redistest.NewRoot(t)
	pair := old.Issue(t, redistest.Leaf{})
	h := start(t, redistest.Options{}, pair, old)
	r := reload.New(h.server)
	for name, breakIt := range map[string]func() error{
		"truncated": func() error { return os.Truncate(h.redis.Files.Cert, 40) },
		"empty":     func() error { return os.Truncate(h.redis.Files.Key, 0) },
		"missing":   func() error { return os.Remove(h.redis.Files.CA) },
		"mismatch": func() error {
			h.ca.Issue(t, redistest.Leaf{}).Overwrite(t, redistest.Files{Key: h.redis.Files.Key})
			return nil
		},
	} {
		pair.Overwrite(t, h.redis.Files)
		if err := breakIt(); err != nil {
			t.Fatal(err)
		}
		err := reloaded(r, t.Context(), h.trust)
		fails(t, err, reload.ErrRefused, "redis says", "Unable to update TLS configuration", "redis log")
		if err := r.Prove(t.Context(), h.trust, pair.Leaf()); err != nil {
			t.Errorf("%s: the old pair is not served any more: %v", name, err)
		}
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	h := start(t, redistest.Options{Socket: true, Password: "pw"}, nil, nil)
	r := reload.New(h.server)
	pair := h.renew(t, redistest.Leaf{})
	once := func() {
		t.Helper()
		if err := errors.Join(reloaded(r, t.Context(), h.trust), r.Prove(t.Context(), h.trust, pair.Leaf())); err != nil {
			t.Fatal(err)
		}
	}
	once()
	goroutines := runtime.NumGoroutine()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		once()
	}
	if after := runtime.NumGoroutine(); after > goroutines+2 {
		t.Errorf("%d goroutines, %d after 30 reloads", goroutines, after)
	}
	if after, _ := os.ReadDir("/proc/self/fd"); len(after) > len(files)+2 {
		t.Errorf("%d descriptors, %d after 30 reloads", len(files), len(after))
	}
}

// A caller that gives up is not held until the timeout of the network.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	proxy := redistest.StartProxy(t, redistest.ProxyOptions{Unix: true, Handle: func([]string) (string, bool) {
		cancel()
		<-t.Context().Done()
		return "", true
	}})
	r := reload.New(reload.Server{Control: "unix:" + proxy.Socket, Timeout: time.Minute})
	begun := time.Now()
	defer func() {
		if held := time.Since(begun); held > 10*time.Second {
			t.Errorf("held for %v", held)
		}
	}()
	if err := reloaded(r, ctx, reload.Trust{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}
