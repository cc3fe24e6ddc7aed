package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

// A stateHost is an agent beside a real redis-server.
type stateHost struct {
	t       *testing.T
	w       *world
	dir     string
	redis   *redistest.Server
	proxy   *redistest.Proxy
	pid     int // of redis, as it was first
	admin   *redis.Client
	first   cert.KeyType
	old     *x509.Certificate
	padding string

	mu   sync.Mutex
	sets int
	set  func(n int) (reply string, answered bool) // what the proxy does with the n-th CONFIG SET
}

func newStateHost(t *testing.T, s state) *stateHost {
	t.Helper()
	h := &stateHost{t: t, dir: t.TempDir(), first: cert.P256}
	h.w = &world{t: t, ca: newTestCA(t, 24*time.Hour), keep: 3}
	names := func(o *Options) { o.Names = []string{"localhost", "127.0.0.1"}; o.KeyType = h.first }
	o := redistest.Options{Socket: true, Files: h.files(), ACL: []string{"agent on >secret +config|get +config|set +info +ping"}}
	if s.redis != nil {
		s.redis(h, &o)
	}
	h.w.open(h.dir, names)
	if err := h.w.agent.Once(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	h.w.store.Close()
	if o.Files.Cert != h.files().Cert {
		h.copy(o.Files)
	}
	h.redis = redistest.Start(t, o)
	h.pid = h.redis.PID()
	h.admin = redis.NewClient(&redis.Options{Network: "unix", Addr: h.redis.Socket, Protocol: 2, DisableIdentity: true, MaxRetries: -1})
	t.Cleanup(func() { h.admin.Close() })
	server := reload.Server{Address: h.redis.Addr, Name: "localhost", Timeout: 5 * time.Second, User: "agent", Password: secret.Func(func() ([]byte, error) { return []byte("secret"), nil })}
	if s.control {
		h.proxy = redistest.StartProxy(t, redistest.ProxyOptions{Upstream: "unix:" + h.redis.Socket, Unix: true, Handle: h.handle})
		server.Control = "unix:" + h.proxy.Socket
	}
	h.w.open(h.dir, names, func(o *Options) { o.Servers = []Server{{Name: h.redis.Addr, Redis: reload.New(server)}} })
	t.Cleanup(func() { h.w.store.Close() })
	if err := h.w.agent.Once(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	h.old = h.current()
	h.expect("at the start", "old", "old", status.Proven)
	return h
}

func (h *stateHost) files() redistest.Files {
	in := func(name string) string { return filepath.Join(h.dir, "current", name) }
	return redistest.Files{Cert: in("redis.crt"), Key: in("redis.key"), CA: in("ca.crt")}
}
func (h *stateHost) caFile() string { return filepath.Join(h.dir, "clients.crt") }

// put writes the CA file that the agent does not write.
func (h *stateHost) put(text []byte) {
	h.t.Helper()
	h.w.must(os.WriteFile(h.caFile(), append(slices.Clone(text), h.padding...), 0o600))
}

// copied has redis name a copy of the pair.
func (h *stateHost) copied(o *redistest.Options) {
	dir := h.t.TempDir()
	o.Files = redistest.Files{Cert: filepath.Join(dir, "a.crt"), Key: filepath.Join(dir, "a.key"), CA: filepath.Join(dir, "ca.crt")}
}

// linked has the copy lead to the pair. Redis 6.0 takes no other paths for both files at once.
func (h *stateHost) linked() {
	for from, to := range map[string]string{h.files().Cert: h.redis.Files.Cert, h.files().Key: h.redis.Files.Key, h.files().CA: h.redis.Files.CA} {
		h.w.must(errors.Join(os.Remove(to), os.Symlink(from, to)))
	}
}

func (h *stateHost) copy(to redistest.Files) {
	for from, to := range map[string]string{h.files().Cert: to.Cert, h.files().Key: to.Key, h.files().CA: to.CA} {
		text, err := os.ReadFile(from)
		h.w.must(err)
		h.w.must(os.WriteFile(to, text, 0o600))
	}
}

// changeCA has another CA issue the next certificate.
func (h *stateHost) changeCA() {
	other := newTestCA(h.t, 24*time.Hour)
	h.w.ca.key, h.w.ca.root = other.key, other.root
}

func (h *stateHost) signal(s unix.Signal) { h.w.must(unix.Kill(h.pid, s)) }

// do sends a command as the default user, over the unix socket.
func (h *stateHost) do(words ...any) {
	h.t.Helper()
	h.w.must(h.admin.Do(context.Background(), words...).Err())
}

// busy has a script run until it is killed.
func (h *stateHost) busy() {
	other := redis.NewClient(&redis.Options{Network: "unix", Addr: h.redis.Socket, Protocol: 2, DisableIdentity: true, MaxRetries: -1})
	h.t.Cleanup(func() { other.Close() })
	go other.Eval(context.Background(), "while true do end", nil)
	for err := error(nil); err == nil || !strings.HasPrefix(err.Error(), "BUSY"); {
		err = h.admin.Ping(h.t.Context()).Err()
		h.w.must(h.t.Context().Err())
	}
}

// idle kills the script, and waits until it has ended: redis says OK before that.
func (h *stateHost) idle() {
	h.do("SCRIPT", "KILL")
	for h.admin.Ping(h.t.Context()).Err() != nil {
		h.w.must(h.t.Context().Err())
	}
}

// atSet has the proxy do something with each CONFIG SET from now on; nil: pass it on.
func (h *stateHost) atSet(f func(n int) (string, bool)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.set, h.sets = f, 0
}

func (h *stateHost) handle(command []string) (string, bool) {
	if len(command) < 2 || !strings.EqualFold(command[1], "set") {
		return "", false
	}
	h.mu.Lock()
	h.sets++
	f, n := h.set, h.sets
	h.mu.Unlock()
	if f == nil {
		return "", false
	}
	return f(n)
}

// current returns the leaf that a server that starts now would serve.
func (h *stateHost) current() *x509.Certificate {
	text, err := os.ReadFile(h.files().Cert)
	h.w.must(err)
	chain, err := cert.ParseChain(text)
	h.w.must(err)
	return chain[0]
}

// shown returns the leaf that a client gets to see; nil when there is no handshake.
func (h *stateHost) shown() *x509.Certificate {
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Second)
	defer cancel()
	var shown *x509.Certificate
	dialer.Config.VerifyConnection = func(s tls.ConnectionState) error { shown = s.PeerCertificates[0]; return nil }
	conn, err := dialer.DialContext(ctx, "tcp", h.redis.Addr)
	if err == nil {
		conn.Close()
	}
	return shown
}

func (h *stateHost) expect(when, shows, current string, is status.ServerState) {
	h.t.Helper()
	names := func(c *x509.Certificate) string {
		switch {
		case c == nil:
			return "nothing"
		case h.old.Equal(c):
			return "old"
		}
		return "new"
	}
	if got := names(h.shown()); got != shows {
		h.t.Errorf("%s: it shows %s, want %s", when, got, shows)
	}
	if got := names(h.current()); got != current {
		h.t.Errorf("%s: current leads to %s, want %s", when, got, current)
	}
	if s := h.w.agent.opt.Board.Get().Servers[0]; s.State != is {
		h.t.Errorf("%s: the server is %s, want %s: %s", when, s.State, is, s.Error)
	}
}
