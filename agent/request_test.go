package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"redis-cert-agent/reload"
)

// A stoppingRedis ends the agent that asks what it shows.
type stoppingRedis struct {
	*testRedis
	stop func()
}

func (r stoppingRedis) Served(ctx context.Context, t reload.Trust) (reload.Served, error) {
	r.stop()
	return r.testRedis.Served(ctx, t)
}

// Who asked for a look that the end of the agent broke off is not told that it is done:
// the status is still that of the look before.
func TestLookIsBrokenOff(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, dir, 1)
		w.replace(0, stoppingRedis{w.redis[0], w.cancel})
		if err := w.agent.Look(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("the look says %v, want that the agent stopped", err)
		}
		w.stop()
	})
}
