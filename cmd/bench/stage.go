package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/redis/go-redis/v9"

	"redis-cert-agent/agent/report"

	"redis-cert-agent/cmd/internal/process"
)

const (
	provisioner = "bench"
	password    = "a password of the bench's"
)

// A bench is what all measurements share.
type bench struct {
	options
	dir                 string
	caURL, caPin        string
	caPassword          string // file
	caRoot              string // file
	roots               *x509.CertPool
	caProcess           *process.Process
	hosts               []*host
	provisionerPassword []byte
}

// newBench builds the binaries as they are released and starts the CA.
func newBench(ctx context.Context, o options) (*bench, error) {
	dir, err := os.MkdirTemp(o.dir, "redis-cert-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, dir: dir}
	for name, path := range map[string]*string{"redis-cert-agent": &b.agent, "redis-cert-ca": &b.ca} {
		if *path != "" {
			continue
		}
		*path = filepath.Join(dir, name)
		say("build %s", name)
		if err := build(ctx, *path); err != nil {
			return b, err
		}
	}
	return b, b.startCA(ctx)
}

// build builds a stripped, static binary.
func build(ctx context.Context, path string) error {
	os.Setenv("CGO_ENABLED", "0")
	_, err := command(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "redis-cert-agent/cmd/"+filepath.Base(path))
	return err
}

func (b *bench) startCA(ctx context.Context) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "ca")
	out, err := command(ctx, b.ca, "init", "--dir", dir, "--name", "Bench", "--dns", "localhost,127.0.0.1",
		"--address", address, "--provisioner", provisioner, "--no-acme")
	if err != nil {
		return err
	}
	said := map[string]string{}
	for _, f := range regexp.MustCompile(`(?m)^(url|fingerprint|password|root)\s+(\S+)$`).FindAllStringSubmatch(out, -1) {
		said[f[1]] = f[2]
	}
	b.caURL, b.caPin, b.caPassword, b.caRoot = said["url"], said["fingerprint"], said["password"], said["root"]
	root, err := os.ReadFile(b.caRoot)
	if err != nil {
		return err
	}
	secret, err := os.ReadFile(b.caPassword)
	if err != nil {
		return err
	}
	b.provisionerPassword = bytes.TrimSpace(secret)
	b.roots = x509.NewCertPool()
	b.roots.AppendCertsFromPEM(root)
	if b.caProcess, err = start(filepath.Join(b.dir, "ca.log"), nil, b.ca, "run", "--dir", dir); err != nil {
		return err
	}
	return b.caProcess.Until(ctx, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// close ends what runs and removes the directory; after a failure it stays.
func (b *bench) close(failed error) {
	if b == nil {
		return
	}
	for _, h := range b.hosts {
		h.close()
	}
	b.caProcess.Stop(syscall.SIGTERM)
	if failed == nil {
		os.RemoveAll(b.dir)
	} else {
		say("the logs are in %s", b.dir)
	}
}

// freeAddress returns a loopback address on which nothing listens at this moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// A host is one redis-server and the agent that looks after it.
type host struct {
	b            *bench
	dir, address string
	agent, redis *process.Process
	control      *report.Client
}

// newHost starts a host and returns once the agent has proven what its redis
// serves. env is for the agent.
func (b *bench) newHost(ctx context.Context, name string, env ...string) (*host, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	h := &host{b: b, dir: filepath.Join(b.dir, name), address: address}
	b.hosts = append(b.hosts, h)
	if err := os.Mkdir(h.dir, 0o700); err != nil {
		return nil, err
	}
	if err := h.writeConfig(); err != nil {
		return nil, err
	}
	if err := h.startAgent(ctx, env...); err != nil {
		return nil, err
	}
	if err := h.startRedis(ctx); err != nil {
		return nil, err
	}
	// The agent tried in vain while there was no redis; it is to look now.
	if _, err := h.control.Renew(ctx, false); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) writeConfig() error {
	if err := os.WriteFile(h.path("password"), []byte(password), 0o600); err != nil {
		return err
	}
	return os.WriteFile(h.path("agent.yaml"), fmt.Appendf(nil, `issuer:
  step:
    url: %s
    fingerprint: %s
    provisioner: %s
    password_file: %s
names: [localhost, 127.0.0.1]
servers:
  - address: %s
    password_file: %s
directory: %s
control: %s
clock_wait: 0s
`, h.b.caURL, h.b.caPin, provisioner, h.b.caPassword, h.address, h.path("password"), h.path("pair"), h.path("control.sock")), 0o644)
}

// startAgent starts the agent and waits until a pair is on disk and the agent
// answers.
func (h *host) startAgent(ctx context.Context, env ...string) error {
	var err error
	h.agent, err = start(h.path("agent.log"), env, h.b.agent, "run", "--config", h.path("agent.yaml"))
	if err != nil {
		return err
	}
	h.control = report.Dial(h.path("control.sock"))
	return h.agent.Until(ctx, func() bool {
		s, err := h.control.Status(ctx)
		return err == nil && s.Pair != nil
	})
}

// startRedis starts a redis-server that has no plaintext port.
func (h *host) startRedis(ctx context.Context) error {
	_, port, err := net.SplitHostPort(h.address)
	if err != nil {
		return err
	}
	conf := fmt.Appendf(nil, `bind 127.0.0.1
port 0
tls-port %s
tls-cert-file %[2]s/pair/current/redis.crt
tls-key-file %[2]s/pair/current/redis.key
tls-ca-cert-file %[2]s/pair/current/ca.crt
tls-auth-clients no
requirepass "%[3]s"
save ""
dir %[2]s
`, port, h.dir, password)
	if err := os.WriteFile(h.path("redis.conf"), conf, 0o600); err != nil {
		return err
	}
	if h.redis, err = start(h.path("redis.log"), nil, h.b.redis, h.path("redis.conf")); err != nil {
		return err
	}
	return h.redis.Until(ctx, func() bool {
		c := h.client()
		defer c.Close()
		return c.Ping(ctx).Err() == nil
	})
}

func (h *host) close() {
	h.agent.Stop(syscall.SIGTERM)
	h.redis.Stop(syscall.SIGTERM)
}

// rotate has the agent get a new certificate. It returns once redis is proven
// to serve it.
func (h *host) rotate(ctx context.Context) error {
	outcome, err := h.control.Renew(ctx, true)
	if err == nil && !outcome.Issued {
		err = errors.New("the agent says that it issued nothing")
	}
	if err != nil {
		return fmt.Errorf("rotate: %w", err)
	}
	return nil
}

// tls is what a client of this host's redis verifies by.
func (h *host) tls() *tls.Config {
	return &tls.Config{RootCAs: h.b.roots, ServerName: "localhost"}
}

// client returns a client of one connection that retries nothing: a failure
// must be seen.
func (h *host) client() *redis.Client { return redis.NewClient(h.options()) }

func (h *host) options() *redis.Options {
	return &redis.Options{
		Addr: h.address, Password: password, TLSConfig: h.tls(),
		PoolSize: 1, MaxRetries: -1, DialerRetries: 1,
	}
}
