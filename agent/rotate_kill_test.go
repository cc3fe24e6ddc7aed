package agent

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
)

var errKilled = errors.New("killed")

// A deadly store ends the agent before or behind its n-th change, as a SIGKILL there would:
// nothing that the agent does afterwards happens.
type deadlyStore struct {
	*pair.Store
	kill   context.CancelFunc
	left   int
	behind bool
	dead   bool
}

func (s *deadlyStore) change(do func() error) error {
	if s.dead {
		return errKilled
	}
	if s.left--; s.left > 0 {
		return do()
	}
	s.dead = true
	if s.behind {
		_ = do()
	}
	s.kill()
	return errKilled
}

func (s *deadlyStore) SetDistrust(d pair.Distrust) error {
	return s.change(func() error { return s.Store.SetDistrust(d) })
}

func (s *deadlyStore) Switch(id int) error {
	return s.change(func() error { return s.Store.Switch(id) })
}

func (s *deadlyStore) Destroy() (n int, err error) {
	err = s.change(func() (err error) { n, err = s.Store.Destroy(); return err })
	return n, err
}

func (s *deadlyStore) Put(p *cert.Pair, o pair.Origin) (g *pair.Generation, err error) {
	err = s.change(func() (err error) { g, err = s.Store.Put(p, o); return err })
	return g, err
}

// A deadlyCA never revokes what a server shows, and answers nobody who was killed.
type deadlyCA struct {
	*testCA
	w     *rotationWorld
	store *deadlyStore
}

func (c *deadlyCA) Revoke(ctx context.Context, r ca.Revocation) error {
	if c.store.dead {
		return errKilled
	}
	for i, s := range c.w.redis {
		if s.serves.Leaf().Equal(r.Pair.Leaf()) {
			c.w.t.Errorf("%s is revoked while server %d shows it", cert.Serial(r.Pair.Leaf()), i)
		}
	}
	return c.testCA.Revoke(ctx, r)
}

// Wherever the agent is killed in a rotation, the next process and a second run end it:
// nothing is revoked while a server shows it, and at the end no old key is left.
func TestRotateKilledAnywhere(t *testing.T) {
	for n, kills := 1, true; kills; n++ {
		for _, behind := range []bool{false, true} {
			t.Run(fmt.Sprintf("change %d, behind it %v", n, behind), func(t *testing.T) {
				kills = false
				rotationTest(t, 2, func(t *testing.T, w *rotationWorld) {
					w.stop()
					w.open(w.dir)
					store := &deadlyStore{Store: w.store.(*pair.Store), kill: func() { w.cancel() }, left: n, behind: behind}
					w.agent.own, w.agent.opt.Store = store, store
					w.agent.opt.Authorities[0].Issuer = &deadlyCA{w.ca, w, store}
					w.names()
					w.run()
					synctest.Wait()
					_, _ = w.rotate(RotateOptions{Reason: ca.KeyCompromise})
					pass(time.Minute)
					kills = store.dead
					if kills && n > 40 {
						t.Fatal("a rotation has no end of changes")
					}
					w.again()
					w.agent.opt.Authorities[0].Issuer = &deadlyCA{w.ca, w, &deadlyStore{}}
					pass(time.Minute)
					if disk, err := w.store.Load(); err != nil || disk.Distrust.Rotation != nil || !disk.Distrust.Distrusts(w.first.Leaf()) {
						// It had not begun, or a server has had its one reload: a person asks again.
						if _, err := w.rotate(RotateOptions{Reason: ca.KeyCompromise}); err != nil {
							t.Fatal(err)
						}
					}
					pass(time.Minute)
					if len(w.ca.revoked) > 1 { // a revocation that was not written down is asked for again
						w.ca.revoked = w.ca.revoked[:1]
					}
					w.over()
				})
			})
		}
	}
}
