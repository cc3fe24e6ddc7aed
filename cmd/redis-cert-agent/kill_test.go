package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/reload/redistest"
)

// TestKilledInRotations kills the agent at random instants while one rotation
// follows the other and clients work. Each time, with the agent dead, the pair
// on disk matches, clients accept it, and redis starts on it.
func TestKilledInRotations(t *testing.T) {
	t.Parallel()
	s := newPlainHost(t, "killed.internal")
	s.must(s.startAgent(nil, "run", "--config", "agent.yaml"))
	s.must(s.until("a pair", func() bool { return s.pairOnDisk() == nil }))
	files := redistest.Files{Cert: s.path("pair/current/redis.crt"), Key: s.path("pair/current/redis.key"), CA: s.path("pair/current/ca.crt")}
	s.redis = redistest.Start(t, redistest.Options{Addr: s.addr, Password: secret, Files: files})
	commands := s.startLoad()

	const kills = 20
	longest := time.Millisecond // how long a life lasts, adjusted to the machine
	for n := range kills {
		if s.agent == nil {
			s.must(s.startAgent(nil, "run", "--config", "agent.yaml"))
		}
		took := s.rotateUntilKilled(time.Duration(rand.Int64N(int64(longest))))
		longest = max(longest, 3*took)
		if err := s.pairOnDisk(); err != nil {
			t.Fatalf("kill %d: %v\n%s", n, err, s.logs())
		}
		if err := s.redis.TryRestart(); err != nil {
			t.Fatalf("kill %d: redis does not start on what the agent left: %v", n, err)
		}
		chain, err := s.look()
		if err == nil {
			err = s.accepted(chain)
		}
		if err != nil {
			t.Fatalf("kill %d: clients: %v", n, err)
		}
	}
	if issued := s.ca.count(s.name); issued < kills {
		t.Errorf("only %d certificates were issued in %d lives: this killed at rest", issued, kills)
	}
	if commands.Load() == 0 {
		t.Error("no client worked meanwhile")
	}
	// And the next one finds its way.
	s.must(s.startAgent(nil, "run", "--config", "agent.yaml"))
	s.must(s.awaitShown(false))
}

func (s *host) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.logs())
	}
}

// rotateUntilKilled makes the agent rotate without a pause and kills it after
// its first rotation and the given time. It returns how long the first took.
func (s *host) rotateUntilKilled(after time.Duration) time.Duration {
	control := control.Dial(s.path("control.sock"))
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan time.Duration, 1)
	var asking sync.WaitGroup
	asking.Go(func() {
		start := time.Now()
		for ctx.Err() == nil {
			_, err := control.Renew(ctx, true)
			if err != nil {
				start = time.Now() // it does not listen yet, or was killed
				continue
			}
			select {
			case first <- time.Since(start):
			default:
			}
		}
	})
	defer asking.Wait()
	defer cancel()
	var took time.Duration
	select {
	case took = <-first:
	case <-time.After(waitLimit):
		s.t.Fatalf("no rotation within %s\n%s", waitLimit, s.logs())
	}
	<-time.After(after) // the random instant
	s.agent.kill()
	s.agent = nil
	return took
}

// pairOnDisk says what is wrong with the pair that redis would start with.
func (s *host) pairOnDisk() error {
	var text [3][]byte
	for i, name := range []string{"redis.crt", "redis.key", "ca.crt"} {
		var err error
		if text[i], err = os.ReadFile(s.path("pair/current", name)); err != nil {
			return err
		}
	}
	p, err := cert.Parse(text[0], text[1], text[2])
	if err != nil {
		return err
	}
	need := cert.Need{Names: []string{s.name}, Roots: p.CA}
	if err := need.Check(p, time.Now()); err != nil {
		return fmt.Errorf("the pair on disk: %w", err)
	}
	return nil
}

// startLoad lets a client work until the test ends, and counts what it did. It
// meets restarts, so that failures say nothing.
func (s *host) startLoad() *atomic.Int64 {
	redis.SetLogger(silent{})
	c := redis.NewClient(&redis.Options{Addr: s.addr, Password: secret, MaxRetries: -1, Dialer: s.dialRedis})
	done := new(atomic.Int64)
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	working.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if c.Incr(ctx, "n").Err() == nil {
					done.Add(1)
				}
			}
		}
	})
	s.t.Cleanup(func() {
		cancel()
		working.Wait()
		c.Close()
	})
	return done
}

func (s *host) dialRedis(ctx context.Context, network, addr string) (net.Conn, error) {
	return s.clientTLS().DialContext(ctx, network, addr)
}

// silent drops what go-redis logs.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
