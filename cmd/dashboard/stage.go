package main

import (
	"context"
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

// scrapeEvery is how often Prometheus asks the agents and looks at the alerts:
// certificates of two minutes go by fast.
const scrapeEvery = 2 * time.Second

// Each host is an address of the loopback network, so that the picture shows the
// ports that people know.
const (
	central = "127.0.81.1" // the CA and Prometheus
	host1   = "127.0.81.11"
	host2   = "127.0.81.12"
)

// A stage is everything that this program starts, in one temporary directory.
type stage struct {
	options
	dir   string
	began time.Time

	caURL, caPin, caPassword string
	running                  []*process.Process // in the order of their start
	authority                *process.Process
}

func newStage(o options) (*stage, error) {
	for _, name := range []string{o.redis, o.prometheus} {
		if _, err := exec.LookPath(name); err != nil {
			return nil, fmt.Errorf("%w; make dashboard installs it", err)
		}
	}
	for _, address := range []string{central + ":9000", central + ":9090", host1 + ":6379", host1 + ":9742", host2 + ":6379", host2 + ":6380", host2 + ":9742"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("%w; another picture is being made, or something listens on all addresses", err)
		}
		l.Close()
	}
	dir, err := os.MkdirTemp("", "redis-cert-dashboard-")
	if err != nil {
		return nil, err
	}
	return &stage{options: o, dir: dir, began: time.Now()}, nil
}

func (s *stage) path(names ...string) string {
	return filepath.Join(append([]string{s.dir}, names...)...)
}

func (s *stage) say(format string, args ...any) {
	fmt.Printf("%6.1f s  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// close ends what runs, and removes the directory. After a failure it stays.
func (s *stage) close(failed error) {
	for i := len(s.running) - 1; i >= 0; i-- {
		s.running[i].Stop(syscall.SIGTERM)
	}
	if failed == nil {
		os.RemoveAll(s.dir)
	} else {
		fmt.Fprintf(os.Stderr, "dashboard: the logs are in %s\n", s.dir)
	}
}

func (s *stage) write(text string, names ...string) error {
	if err := os.MkdirAll(filepath.Dir(s.path(names...)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(s.path(names...), []byte(text), 0o600)
}

// initCA makes a CA and starts it.
func (s *stage) initCA(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, s.ca, "init", "--dir", s.path("ca"), "--name", "Example", "--dns", central,
		"--address", central+":9000", "--provisioner", "redis", "--no-acme",
		"--lifetime", s.lifetime.String(), "--min-lifetime", "1s", "--max-lifetime", time.Hour.String()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s init: %w: %s", s.ca, err, out)
	}
	for _, f := range regexp.MustCompile(`(?m)^(url|fingerprint|password)\s+(\S+)$`).FindAllStringSubmatch(string(out), -1) {
		switch f[1] {
		case "url":
			s.caURL = f[2]
		case "fingerprint":
			s.caPin = f[2]
		case "password":
			s.caPassword = f[2]
		}
	}
	if err := s.dontBackdate(); err != nil {
		return err
	}
	return s.startCA(ctx)
}

// dontBackdate lets lifetimes begin when they do. A minute into the past, which
// bears clocks that differ, is a third of a life here.
func (s *stage) dontBackdate() error {
	path := s.path("ca", "config", "ca.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed := strings.Replace(string(text), `"backdate": "1m0s"`, `"backdate": "0s"`, 1)
	if changed == string(text) {
		return fmt.Errorf("%s has no backdate of a minute", path)
	}
	return os.WriteFile(path, []byte(changed), 0o600)
}

func (s *stage) startCA(ctx context.Context) error {
	var err error
	if s.authority, err = s.start("ca.log", s.ca, "run", "--dir", s.path("ca")); err != nil {
		return err
	}
	return listens(ctx, s.authority, central+":9000")
}

// startAgent starts an agent, and waits until a pair is on disk: redis-server
// needs it to start.
func (s *stage) startAgent(ctx context.Context, name, address string, ports ...string) error {
	config := fmt.Sprintf(`issuer:
  step:
    url: %s
    fingerprint: %s
    provisioner: redis
    password_file: %s
names: [%s.internal, %s]
directory: %s
control: %s
clock_wait: 0s
metrics: {listen: "%s:9742"}
servers:
`, s.caURL, s.caPin, s.caPassword, name, address, s.path(name, "pair"), s.path(name, "control.sock"), address)
	for _, port := range ports {
		config += fmt.Sprintf("  - {address: \"%s:%s\", name: %s.internal, user: agent, password_file: %s}\n", address, port, name, s.path("redis-password"))
	}
	if err := s.write(config, name, "config.yaml"); err != nil {
		return err
	}
	p, err := s.start(name+"-agent.log", s.agent, "run", "--config", s.path(name, "config.yaml"))
	if err != nil {
		return err
	}
	return p.Until(ctx, func() bool {
		_, err := os.Stat(s.path(name, "pair/current/redis.crt"))
		return err == nil
	})
}

const redisPassword = "a password of the dashboard's"

// startRedis starts a redis-server that has no plaintext port. What disturbs it
// goes through its unix socket.
func (s *stage) startRedis(ctx context.Context, name, address, port string) (*process.Process, error) {
	files := s.path(name, "pair/current")
	conf := fmt.Sprintf(`bind %s
port 0
tls-port %s
unixsocket %s
tls-cert-file %[4]s/redis.crt
tls-key-file %[4]s/redis.key
tls-ca-cert-file %[4]s/ca.crt
tls-auth-clients no
user agent on "#%x" +config|get +config|set +info +ping
save ""
dir %s
`, address, port, s.socket(name, port), files, sha256Sum(redisPassword), s.path(name))
	if err := s.write(conf, name, "redis-"+port+".conf"); err != nil {
		return nil, err
	}
	p, err := s.start(name+"-redis-"+port+".log", s.redis, s.path(name, "redis-"+port+".conf"))
	if err != nil {
		return nil, err
	}
	return p, listens(ctx, p, address+":"+port)
}

func (s *stage) socket(name, port string) string { return s.path(name, port+".sock") }

// startPrometheus starts one that watches both agents with the shipped alerts.
func (s *stage) startPrometheus(ctx context.Context) error {
	rules, err := filepath.Abs(s.rules)
	if err != nil {
		return err
	}
	if err := s.write(fmt.Sprintf(`global: {scrape_interval: %[1]s, scrape_timeout: %[1]s, evaluation_interval: %[1]s}
rule_files: [%[2]s]
scrape_configs:
  - job_name: redis-cert-agent
    static_configs:
      - {targets: ["%[3]s:9742"], labels: {instance: redis1}}
      - {targets: ["%[4]s:9742"], labels: {instance: redis2}}
`, scrapeEvery, rules, host1, host2), "prometheus.yml"); err != nil {
		return err
	}
	p, err := s.start("prometheus.log", s.prometheus, "--config.file="+s.path("prometheus.yml"), "--storage.tsdb.path="+s.path("data"),
		"--web.listen-address="+central+":9090", "--log.level=warn")
	if err != nil {
		return err
	}
	return listens(ctx, p, central+":9090")
}

func (s *stage) start(log, name string, args ...string) (*process.Process, error) {
	p, err := process.Start(s.path(log), exec.Command(name, args...))
	if err == nil {
		s.running = append(s.running, p)
	}
	return p, err
}

// listens waits until p does, at address.
func listens(ctx context.Context, p *process.Process, address string) error {
	return p.Until(ctx, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}
