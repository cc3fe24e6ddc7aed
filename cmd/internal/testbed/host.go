package testbed

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// Password is that of every redis-server.
const Password = "a password of the testbed's"

// A Host is one redis-server and the agent that looks after it.
type Host struct {
	Address      string // of redis-server
	Config       string // the agent's configuration file
	Agent, Redis *Process

	bed *Testbed
	dir string
}

// NewHost writes the configuration of an agent and a redis-server, and starts
// neither. The lines of more are added to the agent's configuration.
func (t *Testbed) NewHost(name, more string) (*Host, error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	h := &Host{Address: address, bed: t, dir: t.Path(name)}
	h.Config = h.Path("agent.yaml")
	if err := os.Mkdir(h.dir, 0o700); err != nil {
		return nil, err
	}
	issuer := fmt.Sprintf("{step: {url: %q, fingerprint: %q, provisioner: %s, password_file: %q}}",
		t.URL, t.Fingerprint, Provisioner, t.PasswordFile)
	if t.ACME {
		issuer = fmt.Sprintf("{acme: {directory: %q, fingerprint: %q, challenge: {http-01: {listen: %q}}}}",
			t.acme, t.Fingerprint, t.challenges)
	}
	if err := os.WriteFile(h.Config, fmt.Appendf(nil, `issuer: %s
names: [localhost, 127.0.0.1]
servers:
  - address: %s
    password_file: %s
directory: %s
control: %s
clock_wait: 0s
%s`, issuer, address, t.redisSecret, h.Path("pair"), h.Path("control.sock"), more), 0o600); err != nil {
		return nil, err
	}
	return h, h.writeRedisConfig()
}

// StartHost makes a host and starts first the agent, then redis-server. The
// variables env are for the agent.
func (t *Testbed) StartHost(ctx context.Context, name, more string, env ...string) (*Host, error) {
	h, err := t.NewHost(name, more)
	if err != nil {
		return nil, err
	}
	if err := h.StartAgent(ctx, env...); err != nil {
		return nil, err
	}
	return h, h.StartRedis(ctx)
}

// writeRedisConfig configures a redis-server that has no plaintext port.
func (h *Host) writeRedisConfig() error {
	host, port, err := net.SplitHostPort(h.Address)
	if err != nil {
		return err
	}
	return os.WriteFile(h.Path("redis.conf"), fmt.Appendf(nil, `bind %s
port 0
tls-port %s
tls-cert-file %[3]s/pair/current/redis.crt
tls-key-file %[3]s/pair/current/redis.key
tls-ca-cert-file %[3]s/pair/current/ca.crt
tls-auth-clients no
requirepass "%[4]s"
save ""
dir %[3]s
`, host, port, h.dir, Password), 0o600)
}

// Path returns the path of a file in the host's directory.
func (h *Host) Path(name string) string { return filepath.Join(h.dir, name) }

// StartAgent starts the agent, with the variables env beside this program's own,
// and waits until a pair is on disk.
func (h *Host) StartAgent(ctx context.Context, env ...string) (err error) {
	h.Agent, err = h.start("agent.log", env, h.bed.Agent, "run", "--config", h.Config)
	if err != nil {
		return err
	}
	return h.Agent.Until(ctx, func() bool {
		_, err := os.Stat(h.Path("pair/current/redis.crt"))
		return err == nil
	})
}

// StartRedis starts redis-server and waits until it accepts a client.
func (h *Host) StartRedis(ctx context.Context) (err error) {
	h.Redis, err = h.start("redis.log", nil, h.bed.Redis, h.Path("redis.conf"))
	if err != nil {
		return err
	}
	return h.Redis.Until(ctx, func() bool { return h.Try(ctx) == nil })
}

func (h *Host) start(log string, env []string, name string, args ...string) (*Process, error) {
	return h.bed.Start(filepath.Join(filepath.Base(h.dir), log), env, name, args...)
}

// Stop stops the agent and redis-server.
func (h *Host) Stop() {
	h.Agent.Stop(syscall.SIGTERM)
	h.Redis.Stop(syscall.SIGTERM)
}

// TLS returns what a client of this redis-server verifies by.
func (h *Host) TLS() *tls.Config {
	return &tls.Config{RootCAs: h.bed.Roots, ServerName: "localhost"}
}

// Client returns a client of one connection that verifies the certificate. It
// retries nothing, so that each failure is seen.
func (h *Host) Client() *redis.Client { return redis.NewClient(h.clientOptions()) }

func (h *Host) clientOptions() *redis.Options {
	return &redis.Options{
		Addr: h.Address, Password: Password, TLSConfig: h.TLS(),
		PoolSize: 1, MaxRetries: -1, DialerRetries: 1,
	}
}

// Try makes a new connection and sends one command on it.
func (h *Host) Try(ctx context.Context) error {
	c := h.Client()
	defer c.Close()
	return c.Incr(ctx, "new").Err()
}

// Admin sends one command as a user who may do everything.
func (h *Host) Admin(ctx context.Context, command ...any) error {
	c := h.Client()
	defer c.Close()
	return c.Do(ctx, command...).Err()
}
