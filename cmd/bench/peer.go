package main

import (
	"context"
	"debug/buildinfo"
	"net"
	"os"
	"os/exec"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/step"
	"redis-cert-agent/agent/cert"
)

// A peer is what people run from a timer without an agent: step ca renew, then
// redis-cli CONFIG SET. It proves nothing, and it does not replace the pair at
// one stroke.
type peer struct {
	step      string // its version; empty: not measured
	wall, cpu time.Duration
}

const peerRounds = 30

// measurePeer is left out where there is no step or no redis-cli.
func (b *bench) measurePeer(ctx context.Context) (p peer, err error) {
	stepPath, errStep := exec.LookPath(b.step)
	cli, errCLI := exec.LookPath("redis-cli")
	if errStep != nil || errCLI != nil {
		say("no comparison with step: it wants step and redis-cli")
		return p, nil
	}
	h, err := b.newHost(ctx, "peer")
	if err != nil {
		return p, err
	}
	defer h.close()
	p.step = "step"
	if built, err := buildinfo.ReadFile(stepPath); err == nil && built.Main.Version != "" {
		p.step += " " + built.Main.Version
	}
	_, port, err := net.SplitHostPort(h.address)
	if err != nil {
		return p, err
	}
	crt, key := h.path("peer.crt"), h.path("peer.key")
	if err := b.firstPair(ctx, crt, key); err != nil {
		return p, err
	}
	say("%d rotations by step and redis-cli", peerRounds)
	var walls, cpus []time.Duration
	for range peerRounds {
		start := time.Now()
		renew := exec.CommandContext(ctx, stepPath, "ca", "renew", "--force", "--ca-url", b.caURL, "--root", b.caRoot, crt, key)
		renew.Env = append(os.Environ(), "STEPPATH="+h.path("step"))
		set := exec.CommandContext(ctx, cli, "--tls", "--cacert", b.caRoot, "-h", "localhost", "-p", port,
			"CONFIG", "SET", "tls-cert-file", h.path("pair/current/redis.crt"))
		set.Env = append(os.Environ(), "REDISCLI_AUTH="+password)
		var cpu time.Duration
		for _, c := range []*exec.Cmd{renew, set} {
			if _, err := run(c); err != nil {
				return p, err
			}
			cpu += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
		}
		walls, cpus = append(walls, time.Since(start)), append(cpus, cpu)
	}
	p.wall, p.cpu = median(walls), median(cpus)
	return p, nil
}

// issue gets a certificate in the bench's own name.
func (b *bench) issue(ctx context.Context) (*cert.Pair, error) {
	client := step.New(step.Options{
		URL: b.caURL, Fingerprint: b.caPin, Provisioner: provisioner,
		Password: func() ([]byte, error) { return b.provisionerPassword, nil },
	})
	issued, err := client.Issue(ctx, ca.Request{Names: []string{"localhost", "127.0.0.1"}, KeyType: "ec-p256"})
	if err != nil {
		return nil, err
	}
	return cert.New(issued.Chain, issued.Key, issued.Roots)
}

func (b *bench) firstPair(ctx context.Context, crt, key string) error {
	p, err := b.issue(ctx)
	if err != nil {
		return err
	}
	keyPEM, err := p.KeyPEM()
	if err != nil {
		return err
	}
	if err := os.WriteFile(crt, p.CertPEM(), 0o600); err != nil {
		return err
	}
	return os.WriteFile(key, keyPEM, 0o600)
}
