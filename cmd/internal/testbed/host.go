package testbed

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// Password is that of every redis-server.
const Password = "a password of the testbed's"

// A Host is one agent and the redis-servers that it looks after, mostly one.
type Host struct {
	Address      string // of redis-server
	Config       string // the agent's configuration file
	Agent, Redis *Process
	More         []*Server // further redis-servers that load the same pair

	bed     *Testbed
	options HostOptions
	dir     string
}

// HostOptions say what a host has besides one redis-server and an agent that asks the
// Testbed's authority.
type HostOptions struct {
	Servers  int           // how many redis-servers load the pair; zero: one
	Lifetime time.Duration // of a certificate; zero: the authority's default
	Issuer   string        // in place of the Testbed's authority: a value in YAML
	Files    string        // the directory of the files that redis.conf names, below the host's; empty: the agent's pair
	Config   string        // lines for the agent's configuration
}

// A Server is one more redis-server of a host.
type Server struct {
	Address string
	Redis   *Process
}

// NewHost writes the configuration of an agent and of its redis-servers, and starts
// none of them.
func (t *Testbed) NewHost(name string, o HostOptions) (*Host, error) {
	h := &Host{bed: t, options: o, dir: t.Path(name)}
	h.Config = h.Path("agent.yaml")
	if err := os.Mkdir(h.dir, 0o700); err != nil {
		return nil, err
	}
	servers := ""
	for n := range max(o.Servers, 1) {
		address, err := FreeAddress()
		if err != nil {
			return nil, err
		}
		if n == 0 {
			h.Address = address
		} else {
			h.More = append(h.More, &Server{Address: address})
		}
		if err := h.writeRedisConfig(address); err != nil {
			return nil, err
		}
		servers += fmt.Sprintf("  - address: %s\n    password_file: %s\n", address, t.RedisPasswordFile)
	}
	return h, os.WriteFile(h.Config, fmt.Appendf(nil, `issuer: %s
names: [localhost, 127.0.0.1]
servers:
%sdirectory: %s
control: %s
clock_wait: 0s
%s`, h.issuer(), servers, h.Path("pair"), h.Path("control.sock"), o.Config), 0o600)
}

func (h *Host) issuer() string {
	t := h.bed
	switch {
	case h.options.Issuer != "":
		return h.options.Issuer
	case t.ACME:
		return fmt.Sprintf("{acme: {directory: %q, fingerprint: %q, challenge: {http-01: {listen: %q}}}}", t.Directory, t.Fingerprint, t.Challenges)
	}
	lifetime := ""
	if h.options.Lifetime > 0 {
		lifetime = ", lifetime: " + h.options.Lifetime.String()
	}
	return fmt.Sprintf("{step: {url: %q, fingerprint: %q, provisioner: %s, password_file: %q%s}}", t.URL, t.Fingerprint, Provisioner, t.PasswordFile, lifetime)
}

// StartHost makes a host and starts first the agent, then its redis-servers. The
// variables env are for the agent.
func (t *Testbed) StartHost(ctx context.Context, name string, o HostOptions, env ...string) (*Host, error) {
	h, err := t.NewHost(name, o)
	if err != nil {
		return nil, err
	}
	if err := h.StartAgent(ctx, env...); err != nil {
		return nil, err
	}
	return h, h.StartRedis(ctx)
}

// writeRedisConfig configures a redis-server that has no plaintext port.
func (h *Host) writeRedisConfig(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	return os.WriteFile(h.redisConfig(address), fmt.Appendf(nil, `bind %s
port 0
tls-port %s
tls-cert-file %[3]s/redis.crt
tls-key-file %[3]s/redis.key
tls-ca-cert-file %[3]s/ca.crt
tls-auth-clients no
requirepass "%[4]s"
save ""
dir %[5]s
`, host, port, h.Files(), Password, h.dir), 0o600)
}

func (h *Host) redisConfig(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return h.Path("redis-" + port + ".conf")
}

// Files returns the directory of the files that redis.conf names.
func (h *Host) Files() string { return h.Path(cmp.Or(h.options.Files, "pair/current")) }

// Path returns the path of a file in the host's directory.
func (h *Host) Path(name string) string { return filepath.Join(h.dir, name) }

// StartAgent starts the agent, with the variables env beside this program's own,
// and waits until a pair is on disk.
func (h *Host) StartAgent(ctx context.Context, env ...string) error {
	if err := h.LaunchAgent(env...); err != nil {
		return err
	}
	return h.AwaitPair(ctx)
}

// LaunchAgent starts the agent and waits for nothing.
func (h *Host) LaunchAgent(env ...string) (err error) {
	h.Agent, err = h.start("agent.log", env, h.bed.Agent, "run", "--config", h.Config)
	return err
}

// AwaitPair waits until a pair is on disk.
func (h *Host) AwaitPair(ctx context.Context) error {
	return h.Agent.Until(ctx, func() bool {
		_, err := os.Stat(filepath.Join(h.Files(), "redis.crt"))
		return err == nil
	})
}

// StartRedis starts the redis-servers and waits until each accepts a client.
func (h *Host) StartRedis(ctx context.Context) (err error) {
	if h.Redis, err = h.startRedis(h.Address); err != nil {
		return err
	}
	for _, s := range h.More {
		if s.Redis, err = h.startRedis(s.Address); err != nil {
			return err
		}
	}
	for _, s := range h.More {
		if err := s.Redis.Listens(ctx, s.Address); err != nil {
			return err
		}
	}
	return h.Redis.Until(ctx, func() bool { return h.Try(ctx) == nil })
}

func (h *Host) startRedis(address string) (*Process, error) {
	return h.start("redis.log", nil, h.bed.Redis, h.redisConfig(address))
}

func (h *Host) start(log string, env []string, name string, args ...string) (*Process, error) {
	return h.bed.Start(filepath.Join(filepath.Base(h.dir), log), env, name, args...)
}

// Stop stops the agent and its redis-servers.
func (h *Host) Stop() {
	h.Agent.Stop(syscall.SIGTERM)
	h.Redis.Stop(syscall.SIGTERM)
	for _, s := range h.More {
		s.Redis.Stop(syscall.SIGTERM)
	}
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
