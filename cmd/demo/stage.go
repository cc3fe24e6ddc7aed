package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"redis-cert-agent/cmd/internal/process"
)

// A stage is everything that the demo starts, in one temporary directory.
type stage struct {
	options
	dir   string
	began time.Time

	caURL        string
	roots        *x509.CertPool
	caProcess    *process.Process
	agentProcess *process.Process

	redisAddr, redisVersion string
	redisProcess            *process.Process
	password                string
}

func newStage(o options) (*stage, error) {
	out, err := exec.Command(o.redis, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s does not run: %w; install redis-server (apt install redis-server, dnf install redis)", o.redis, err)
	}
	dir, err := os.MkdirTemp("", "redis-cert-demo-")
	if err != nil {
		return nil, err
	}
	s := &stage{options: o, dir: dir, began: time.Now(), password: "a password of the demo's"}
	if m := regexp.MustCompile(`v=(\S+)`).FindSubmatch(out); m != nil {
		s.redisVersion = "redis-server " + string(m[1])
	}
	s.redisAddr, err = freeAddress()
	return s, err
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

// close stops what runs, by process, and removes the directory. After a failure
// the directory stays, and the ends of the logs are shown.
func (s *stage) close(failed error) {
	for _, p := range []*process.Process{s.agentProcess, s.redisProcess, s.caProcess} {
		p.Stop(syscall.SIGTERM)
	}
	if failed == nil {
		os.RemoveAll(s.dir)
		return
	}
	for _, name := range []string{"ca.log", "agent.log", "redis.log"} {
		text, err := os.ReadFile(s.path(name))
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(os.Stderr, "--- the end of %s\n%s\n", s.path(name), strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) say(who, format string, args ...any) {
	fmt.Printf("%6.1f s  %-10s %s\n", time.Since(s.began).Seconds(), who, fmt.Sprintf(format, args...))
}

// startCA makes a CA and runs it.
func (s *stage) startCA(ctx context.Context) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, s.ca, "init", "--dir", s.path("ca"), "--name", "Demo", "--dns", "localhost,127.0.0.1",
		"--address", address, "--provisioner", "demo",
		"--lifetime", s.lifetime.String(), "--min-lifetime", "1s", "--max-lifetime", time.Hour.String()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s init: %w: %s", s.ca, err, out)
	}
	fields := regexp.MustCompile(`(?m)^(url|fingerprint|password|root|acme)\s+(\S+)$`).FindAllStringSubmatch(string(out), -1)
	said := map[string]string{}
	for _, f := range fields {
		said[f[1]] = f[2]
	}
	s.caURL = said["url"]
	root, err := os.ReadFile(said["root"])
	if err != nil {
		return err
	}
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(root)
	challenges, err := freeAddress()
	if err != nil {
		return err
	}
	if err := s.writeAgentConfig(said, challenges); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(challenges)
	if err != nil {
		return err
	}
	s.caProcess, err = start(s.path("ca.log"), s.ca, "run", "--dir", s.path("ca"), "--acme-http-port", port)
	if err != nil {
		return err
	}
	return s.caProcess.Until(ctx, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// writeAgentConfig writes the agent's configuration from what the CA said, and
// where the agent is to answer the CA's challenges.
func (s *stage) writeAgentConfig(said map[string]string, challenges string) error {
	if err := os.WriteFile(s.path("redis-password"), []byte(s.password+"\n"), 0o600); err != nil {
		return err
	}
	issuer := fmt.Sprintf(`  step:
    url: %s
    fingerprint: %s
    provisioner: demo
    password_file: %s`, said["url"], said["fingerprint"], said["password"])
	if s.issuer == "acme" {
		issuer = fmt.Sprintf(`  acme:
    directory: %s
    fingerprint: %s
    challenge:
      http-01: {listen: "%s"}`, said["acme"], said["fingerprint"], challenges)
	}
	return os.WriteFile(s.path("demo.yaml"), fmt.Appendf(nil, `issuer:
%s
names: [localhost, 127.0.0.1]
servers:
  - address: %s
    password_file: %s
directory: %s
control: %s
clock_wait: 0s
`, issuer, s.redisAddr, s.path("redis-password"), s.path("pair"), s.path("control.sock")), 0o644)
}

// startAgent starts the agent and waits until a pair is on disk.
func (s *stage) startAgent(ctx context.Context) error {
	var err error
	s.agentProcess, err = start(s.path("agent.log"), s.agent, "run", "--config", s.path("demo.yaml"))
	if err != nil {
		return err
	}
	return s.agentProcess.Until(ctx, func() bool {
		_, err := os.Stat(s.path("pair/current/redis.crt"))
		return err == nil
	})
}

func (s *stage) stopAgent() { s.agentProcess.Stop(syscall.SIGTERM) }

// startRedis starts a redis-server that has no plaintext port.
func (s *stage) startRedis(ctx context.Context) error {
	host, port, err := net.SplitHostPort(s.redisAddr)
	if err != nil {
		return err
	}
	conf := fmt.Sprintf(`bind %s
port 0
tls-port %s
tls-cert-file %[3]s/pair/current/redis.crt
tls-key-file %[3]s/pair/current/redis.key
tls-ca-cert-file %[3]s/pair/current/ca.crt
tls-auth-clients no
requirepass "%s"
save ""
dir %[3]s
`, host, port, s.dir, s.password)
	if err := os.WriteFile(s.path("redis.conf"), []byte(conf), 0o600); err != nil {
		return err
	}
	if s.redisProcess, err = start(s.path("redis.log"), s.redis, s.path("redis.conf")); err != nil {
		return err
	}
	return s.redisProcess.Until(ctx, func() bool { return s.tryClient(ctx) == nil })
}

func (s *stage) redisPID() int { return s.redisProcess.PID() }

// printStatus shows what the agent says of itself.
func (s *stage) printStatus(ctx context.Context) {
	out, err := exec.CommandContext(ctx, s.agent, "status", "--config", s.path("demo.yaml")).CombinedOutput()
	if err != nil {
		out = append(out, err.Error()...)
	}
	fmt.Printf("\n$ redis-cert-agent status\n%s\n", out)
}

func start(log, name string, args ...string) (*process.Process, error) {
	return process.Start(log, exec.Command(name, args...))
}
