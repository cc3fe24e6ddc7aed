package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"redis-cert-agent/cmd/internal/testbed"
)

// A peer is a redis-server whose certificate another program renews.
type peer struct {
	*testbed.Host
	bed *bench
	env []string // for the programs
	cpu time.Duration
}

// newPeer starts a redis-server whose first certificate came by the step CLI.
func (b *bench) newPeer(ctx context.Context, name string) (*peer, error) {
	h, err := b.NewHost(name, testbed.HostOptions{Files: "files"})
	if err != nil {
		return nil, err
	}
	p := &peer{Host: h, bed: b, env: append(os.Environ(), "REDISCLI_AUTH="+testbed.Password, "STEPPATH="+h.Path("step"))}
	if err := os.Mkdir(h.Files(), 0o700); err != nil {
		return nil, err
	}
	root, err := os.ReadFile(b.RootFile)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(p.file("ca.crt"), root, 0o600); err != nil {
		return nil, err
	}
	if err := p.enroll(ctx, p.file("redis.crt"), p.file("redis.key")); err != nil {
		return nil, err
	}
	return p, h.StartRedis(ctx)
}

func (p *peer) file(name string) string { return filepath.Join(p.Files(), name) }

// enroll gets a certificate with a new key from the authority.
func (p *peer) enroll(ctx context.Context, cert, key string) error {
	return p.run(ctx, p.bed.opts.step, "ca", "certificate", "--san", "localhost", "--san", "127.0.0.1", "--force",
		"--ca-url", p.bed.URL, "--root", p.bed.RootFile, "--provisioner", testbed.Provisioner, "--provisioner-password-file", p.bed.PasswordFile, "localhost", cert, key)
}

// run runs a program and adds up the CPU time that it and its children took.
func (p *peer) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = p.env
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState != nil {
		p.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, args[0], err, out)
	}
	return nil
}

// hook returns the command that makes redis read its files again.
func (p *peer) hook() []string {
	host, port, _ := strings.Cut(p.Address, ":")
	return []string{p.bed.opts.redisCLI, "-h", host, "-p", port, "--tls", "--cacert", p.bed.RootFile, "CONFIG", "SET", "tls-cert-file", p.file("redis.crt")}
}

// renewal returns the arguments of step by which the certificate is renewed.
func (p *peer) renewal(more ...string) []string {
	arguments := append([]string{"ca", "renew", "--force", "--ca-url", p.bed.URL, "--root", p.bed.RootFile}, more...)
	return append(arguments, p.file("redis.crt"), p.file("redis.key"))
}

// recipe does what the usual systemd timer starts when a renewal is due: three programs,
// one after the other. It needs no shell and no unit, which would only add to it.
func (p *peer) recipe(ctx context.Context) error {
	// It exits 1 because the certificate is not due, and takes as long.
	_ = p.run(ctx, p.bed.opts.step, "certificate", "needs-renewal", p.file("redis.crt"))
	if err := p.run(ctx, p.bed.opts.step, p.renewal()...); err != nil {
		return err
	}
	hook := p.hook()
	return p.run(ctx, hook[0], hook[1:]...)
}

// startDaemon starts step's own daemon with the hook, and with a log that is its alone,
// which tells when it listens. It renews at SIGHUP.
func (p *peer) startDaemon(ctx context.Context, log string) (*testbed.Process, error) {
	d, err := p.bed.Start(log, p.env, p.bed.opts.step, p.renewal("--daemon", "--exec", strings.Join(p.hook(), " "))...)
	if err != nil {
		return nil, err
	}
	return d, d.Until(ctx, func() bool {
		said, err := os.ReadFile(d.Log)
		return err == nil && strings.Contains(string(said), "first renewal in")
	})
}

// certbot renews by ACME with certbot, which runs the hook.
func (p *peer) certbot(ctx context.Context) error {
	return p.run(ctx, p.bed.opts.certbot, append(p.certbotFiles(), "renew", "--force-renewal", "--no-random-sleep-on-renew", "--deploy-hook", strings.Join(p.hook(), " "))...)
}

func (p *peer) certbotFiles() []string {
	dir := p.Path("certbot")
	return []string{"--config-dir", dir, "--work-dir", dir, "--logs-dir", dir, "--non-interactive"}
}

// enrollCertbot replaces the files of redis by links to certbot's.
func (p *peer) enrollCertbot(ctx context.Context) error {
	p.env = append(p.env, "REQUESTS_CA_BUNDLE="+p.bed.RootFile)
	host, port, _ := strings.Cut(p.bed.Challenges, ":")
	err := p.run(ctx, p.bed.opts.certbot, append(p.certbotFiles(), "certonly", "--agree-tos", "--register-unsafely-without-email", "--server", p.bed.Directory,
		"--standalone", "--http-01-address", host, "--http-01-port", port, "--key-type", "ecdsa", "-d", "localhost")...)
	if err != nil {
		return err
	}
	for own, theirs := range map[string]string{"redis.crt": "fullchain.pem", "redis.key": "privkey.pem"} {
		if err := os.Remove(p.file(own)); err != nil {
			return err
		}
		if err := os.Symlink(filepath.Join(p.Path("certbot/live/localhost"), theirs), p.file(own)); err != nil {
			return err
		}
	}
	hook := p.hook()
	return p.run(ctx, hook[0], hook[1:]...)
}

// served returns the leaf that a handshake with address shows, whatever it is worth.
func served(ctx context.Context, address string) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // nothing is sent
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// awaitServed asks until a server shows another leaf than old, and returns that.
func awaitServed(ctx context.Context, address string, old *x509.Certificate) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		leaf, err := served(ctx, address)
		if err != nil || !leaf.Equal(old) {
			return leaf, err
		}
		if err := testbed.Sleep(ctx, time.Millisecond); err != nil {
			return nil, fmt.Errorf("redis at %s does not show a new certificate: %w", address, err)
		}
	}
}

// hangUp makes step's daemon renew.
func hangUp(d *testbed.Process) error { return syscall.Kill(d.PID(), syscall.SIGHUP) }
