package reload_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

// A proxy stands in for Valkey 9.1: it alone knows the parameter.
func TestSettingsOfAutoReload(t *testing.T) {
	for value, want := range map[string]time.Duration{"30": 30 * time.Second, "0": 0, "": 0, "-5": 0, "x": 0, "86400": 24 * time.Hour} {
		h := start(t, redistest.Options{Socket: true}, nil, nil)
		proxy := redistest.StartProxy(t, redistest.ProxyOptions{Unix: true, Upstream: "unix:" + h.redis.Socket, Handle: func(command []string) (string, bool) {
			name := "tls-auto-reload-interval"
			if len(command) != 3 || command[2] != name {
				return "", false
			}
			return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(name), name, len(value), value), true
		}})
		h.server.Control = "unix:" + proxy.Socket
		got, err := reload.New(h.server).Settings(t.Context(), h.trust)
		if err != nil || got.AutoReload != want || got.Sentinel {
			t.Errorf("%q: %+v, %v", value, got, err)
		}
	}
}

func TestSettingsOfSentinel(t *testing.T) {
	dir, ca := t.TempDir(), redistest.NewRoot(t)
	files, addr := ca.Issue(t, redistest.Leaf{}).Write(t, dir), redistest.FreeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	conf, log := filepath.Join(dir, "sentinel.conf"), filepath.Join(dir, "log")
	text := "port 0\ntls-port " + port + "\nbind 127.0.0.1\nlogfile " + log + "\ntls-auth-clients no\ntls-cert-file " + files.Cert +
		"\ntls-key-file " + files.Key + "\ntls-ca-cert-file " + files.CA + "\nsentinel monitor m 127.0.0.1 1 1\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, conf, "--sentinel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for range 3000 {
		if said, _ := os.ReadFile(log); strings.Contains(string(said), "Sentinel ID is") {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	r, trust := reload.New(reload.Server{Address: addr, Name: "localhost"}), reload.Trust{Roots: ca.Roots()}
	got, err := r.Settings(t.Context(), trust)
	if err != nil || got != (reload.Settings{Sentinel: true, Version: got.Version}) {
		t.Errorf("%+v, %v", got, err)
	}
	if d, err := r.Describe(t.Context(), trust, "tls-cert-file"); err != nil || !d.Sentinel() {
		t.Errorf("%+v, %v", d, err)
	}
}
