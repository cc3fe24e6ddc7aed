package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"redis-cert-agent/cmd/internal/process"
)

func sha256Sum(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// An act is something that goes wrong, is seen by the agents, and is put right.
// Each waits for what the agents see and not for a time: their renewals fall
// where their jitter puts them.
type act struct {
	lead          time.Duration // before it
	wrong, right  string        // in words
	breaks, mends func() error
	seen          string        // a query that has an answer when it is
	lasts         time.Duration // after that
}

func (s *stage) acts(ctx context.Context, second *process.Process) []act {
	return []act{
		{
			lead: s.lifetime * 3 / 4, wrong: "the Redis of redis1 refuses its agent CONFIG SET", right: "it lets it again",
			breaks: func() error { return s.acl(ctx, "-config|set") },
			seen:   `redis_cert_agent_server_drift{instance="redis1"} == 1`, lasts: s.lifetime / 8,
			mends: func() error { return s.acl(ctx, "+config|set") },
		}, {
			lead: s.lifetime / 8, wrong: "the second Redis of redis2 is down", right: "it is started",
			breaks: func() error { second.Stop(syscall.SIGTERM); return nil },
			seen:   `redis_cert_agent_server_up{instance="redis2"} == 0`, lasts: s.lifetime / 8,
			mends: func() error { _, err := s.startRedis(ctx, "redis2", host2, "6380"); return err },
		}, {
			lead: s.lifetime / 2, wrong: "the CA is down", right: "it is started",
			breaks: func() error { s.authority.Stop(syscall.SIGTERM); return nil },
			seen: `min((redis_cert_agent_certificate_not_after_timestamp_seconds{role="leaf"} - time())
				/ (redis_cert_agent_certificate_not_after_timestamp_seconds - redis_cert_agent_certificate_not_before_timestamp_seconds)) < 0.05`,
			mends: func() error { return s.startCA(ctx) },
		},
	}
}

const allWell = "sum(redis_cert_agent_server_proven) == 3 and min(redis_cert_agent_healthy) == 1 and sum(redis_cert_agent_problems) == 0"

// play starts everything, performs the acts, and returns what Prometheus has seen.
func (s *stage) play(ctx context.Context) (recording, error) {
	r := recording{url: "http://" + central + ":9090", scrape: scrapeEvery,
		scene: fmt.Sprintf("Two agents, three servers, certificates of %s.", spell(s.lifetime))}
	second, err := s.begin(ctx)
	if err != nil {
		return r, err
	}
	if err := s.await(ctx, r.url, allWell); err != nil {
		return r, err
	}
	r.from = time.Now().Add(scrapeEvery).Truncate(time.Second)
	s.say("all is well; certificates live for %s", spell(s.lifetime))
	for _, a := range s.acts(ctx, second) {
		e, err := s.perform(ctx, r.url, a)
		if err != nil {
			return r, fmt.Errorf("%s: %w", a.wrong, err)
		}
		r.events = append(r.events, e)
	}
	if err := sleep(ctx, s.lifetime); err != nil {
		return r, err
	}
	r.to = time.Now().Truncate(time.Second)
	return r, s.await(ctx, r.url, allWell)
}

func (s *stage) perform(ctx context.Context, url string, a act) (event, error) {
	if err := sleep(ctx, a.lead); err != nil {
		return event{}, err
	}
	s.say("%s", a.wrong)
	e := event{from: time.Now(), text: a.wrong}
	if err := a.breaks(); err != nil {
		return e, err
	}
	if err := s.await(ctx, url, a.seen); err != nil {
		return e, err
	}
	if err := sleep(ctx, a.lasts); err != nil {
		return e, err
	}
	s.say("%s", a.right)
	if err := a.mends(); err != nil {
		return e, err
	}
	e.to = time.Now()
	return e, s.await(ctx, url, allWell)
}

// begin starts everything, and returns the redis-server that will be stopped.
func (s *stage) begin(ctx context.Context) (*process.Process, error) {
	if err := s.write(redisPassword+"\n", "redis-password"); err != nil {
		return nil, err
	}
	if err := s.initCA(ctx); err != nil {
		return nil, err
	}
	if err := s.startAgent(ctx, "redis1", host1, "6379"); err != nil {
		return nil, err
	}
	if _, err := s.startRedis(ctx, "redis1", host1, "6379"); err != nil {
		return nil, err
	}
	// The two hosts renew at different times.
	if err := sleep(ctx, s.lifetime/6); err != nil {
		return nil, err
	}
	if err := s.startAgent(ctx, "redis2", host2, "6379", "6380"); err != nil {
		return nil, err
	}
	if _, err := s.startRedis(ctx, "redis2", host2, "6379"); err != nil {
		return nil, err
	}
	second, err := s.startRedis(ctx, "redis2", host2, "6380")
	if err != nil {
		return nil, err
	}
	return second, s.startPrometheus(ctx)
}

// acl changes what the agent may do in the Redis of redis1.
func (s *stage) acl(ctx context.Context, rule string) error {
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket("redis1", "6379")})
	defer c.Close()
	return c.Do(ctx, "ACL", "SETUSER", "agent", rule).Err()
}

// await waits until Prometheus has an answer to the query.
func (s *stage) await(ctx context.Context, url, query string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*s.lifetime)
	defer cancel()
	for {
		answers, err := prometheus{url}.instant(ctx, query, time.Now())
		if err == nil && len(answers) > 0 {
			return nil
		}
		if waited := sleep(ctx, scrapeEvery/2); waited != nil {
			return errors.Join(fmt.Errorf("waited for %s: %w", query, waited), err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
