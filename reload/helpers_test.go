package reload_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"redis-cert-agent/agent/secret"
	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

// expired is a certificate that was good until an hour ago.
var expired = redistest.Leaf{NotBefore: time.Now().Add(-3 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}

// host is a redis-server, how to talk to it, and what was warned of.
type host struct {
	redis  *redistest.Server
	server reload.Server
	trust  reload.Trust
	ca     *redistest.CA

	mu       sync.Mutex
	warnings []string
}

// start starts a redis-server that serves pair, which may be nil for a fresh
// one, and trusts ca, which may be nil for the fresh one's.
func start(t *testing.T, o redistest.Options, pair *redistest.Pair, ca *redistest.CA) *host {
	t.Helper()
	if ca == nil {
		ca = redistest.NewRoot(t)
	}
	if pair == nil {
		pair = ca.Issue(t, redistest.Leaf{})
	}
	o.Files = pair.Write(t, t.TempDir())
	h := &host{redis: redistest.Start(t, o), ca: ca, trust: reload.Trust{Roots: ca.Roots()}}
	h.server = reload.Server{Address: h.redis.Addr, Name: "localhost", Timeout: 3 * time.Second, Warn: h.warn}
	if o.Password != "" {
		h.server.Password = says(o.Password)
	}
	return h
}

func (h *host) warn(msg string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.warnings = append(h.warnings, msg)
}

func says(password string) secret.Secret {
	return secret.Func(func() ([]byte, error) { return []byte(password), nil })
}

// renew puts a fresh pair on disk, for the server to load.
func (h *host) renew(t *testing.T, l redistest.Leaf) *redistest.Pair {
	t.Helper()
	pair := h.ca.Issue(t, l)
	pair.Overwrite(t, h.redis.Files)
	return pair
}

// works reloads, proves, and checks that it is still the same process.
func (h *host) works(t *testing.T, pair *redistest.Pair) {
	t.Helper()
	pid := h.redis.PID()
	r := reload.New(h.server)
	if err := reloaded(r, t.Context(), h.trust); err != nil {
		t.Fatal(err)
	}
	if err := r.Prove(t.Context(), h.trust, pair.Leaf()); err != nil {
		t.Fatal(err)
	}
	if !h.redis.Running() || h.redis.PID() != pid {
		t.Error("redis-server is not the process that it was")
	}
}

// admin is a connection of the default user over the unix socket.
func (h *host) admin(t *testing.T) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: h.redis.Socket, Protocol: 2, DisableIdentity: true, MaxRetries: -1})
	t.Cleanup(func() { c.Close() })
	return c
}

// fails checks that err is of the kind, in one line that holds every part.
func fails(t *testing.T, err, kind error, parts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want one that is: %v", err, kind)
	}
	if strings.ContainsAny(err.Error(), "\r\n") {
		t.Errorf("more than one line: %q", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not say %q: %v", part, err)
		}
	}
}

// impostor listens with a pair of its own, or in plaintext without one, and
// writes down what it hears after the handshake.
type impostor struct {
	addr     string
	listener net.Listener
	done     chan struct{}
	heard    strings.Builder
}

func listen(t *testing.T, pair *redistest.Pair) *impostor {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &impostor{addr: l.Addr().String(), listener: l, done: make(chan struct{})}
	t.Cleanup(func() { l.Close() })
	go func() {
		defer close(i.done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if pair != nil {
				conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*pair.TLS()}})
			}
			_, _ = io.Copy(&i.heard, conn) // what ends it does not matter
			conn.Close()
		}
	}()
	return i
}

// words is all that was heard. It ends the impostor.
func (i *impostor) words() string {
	i.listener.Close()
	<-i.done
	return i.heard.String()
}

// reloaded makes r reload and lets go of the connection.
func reloaded(r *reload.Redis, ctx context.Context, trust reload.Trust) error {
	done, err := r.Reload(ctx, trust, reload.Load{})
	done.Close()
	return err
}
