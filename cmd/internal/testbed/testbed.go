// Package testbed runs redis-cert-agent among what it works with: a certificate
// authority, redis-servers that speak TLS only and want a password, and clients.
// The demo, the benchmarks and the pictures in the documentation are made on it.
//
// The authority, the agents and the servers are processes on loopback with their
// files in one temporary directory. Each is stopped by its own process id.
package testbed

import (
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// Provisioner is the name of the authority's JWK provisioner.
const Provisioner = "testbed"

// Options say which programs run, where, and how long certificates live.
type Options struct {
	Agent, CA, Redis string        // the programs
	Dir              string        // where the temporary directory is made; empty: os.TempDir
	Lifetime         time.Duration // of a certificate; zero: redis-cert-ca's default
	ACME             bool          // agents ask by ACME with http-01, not by the provisioner
}

// Flags adds the flags that name the programs.
func (o *Options) Flags() {
	flag.StringVar(&o.Agent, "agent", "bin/redis-cert-agent", "the agent's `binary`")
	flag.StringVar(&o.CA, "ca", "bin/redis-cert-ca", "the CA's `binary`")
	flag.StringVar(&o.Redis, "redis", "redis-server", "the redis-server `binary`")
}

// Main makes a Testbed, calls run with it and closes it. The context ends with a
// signal to this program, or when the limit has passed. Main exits 1 with an error.
func Main(limit time.Duration, o Options, run func(context.Context, *Testbed) error) {
	redis.SetLogger(quiet{})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, limit)
	t, err := open(ctx, o)
	if err == nil {
		err = run(ctx, t)
	}
	t.close(err)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

// quiet drops what go-redis logs: each failure comes back as an error as well.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// A Testbed is a temporary directory, an authority, and what was started there.
type Testbed struct {
	Options
	RedisVersion string

	// What the authority says of itself.
	URL, Fingerprint, PasswordFile, RootFile string
	Directory                                string // the URL of ACME
	Challenges                               string // the address at which the authority expects http-01 answers
	RedisPasswordFile                        string // with the password of every redis-server
	Roots                                    *x509.CertPool

	dir     string
	ca      *Process
	running []*Process // all that were started, in this order
}

// open makes a directory and an authority, and starts the authority. After a
// failure the Testbed is to be closed all the same.
func open(ctx context.Context, o Options) (*Testbed, error) {
	out, err := exec.CommandContext(ctx, o.Redis, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s does not run: %w; install redis-server (apt install redis-server, dnf install redis)", o.Redis, err)
	}
	dir, err := os.MkdirTemp(o.Dir, "redis-cert-testbed-")
	if err != nil {
		return nil, err
	}
	t := &Testbed{Options: o, dir: dir, RedisPasswordFile: filepath.Join(dir, "redis-password")}
	if m := regexp.MustCompile(`v=(\S+)`).FindSubmatch(out); m != nil {
		t.RedisVersion = string(m[1])
	}
	if err := os.WriteFile(t.RedisPasswordFile, []byte(Password+"\n"), 0o600); err != nil {
		return t, err
	}
	if err := t.initCA(ctx); err != nil {
		return t, err
	}
	return t, t.StartCA(ctx)
}

// close stops what runs and removes the directory. After a failure the directory
// stays, and the ends of the logs are shown.
func (t *Testbed) close(failed error) {
	if t == nil {
		return
	}
	for i := len(t.running) - 1; i >= 0; i-- {
		t.running[i].Stop(syscall.SIGTERM)
	}
	if failed == nil {
		os.RemoveAll(t.dir)
		return
	}
	for _, p := range t.running {
		fmt.Fprintf(os.Stderr, "--- the end of %s\n%s\n", p.Log, p.tail())
	}
}

// Path returns the path of a file in the temporary directory.
func (t *Testbed) Path(name string) string { return filepath.Join(t.dir, name) }

// Start starts a program and stops it in the end. Its output goes to the file log.
func (t *Testbed) Start(log string, env []string, name string, args ...string) (*Process, error) {
	p, err := start(t.Path(log), env, name, args...)
	if err == nil {
		t.running = append(t.running, p)
	}
	return p, err
}

func (t *Testbed) initCA(ctx context.Context) error {
	address, err := FreeAddress()
	if err != nil {
		return err
	}
	args := []string{"init", "--dir", t.Path("ca"), "--name", "Testbed", "--dns", "localhost,127.0.0.1",
		"--address", address, "--provisioner", Provisioner}
	if t.Lifetime > 0 {
		args = append(args, "--lifetime", t.Lifetime.String(), "--min-lifetime", "1s", "--max-lifetime", time.Hour.String())
	}
	out, err := exec.CommandContext(ctx, t.CA, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s init: %w: %s", t.CA, err, out)
	}
	said := map[string]string{}
	for _, f := range regexp.MustCompile(`(?m)^(url|fingerprint|password|root|acme)\s+(\S+)$`).FindAllStringSubmatch(string(out), -1) {
		said[f[1]] = f[2]
	}
	t.URL, t.Fingerprint, t.PasswordFile = said["url"], said["fingerprint"], said["password"]
	t.RootFile, t.Directory = said["root"], said["acme"]
	root, err := os.ReadFile(t.RootFile)
	if err != nil {
		return err
	}
	t.Roots = x509.NewCertPool()
	t.Roots.AppendCertsFromPEM(root)
	t.Challenges, err = FreeAddress()
	return err
}

// StartCA starts the authority, again after StopCA, and waits until it listens.
func (t *Testbed) StartCA(ctx context.Context) error {
	_, port, err := net.SplitHostPort(t.Challenges)
	if err != nil {
		return err
	}
	t.ca, err = t.Start("ca.log", nil, t.CA, "run", "--dir", t.Path("ca"), "--acme-http-port", port)
	if err != nil {
		return err
	}
	return t.ca.Listens(ctx, strings.TrimPrefix(t.URL, "https://"))
}

// StopCA stops the authority.
func (t *Testbed) StopCA() { t.ca.Stop(syscall.SIGTERM) }

// AuthorityPID returns the process of the authority.
func (t *Testbed) AuthorityPID() int { return t.ca.PID() }

// Listens waits until the process accepts connections at address.
func (p *Process) Listens(ctx context.Context, address string) error {
	return p.Until(ctx, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// Ports are below the range from which Linux takes those of outgoing connections
// (net.ipv4.ip_local_port_range, 32768 to 60999 by default), so that none takes one
// before a server listens there.
const lowPort, highPort = 10_000, 32_768

// ports counts those that were given, so that none is given twice. The first one is
// random, because other programs do the same.
var firstPort, ports = rand.Uint32N(highPort - lowPort), atomic.Uint32{}

// FreeAddress returns a loopback address at which nothing listens at this moment.
func FreeAddress() (address string, err error) {
	for range 100 {
		var l net.Listener
		port := lowPort + (firstPort+ports.Add(1))%(highPort-lowPort)
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", err
}

// Sleep waits for d, or until ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
