// Demo shows redis-cert-agent's main job on real parts, in about a minute: a
// certificate authority, a redis-server that speaks TLS only, and clients that
// must not notice anything. See make demo.
//
// The demo prints what it has seen itself, in handshakes and in answers to
// commands. It does not take the agent's word for anything.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"redis-cert-agent/cmd/internal/testbed"
)

// issuers are the ways to get a certificate.
var issuers = map[string]string{"step": "its JWK provisioner", "acme": "ACME with http-01"}

var load = testbed.LoadOptions{Kept: 4, Every: 5 * time.Millisecond, NewEvery: time.Second / 20}

func main() {
	o := testbed.Options{Lifetime: 10 * time.Second}
	o.Flags()
	issuer := flag.String("issuer", "step", "how the agent gets certificates: step or acme")
	rotations := flag.Int("rotations", 4, "rotations to wait for before the certificate is let expire")
	flag.Parse()
	if issuers[*issuer] == "" {
		fmt.Fprintf(os.Stderr, "demo: -issuer %q: want step or acme\n", *issuer)
		os.Exit(2)
	}
	o.ACME = *issuer == "acme"
	began := time.Now()
	testbed.Main(2*time.Minute, o, func(ctx context.Context, b *testbed.Testbed) error {
		d := demo{began: began, bed: b}
		d.say("ca", "a private CA on %s, asked by %s; its certificates live for %s", d.bed.URL, issuers[*issuer], o.Lifetime)
		if err := d.start(ctx); err != nil {
			return err
		}
		return d.show(ctx, *rotations)
	})
}

// A demo is a host with clients, and what its redis-server showed last.
type demo struct {
	began time.Time
	bed   *testbed.Testbed
	host  *testbed.Host
	load  *testbed.Load
	leaf  *x509.Certificate
}

func (d *demo) say(who, format string, args ...any) {
	fmt.Printf("%6.1f s  %-10s %s\n", time.Since(d.began).Seconds(), who, fmt.Sprintf(format, args...))
}

// start starts the agent, then redis-server, then clients.
func (d *demo) start(ctx context.Context) (err error) {
	if d.host, err = d.bed.NewHost("host", testbed.HostOptions{}); err != nil {
		return err
	}
	if err := d.host.StartAgent(ctx); err != nil {
		return err
	}
	d.say("agent", "no redis yet: the agent gets the first certificate, so that redis can start with it")
	if err := d.host.StartRedis(ctx); err != nil {
		return err
	}
	d.say("redis", "redis-server %s, TLS only, on %s, pid %d, password set", d.bed.RedisVersion, d.host.Address, d.host.Redis.PID())
	if d.leaf, err = d.served(ctx); err != nil {
		return err
	}
	d.say("serves", "%s", describe(d.leaf))
	d.load = d.host.StartLoad(ctx, load)
	d.say("clients", "%d connections stay open, and a new one is made %d times a second", load.Kept, time.Second/load.NewEvery)
	return nil
}

// show waits for rotations, lets the certificate expire, and has the agent
// recover from that.
func (d *demo) show(ctx context.Context, rotations int) error {
	defer d.load.Stop()
	for range rotations {
		if err := d.rotated(ctx); err != nil {
			return err
		}
	}
	if err := d.expire(ctx); err != nil {
		return err
	}
	if err := d.recover(ctx); err != nil {
		return err
	}
	if err := d.rotated(ctx); err != nil {
		return err
	}
	d.load.Stop()
	d.printStatus(ctx)
	counts := d.load.Counts()
	fmt.Printf("demo: %d rotations, 1 expired recovery, %s\n", rotations+1, counts)
	if counts.Failed > 0 {
		return fmt.Errorf("%d commands failed, the first: %w", counts.Failed, counts.First)
	}
	fmt.Printf("\nNext: %-33s the certificates of a Redis of yours, without an agent\n", d.bed.Agent+" check HOST")
	if !d.bed.ACME {
		fmt.Printf("      %-33s the same through ACME\n", "make demo ISSUER=acme")
	}
	return nil
}

// rotated waits for a rotation.
func (d *demo) rotated(ctx context.Context) error {
	if err := d.awaitNewLeaf(ctx); err != nil {
		return err
	}
	d.say("rotated", "%s   %s", describe(d.leaf), d.load.Counts())
	return nil
}

// expire stops the agent and waits until the certificate has expired.
func (d *demo) expire(ctx context.Context) error {
	d.load.PauseNew() // a new client must be refused soon
	d.host.Agent.Stop(syscall.SIGTERM)
	d.say("agent", "stopped, as if it had been forgotten; nobody renews")
	if err := testbed.Sleep(ctx, time.Until(d.leaf.NotAfter)+1500*time.Millisecond); err != nil {
		return err
	}
	err := d.host.Try(ctx)
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		return fmt.Errorf("redis should show an expired certificate now, and a new client got %v", err)
	}
	d.say("expired", "a new client is refused: %v", invalid)
	return nil
}

// recover starts the agent and waits until it has replaced the expired
// certificate.
func (d *demo) recover(ctx context.Context) error {
	if err := d.host.StartAgent(ctx); err != nil {
		return err
	}
	d.say("agent", "started: redis shows an expired certificate, has no other port, and wants a password")
	if err := d.awaitNewLeaf(ctx); err != nil {
		return err
	}
	if err := d.host.Try(ctx); err != nil {
		return fmt.Errorf("after the recovery a new client is still refused: %w", err)
	}
	d.say("recovered", "%s, pid still %d", describe(d.leaf), d.host.Redis.PID())
	d.load.ResumeNew()
	return nil
}

// awaitNewLeaf waits until redis shows another certificate than the last.
func (d *demo) awaitNewLeaf(ctx context.Context) error {
	old := d.leaf
	return d.host.Agent.Until(ctx, func() bool {
		if leaf, err := d.served(ctx); err == nil {
			d.leaf = leaf
		}
		return !d.leaf.Equal(old)
	})
}

// served returns the leaf that a handshake shows, whatever it is worth.
func (d *demo) served(ctx context.Context) (*x509.Certificate, error) {
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // nothing is sent
	c, err := dialer.DialContext(ctx, "tcp", d.host.Address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

func describe(leaf *x509.Certificate) string {
	return fmt.Sprintf("serial %.8s…, valid until %s", fmt.Sprintf("%032x", leaf.SerialNumber), leaf.NotAfter.Local().Format("15:04:05"))
}

// printStatus prints what the agent says of itself.
func (d *demo) printStatus(ctx context.Context) {
	out, err := exec.CommandContext(ctx, d.bed.Agent, "status", "--config", d.host.Config).CombinedOutput()
	if err != nil {
		out = append(out, err.Error()...)
	}
	fmt.Printf("\n$ redis-cert-agent status\n%s\n", out)
}
