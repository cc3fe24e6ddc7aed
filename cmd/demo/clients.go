package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	keptOpen  = 4  // connections that are opened once
	perSecond = 20 // connections that are made anew
)

func (s *stage) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: s.roots, ServerName: "localhost"}
}

// client returns a client of one connection that verifies what it is shown, as
// every client does. It retries nothing: a failure must be seen.
func (s *stage) client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: s.redisAddr, Password: s.password, TLSConfig: s.tlsConfig(),
		PoolSize: 1, MaxRetries: -1, DialerRetries: 1,
	})
}

// tryClient makes a new connection and one command on it.
func (s *stage) tryClient(ctx context.Context) error {
	c := s.client()
	defer c.Close()
	return c.Incr(ctx, "new").Err()
}

// look returns the leaf that a handshake shows, whatever it is worth.
func (s *stage) look(ctx context.Context) (*x509.Certificate, error) {
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // to look is not to trust
	c, err := d.DialContext(ctx, "tcp", s.redisAddr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// awaitRotation waits until redis shows another certificate than old.
func (s *stage) awaitRotation(ctx context.Context, old *x509.Certificate) (*x509.Certificate, error) {
	now := old
	err := s.agentProcess.Until(ctx, func() bool {
		leaf, err := s.look(ctx)
		if err == nil {
			now = leaf
		}
		return !now.Equal(old)
	})
	return now, err
}

// awaitExpiry waits until leaf, which redis goes on showing, has expired.
func (s *stage) awaitExpiry(ctx context.Context, leaf *x509.Certificate) error {
	t := time.NewTimer(time.Until(leaf.NotAfter) + 1500*time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.tryClient(ctx) == nil {
		return errors.New("redis should show an expired certificate now, and a new client was accepted")
	}
	return nil
}

func describe(leaf *x509.Certificate) string {
	return fmt.Sprintf("serial %s, valid until %s", short(leaf.SerialNumber), leaf.NotAfter.Local().Format("15:04:05"))
}

func short(serial *big.Int) string {
	return fmt.Sprintf("%032x", serial)[:8] + "…"
}

// A load is clients at work.
type load struct {
	commands, failed atomic.Int64
	paused           atomic.Bool // no new connections
	first            atomic.Pointer[error]
	cancel           context.CancelFunc
	running          sync.WaitGroup
}

func startLoad(ctx context.Context, s *stage) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel}
	for range keptOpen {
		c := s.client()
		l.running.Go(func() {
			defer c.Close()
			l.every(ctx, 5*time.Millisecond, func() { l.count(ctx, c.Incr(ctx, "kept").Err()) })
		})
	}
	l.running.Go(func() {
		l.every(ctx, time.Second/perSecond, func() {
			if !l.paused.Load() {
				l.count(ctx, s.tryClient(ctx))
			}
		})
	})
	return l
}

func (l *load) every(ctx context.Context, d time.Duration, do func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			do()
		case <-ctx.Done():
			return
		}
	}
}

func (l *load) count(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	l.commands.Add(1)
	if err != nil {
		l.failed.Add(1)
		l.first.CompareAndSwap(nil, &err)
	}
}

func (l *load) pauseNew()  { l.paused.Store(true) }
func (l *load) resumeNew() { l.paused.Store(false) }

func (l *load) summary() string {
	return fmt.Sprintf("%d commands, %d failed", l.commands.Load(), l.failed.Load())
}

func (l *load) firstError() error { return *l.first.Load() }

// stop ends the clients and returns how many commands they made, and how many
// of these failed.
func (l *load) stop() (commands, failed int64) {
	l.cancel()
	l.running.Wait()
	return l.commands.Load(), l.failed.Load()
}
