package agent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/unit"
	"redis-cert-agent/reload"
)

// A testUnit runs a Sentinel as systemd does.
type testUnit struct {
	redis    *testRedis
	state    unit.State
	err      error // what systemd says to a restart
	idle     bool  // a restart changes nothing
	restarts int
}

func (u *testUnit) Look(context.Context) (unit.State, error) {
	fakes.Lock()
	defer fakes.Unlock()
	return u.state, nil
}

func (u *testUnit) Restart(context.Context) error {
	fakes.Lock()
	defer fakes.Unlock()
	if u.err != nil {
		return u.err
	}
	u.restarts++
	if u.idle {
		return nil
	}
	return u.redis.read()
}

// What keeps a Sentinel from being restarted, and that it is when it can be.
func TestSentinelRestarts(t *testing.T) {
	three := reload.Group{PID: 7, Masters: []reload.Watched{{Name: "m", Quorum: 2, Known: 3}}}
	running := unit.State{Active: "active", File: "enabled", PID: 7}
	for _, tt := range []struct {
		name     string
		change   func(u *testUnit)
		says     string // in its hint; empty: it is proven
		restarts int
	}{
		{"all is well", func(*testUnit) {}, "", 1},
		{"a unit that was never enabled or disabled", func(u *testUnit) { u.state.File = "static" }, "", 1},
		{"stopped on purpose", func(u *testUnit) { u.state.Active = "inactive" }, "it is stopped, and left alone", 0},
		{"failed", func(u *testUnit) { u.state.Active = "failed" }, "left to a person", 0},
		{"masked", func(u *testUnit) { u.state.File = "masked" }, "left alone until it is enabled", 0},
		{"another process", func(u *testUnit) { u.state.PID = 8 }, "it has the process 8, and the Sentinel is 7", 0},
		{"another Sentinel is away", func(u *testUnit) { u.redis.group.Masters[0].Absent = []string{"10.0.0.2:26379"} }, "1 of 3 Sentinels would be left", 0},
		{"no right to it", func(u *testUnit) { u.err = errors.New("allow it by a rule of polkit") }, "rule of polkit", 0},
		{"a restart that brings nothing", func(u *testUnit) { u.idle = true }, "it was restarted 3 times, and is left to a person", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := &world{t: t, ca: newTestCA(t, 24*time.Hour), keep: 3, redis: []*testRedis{{dir: dir, sentinel: true, group: three}}}
				u := &testUnit{redis: w.redis[0], state: running}
				u.redis.group.Masters = append([]reload.Watched{}, three.Masters...)
				w.open(dir, func(o *Options) { o.Servers[0].Unit = u })
				w.run()
				defer w.stop()
				synctest.Wait()
				w.redis[0].start(t)
				pass(time.Minute)
				tt.change(u)
				pass(17 * time.Hour)
				s := w.agent.opt.Board.Get().Servers[0]
				if u.restarts != tt.restarts || !strings.Contains(s.Hint, tt.says) || (tt.says == "") != (s.State == "proven") {
					t.Errorf("%d restarts, want %d; %s: %q, want %q", u.restarts, tt.restarts, s.State, s.Hint, tt.says)
				}
				if w.redis[0].reloads > 0 {
					t.Errorf("asked %d times to reload", w.redis[0].reloads)
				}
			})
		})
	}
}

// When what it shows has ended, its group has lost it already: nothing keeps it from the
// restart but what a person has stopped.
func TestExpiredSentinelRestarts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, ca: newTestCA(t, 24*time.Hour), keep: 3, redis: []*testRedis{{dir: dir, sentinel: true}}}
		u := &testUnit{redis: w.redis[0], state: unit.State{Active: "active", PID: 7}}
		w.redis[0].group = reload.Group{PID: 7, Masters: []reload.Watched{{Name: "m", Quorum: 2, Known: 3, Absent: []string{"a:1", "b:1"}, Fault: "NOQUORUM"}}}
		w.open(dir, func(o *Options) { o.Servers[0].Unit = u })
		w.run()
		defer w.stop()
		synctest.Wait()
		w.redis[0].start(t)
		pass(23 * time.Hour)
		if u.restarts > 0 {
			t.Fatal("it was restarted without a quorum")
		}
		pass(90 * time.Minute)
		if u.restarts == 0 || !w.redis[0].serves.Leaf().Equal(w.disk()) {
			t.Errorf("%d restarts after the end of what it shows", u.restarts)
		}
	})
}
