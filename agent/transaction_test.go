package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload"
)

// A brittle redis loads a pair that it cannot shake hands with: from then on nobody
// reaches it over TLS, and only a connection that is open already makes it read its
// files again.
type brittle struct {
	*testRedis
	cannot func(*cert.Pair) bool
	tries  int // reloads over a connection of their own
}

var errNoHandshake = errors.Join(reload.ErrRefused, errors.New("handshake failure"))

func (b *brittle) broken() bool {
	fakes.Lock()
	defer fakes.Unlock()
	return b.serves != nil && b.cannot(b.serves)
}

func (b *brittle) Served(ctx context.Context, t reload.Trust) (reload.Served, error) {
	if b.broken() {
		return reload.Served{}, errNoHandshake
	}
	return b.testRedis.Served(ctx, t)
}

func (b *brittle) Prove(ctx context.Context, t reload.Trust, leaf *x509.Certificate) error {
	if b.broken() {
		return errNoHandshake
	}
	return b.testRedis.Prove(ctx, t, leaf)
}

func (b *brittle) Reload(ctx context.Context, t reload.Trust, l reload.Load) (reload.Reloaded, error) {
	if b.broken() {
		return reload.Reloaded{}, errNoHandshake
	}
	fakes.Lock()
	b.tries++
	fakes.Unlock()
	return b.testRedis.Reload(ctx, t, l)
}

// after says that a pair is another than the first.
func after(first *x509.Certificate) func(*cert.Pair) bool {
	return func(p *cert.Pair) bool { return !p.Leaf().Equal(first) }
}

// A pair that ends all handshakes is taken back over the connection that loaded it, and
// not tried again until somebody asks or another pair is there.
func TestBrokenHandshakesAreUndone(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, dir, 1)
		defer w.stop()
		first := w.disk()
		b := &brittle{testRedis: w.redis[0], cannot: after(first)}
		w.replace(0, b)
		if err := w.renew(true); err == nil {
			t.Error("renew says that all is well")
		}
		if b.broken() || !w.disk().Equal(first) {
			t.Error("the server, or the disk, was left with the pair that nobody can shake hands with")
		}
		pass(14 * time.Hour)
		if b.tries != 1 {
			t.Errorf("tried %d times in 14 hours: each try takes the server from its clients", b.tries)
		}
		if s := w.agent.opt.Board.Get(); s.Servers[0].State != status.Failing || s.Servers[0].Error == "" {
			t.Errorf("the server is %+v", s.Servers[0])
		}
		b.cannot = func(*cert.Pair) bool { return false } // its tls-ciphers were mended
		if err := w.renew(false); err != nil || b.tries != 2 || w.ca.issued != 2 {
			t.Errorf("renew says %v, after %d tries and %d certificates", err, b.tries, w.ca.issued)
		}
		if w.disk().Equal(first) || !w.redis[0].serves.Leaf().Equal(w.disk()) {
			t.Error("the new pair is not served")
		}
	})
}

// A hanging redis does not answer until it is told to load a pair after it thawed.
type hanging struct {
	*brittle
	hangs, thaws bool
}

func (h *hanging) still() bool {
	fakes.Lock()
	defer fakes.Unlock()
	return h.hangs
}

func (h *hanging) Served(ctx context.Context, t reload.Trust) (reload.Served, error) {
	if h.still() {
		return reload.Served{}, reload.ErrUnreachable
	}
	return h.brittle.Served(ctx, t)
}

func (h *hanging) Reload(ctx context.Context, t reload.Trust, l reload.Load) (reload.Reloaded, error) {
	fakes.Lock()
	h.hangs = h.hangs && !h.thaws
	fakes.Unlock()
	if h.still() {
		return reload.Reloaded{}, reload.ErrUnreachable
	}
	return h.brittle.Reload(ctx, t, l)
}

// It is taken back also where nobody knew what the server showed: it hung while the pair was
// replaced, and answered again between the look at it and the reload.
func TestBrokenAfterAHangIsUndone(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, dir, 1)
		defer w.stop()
		first := w.disk()
		h := &hanging{brittle: &brittle{testRedis: w.redis[0], cannot: after(first)}, hangs: true}
		w.replace(0, h)
		_ = w.renew(false)
		_ = w.renew(true)
		fakes.Lock()
		h.thaws = true
		fakes.Unlock()
		pass(time.Hour)
		if h.broken() || !w.disk().Equal(first) || h.tries != 1 {
			t.Errorf("after %d tries the server, or the disk, was left with the pair that nobody can shake hands with", h.tries)
		}
	})
}

// It is taken back at the server that it breaks also when another one proves it; that
// one, and the disk, stay with the new pair.
func TestOneOfTwoIsUndone(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, dir, 2)
		defer w.stop()
		first := w.disk()
		b := &brittle{testRedis: w.redis[1], cannot: after(first)}
		w.replace(1, b)
		if err := w.renew(true); err == nil {
			t.Error("renew says that all is well")
		}
		if b.broken() || !w.redis[1].serves.Leaf().Equal(first) {
			t.Error("the second server was left with what it cannot use")
		}
		if !w.redis[0].serves.Leaf().Equal(w.disk()) || w.disk().Equal(first) {
			t.Error("the first server, or the disk, went back as well")
		}
		pass(14 * time.Hour)
		if b.tries != 1 || w.redis[0].reloads != 1 {
			t.Errorf("%d and %d reloads", w.redis[0].reloads, b.tries)
		}
	})
}

// A restart of the server is a change: what it could not use it may be able to now.
func TestUndoneIsTriedAfterARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.store.Close()
		w.open(dir, func(o *Options) { o.LookEvery = time.Minute })
		w.settle()
		defer w.stop()
		b := &brittle{testRedis: w.redis[0], cannot: after(w.disk())}
		w.replace(0, b)
		_ = w.renew(true)
		w.redis[0].down = true
		pass(2 * time.Minute)
		b.cannot = func(*cert.Pair) bool { return false }
		w.redis[0].start(t)
		pass(10 * time.Minute)
		if w.problems() != "" || w.ca.issued != 2 {
			t.Errorf("%s, %d certificates", w.problems(), w.ca.issued)
		}
	})
}

// A server that was set otherwise in a moment when nobody looked tries the newest pair
// again before the one that it shows ends.
func TestUndoneIsTriedBeforeTheEnd(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, dir, 1)
		defer w.stop()
		end := w.disk().NotAfter
		b := &brittle{testRedis: w.redis[0], cannot: after(w.disk())}
		w.agent.opt.Servers[0].Redis = b
		pass(17 * time.Hour) // the renewal was due meanwhile
		b.cannot = func(*cert.Pair) bool { return false }
		pass(time.Until(end) - time.Hour)
		if b.tries != 1 {
			t.Errorf("tried %d times although nothing is known to have changed", b.tries)
		}
		pass(time.Until(end) - time.Minute)
		if !b.serves.Leaf().NotAfter.After(end) || w.problems() != "" || w.ca.issued != 2 {
			t.Errorf("a minute before its certificate ends the server shows that until %s; %s", b.serves.Leaf().NotAfter, w.problems())
		}
	})
}

// That a server was away is noticed also where nothing else calls for a look.
func TestUndoneIsLookedAt(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, dir, 1)
		defer w.stop()
		b := &brittle{testRedis: w.redis[0], cannot: after(w.disk())}
		w.agent.opt.Servers[0].Redis = b
		_ = w.renew(true)
		w.redis[0].down = true
		pass(6 * time.Minute)
		b.cannot = func(*cert.Pair) bool { return false }
		w.redis[0].start(t)
		pass(6 * time.Minute)
		if p := w.problems(); p != "" {
			t.Error(p)
		}
	})
}

// A vague redis takes the pair, or does not, and breaks the connection before it has
// answered.
type vague struct {
	*testRedis
	takes bool
}

func (v *vague) Reload(ctx context.Context, t reload.Trust, l reload.Load) (reload.Reloaded, error) {
	if v.takes {
		_, _ = v.testRedis.Reload(ctx, t, l)
	}
	return reload.Reloaded{}, errors.Join(reload.ErrUnreachable, reload.ErrUncertain)
}

// After an odd end of a reload a handshake decides what is true.
func TestHandshakeDecides(t *testing.T) {
	for name, takes := range map[string]bool{"it took the pair": true, "it did not": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := settledWorld(t, dir, 1)
				defer w.stop()
				w.replace(0, &vague{w.redis[0], takes})
				err := w.renew(true)
				if s := w.agent.opt.Board.Get().Servers[0]; (err == nil) != takes || (s.State == status.Proven) != takes || s.State == status.Unreachable {
					t.Errorf("renew says %v, the server is %s", err, s.State)
				}
				w.replace(0, w.redis[0])
				pass(10 * time.Minute)
				if p := w.problems(); p != "" || w.ca.issued != 2 {
					t.Errorf("%s, %d certificates", p, w.ca.issued)
				}
			})
		})
	}
}

// A hostile redis sends what no program copes with.
type hostile struct{ *testRedis }

func (hostile) Reload(context.Context, reload.Trust, reload.Load) (reload.Reloaded, error) {
	panic("makeslice")
}
func (hostile) Settings(context.Context, reload.Trust) (reload.Settings, error) {
	panic("makeslice")
}

// A panic is the failure of the server that caused it.
func TestPanicIsOneServersFailure(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, dir, 2)
		defer w.stop()
		w.replace(0, hostile{w.redis[0]})
		if err := w.renew(true); err == nil {
			t.Error("renew says that all is well")
		}
		if !w.redis[1].serves.Leaf().Equal(w.disk()) {
			t.Error("the other server does not show the newest pair")
		}
		s := w.agent.opt.Board.Get().Servers
		if s[0].State != status.Failing || s[1].State != status.Proven {
			t.Errorf("the servers are %s and %s", s[0].State, s[1].State)
		}
	})
}

// A frozen redis takes connections and never answers.
type frozen struct{ *testRedis }

func hang(ctx context.Context) error {
	select {
	case <-time.After(5 * time.Second):
		return reload.ErrUnreachable
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (frozen) Served(ctx context.Context, _ reload.Trust) (reload.Served, error) {
	return reload.Served{}, hang(ctx)
}

func (frozen) Reload(ctx context.Context, _ reload.Trust, _ reload.Load) (reload.Reloaded, error) {
	return reload.Reloaded{}, hang(ctx)
}

// Servers that hang cost the healthy ones no time, and a round no more than their limit
// once each for the reload and for the look.
func TestFrozenServersHurtNobody(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 64)
		w.run()
		defer w.stop()
		synctest.Wait()
		for i, r := range w.redis {
			r.start(t)
			if i%8 == 0 {
				w.replace(i, frozen{r})
			}
		}
		first, start := w.disk(), time.Now()
		answered := make(chan time.Duration, 1)
		go func() {
			_ = w.agent.Renew(t.Context(), true)
			answered <- time.Since(start)
		}()
		pass(time.Millisecond)
		for i, r := range w.redis {
			if i%8 != 0 && r.serves.Leaf().Equal(first) {
				t.Fatalf("server %d waits for the frozen ones", i)
			}
		}
		if took := <-answered; took > 10*time.Second {
			t.Errorf("renew was answered after %s", took)
		}
	})
}
