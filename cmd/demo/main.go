// Demo shows redis-cert-agent's main job on real parts, in about a minute: a
// certificate authority, a redis-server that speaks TLS only, and clients that
// must not notice anything. See make demo.
//
// What it prints it has seen itself in handshakes and in answers to commands;
// it does not take the agent's word for anything.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	var o options
	flag.StringVar(&o.agent, "agent", "bin/redis-cert-agent", "the agent's binary")
	flag.StringVar(&o.ca, "ca", "bin/redis-cert-ca", "the CA's binary")
	flag.StringVar(&o.redis, "redis", "redis-server", "the redis-server to use")
	flag.StringVar(&o.issuer, "issuer", "step", "how the agent gets certificates: step or acme")
	flag.DurationVar(&o.lifetime, "lifetime", 10*time.Second, "lifetime of the certificates")
	flag.IntVar(&o.rotations, "rotations", 4, "rotations to wait for before the certificate is let expire")
	flag.Parse()
	if issuers[o.issuer] == "" {
		fmt.Fprintf(os.Stderr, "demo: -issuer %q: want step or acme\n", o.issuer)
		os.Exit(2)
	}

	redis.SetLogger(quiet{}) // the demo tells itself what fails

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	err := show(ctx, o)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

// quiet drops what go-redis logs.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// issuers are the ways to get a certificate.
var issuers = map[string]string{"step": "its JWK provisioner", "acme": "ACME with http-01"}

type options struct {
	agent, ca, redis string
	issuer           string
	lifetime         time.Duration
	rotations        int
}

// show is the demo from beginning to end.
func show(ctx context.Context, o options) (err error) {
	s, err := newStage(o)
	if err != nil {
		return err
	}
	defer func() { s.close(err) }()

	say := s.say
	if err := s.startCA(ctx); err != nil {
		return err
	}
	say("ca", "a private CA on %s, asked by %s; its certificates live for %s", s.caURL, issuers[o.issuer], o.lifetime)
	if err := s.startAgent(ctx); err != nil {
		return err
	}
	say("agent", "no redis yet: the agent gets the first certificate, so that redis can start with it")
	if err := s.startRedis(ctx); err != nil {
		return err
	}
	say("redis", "%s, TLS only, on %s, pid %d, password set", s.redisVersion, s.redisAddr, s.redisPID())

	watch, err := s.look(ctx)
	if err != nil {
		return err
	}
	say("serves", "%s", describe(watch))
	load := startLoad(ctx, s)
	defer load.stop()
	say("clients", "%d connections stay open, and a new one is made %d times a second", keptOpen, perSecond)

	rotations := 0
	for ; rotations < o.rotations; rotations++ {
		if watch, err = s.awaitRotation(ctx, watch); err != nil {
			return err
		}
		say("rotated", "%s   %s", describe(watch), load.summary())
	}

	load.pauseNew()
	s.stopAgent()
	say("agent", "stopped, as if it had been forgotten; nobody renews")
	if err := s.awaitExpiry(ctx, watch); err != nil {
		return err
	}
	say("expired", "a new client is refused: %v", s.tryClient(ctx))
	if err := s.startAgent(ctx); err != nil {
		return err
	}
	say("agent", "started: redis shows an expired certificate, has no other port, and wants a password")
	if watch, err = s.awaitRotation(ctx, watch); err != nil {
		return err
	}
	if err := s.tryClient(ctx); err != nil {
		return fmt.Errorf("after the recovery a new client is still refused: %w", err)
	}
	say("recovered", "%s, pid still %d", describe(watch), s.redisPID())
	load.resumeNew()
	if watch, err = s.awaitRotation(ctx, watch); err != nil {
		return err
	}
	rotations++
	say("rotated", "%s   %s", describe(watch), load.summary())

	commands, failed := load.stop()
	s.printStatus(ctx)
	fmt.Printf("demo: %d rotations, 1 expired recovery, %d commands, %d failed\n", rotations, commands, failed)
	if failed > 0 {
		return fmt.Errorf("%d commands failed, the first: %w", failed, load.firstError())
	}
	return nil
}
