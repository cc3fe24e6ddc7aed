package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload"
)

// A picky redis says before it is told that it could not serve any other pair.
type picky struct {
	*testRedis
	mended bool
	asked  int
}

func (p *picky) Reload(ctx context.Context, t reload.Trust, l reload.Load) (reload.Reloaded, error) {
	fakes.Lock()
	p.asked++
	refuses := !p.mended && !p.down
	fakes.Unlock()
	if refuses {
		return reload.Reloaded{}, errors.Join(reload.ErrRefused, reload.ErrUnfit)
	}
	return p.testRedis.Reload(ctx, t, l)
}

// currentLink tells whether current was replaced: each switch makes another link.
func currentLink(t *testing.T, dir string) uint64 {
	t.Helper()
	fi, err := os.Lstat(filepath.Join(dir, "current"))
	if err != nil {
		t.Fatal(err)
	}
	return fi.Sys().(*syscall.Stat_t).Ino
}

// Where a server could not serve the newest pair, nothing is switched, not for a moment;
// it is asked again, since asking costs its clients nothing.
func TestUnfitChangesNothing(t *testing.T) {
	for name, otherDown := range map[string]bool{"alone": false, "and the other one is down": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 2)
				if !otherDown {
					w.redis = w.redis[:1]
					w.store.Close()
					w.open(dir)
				}
				w.settle()
				defer w.stop()
				link := currentLink(t, dir)
				p := &picky{testRedis: w.redis[0]}
				w.replace(0, p)
				if otherDown {
					w.redis[1].down = true
				}
				if err := w.renew(true); err == nil {
					t.Error("renew says that all is well")
				}
				pass(time.Hour)
				if currentLink(t, dir) != link || w.redis[0].reloads != 0 {
					t.Error("something was switched, or redis was told")
				}
				if s := w.agent.opt.Board.Get(); s.Servers[0].State != status.Failing || p.asked < 10 || p.asked > 40 {
					t.Errorf("the server is %s, and was asked %d times", s.Servers[0].State, p.asked)
				}
				fakes.Lock()
				p.mended = true
				fakes.Unlock()
				pass(6 * time.Minute)
				if !w.redis[0].serves.Leaf().Equal(w.disk()) || w.ca.issued != 2 {
					t.Error("its settings were mended, and it does not serve the newest pair")
				}
			})
		})
	}
}

// What one server could not serve the others load.
func TestUnfitForOneOfTwo(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, dir, 2)
		defer w.stop()
		first := w.disk()
		w.replace(0, &picky{testRedis: w.redis[0]})
		if err := w.renew(true); err == nil {
			t.Error("renew says that all is well")
		}
		pass(time.Hour)
		if !w.redis[1].serves.Leaf().Equal(w.disk()) || w.disk().Equal(first) || w.redis[1].reloads != 1 {
			t.Error("the second server, or the disk, does not have the newest pair")
		}
		if !w.redis[0].serves.Leaf().Equal(first) || w.redis[0].reloads != 0 {
			t.Error("the first server was told to load what it could not serve")
		}
	})
}
