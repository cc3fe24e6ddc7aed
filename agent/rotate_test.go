package agent

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload"
)

// A rotationWorld has servers with names of their own, which show a first certificate.
type rotationWorld struct {
	*world
	dir   string
	first *cert.Pair
}

func rotationTest(t *testing.T, servers int, test func(t *testing.T, w *rotationWorld)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &rotationWorld{newWorld(t, dir, servers), dir, nil}
		w.names()
		w.run()
		defer func() { w.stop() }()
		synctest.Wait()
		for _, r := range w.redis {
			r.start(t)
		}
		pass(time.Minute)
		w.first = w.redis[0].serves
		test(t, w)
	})
}

func (w *rotationWorld) names() {
	for i := range w.agent.opt.Servers {
		w.agent.opt.Servers[i].Name = string(rune('a' + i))
	}
}

// again is a kill and a start of the process.
func (w *rotationWorld) again() {
	w.stop()
	w.open(w.dir)
	w.names()
	w.run()
	synctest.Wait()
}

func (w *rotationWorld) rotate(o RotateOptions) (status.Rotation, error) {
	o.Asked = time.Now()
	r, err := w.agent.Rotate(w.t.Context(), o)
	synctest.Wait()
	return r, err
}

// holds says whether a file in the agent's directory has the key of p.
func (w *rotationWorld) holds(p *cert.Pair) (path string) {
	key, err := p.KeyPEM()
	if err != nil {
		w.t.Fatal(err)
	}
	err = filepath.WalkDir(w.dir, func(at string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			text, err := os.ReadFile(at)
			if err != nil {
				return err
			}
			if bytes.Contains(text, bytes.TrimSpace(key)) {
				path = at
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return path
}

// over checks that the rotation is done: all servers have left the first key, which is
// revoked once, gone and distrusted.
func (w *rotationWorld) over() {
	w.t.Helper()
	for i, r := range w.redis {
		if r.serves.Leaf().Equal(w.first.Leaf()) || !r.serves.Leaf().Equal(w.disk()) {
			w.t.Errorf("server %d shows %s, and the disk has %s", i, cert.Serial(r.serves.Leaf()), cert.Serial(w.disk()))
		}
	}
	if want := []string{cert.Serial(w.first.Leaf())}; !slices.Equal(w.ca.revoked, want) {
		w.t.Errorf("revoked %q, want %q", w.ca.revoked, want)
	}
	if path := w.holds(w.first); path != "" {
		w.t.Errorf("%s has the old key", path)
	}
	disk, err := w.store.Load()
	if err != nil || disk.Distrust.Rotation != nil || !disk.Distrust.Distrusts(w.first.Leaf()) || disk.Distrust.Distrusts(w.disk()) || len(disk.All) != 1 {
		w.t.Errorf("%d pairs, %+v, %v", len(disk.All), disk.Distrust, err)
	}
	if s := w.agent.opt.Board.Get(); s.Rotation != nil || s.Verdict() != "ok" {
		w.t.Errorf("the status is %s: %+v", s.Verdict(), s.Problems())
	}
}

// untouched checks that nothing was revoked or destroyed.
func (w *rotationWorld) untouched() {
	w.t.Helper()
	if len(w.ca.revoked) > 0 || w.holds(w.first) == "" {
		w.t.Errorf("revoked %q, the old key is at %q", w.ca.revoked, w.holds(w.first))
	}
}

func TestRotate(t *testing.T) {
	rotationTest(t, 3, func(t *testing.T, w *rotationWorld) {
		r, err := w.rotate(RotateOptions{Reason: ca.KeyCompromise})
		if err != nil || !r.Done || r.Serial != cert.Serial(w.disk()) || r.Destroyed != 1 || len(r.Revoked) != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		w.over()
		if w.ca.issued != 2 {
			t.Errorf("%d certificates, want 2", w.ca.issued)
		}
		pass(time.Minute)
		w.first, w.ca.revoked = w.redis[0].serves, nil // and once more
		if r, err := w.rotate(RotateOptions{}); err != nil || !r.Done {
			t.Errorf("%+v, %v", r, err)
		}
		w.over()
		pass(20 * time.Hour) // a renewal follows as ever
		if w.ca.issued != 4 || !w.redis[2].serves.Leaf().Equal(w.disk()) {
			t.Errorf("%d certificates, want 4", w.ca.issued)
		}
	})
}

// Where the first server does not prove the new pair, no other one is asked, the old pair
// goes back there, and nothing is revoked. The next run goes on with the same certificate.
func TestRotateStagesAFailure(t *testing.T) {
	for name, says := range map[string]error{"refuses": reload.ErrRefused, "lies": nil} {
		t.Run(name, func(t *testing.T) {
			rotationTest(t, 3, func(t *testing.T, w *rotationWorld) {
				w.redis[0].says, w.redis[0].lies = says, says == nil
				r, err := w.rotate(RotateOptions{})
				if err == nil || r.Done || !r.InUse {
					t.Errorf("%+v, %v", r, err)
				}
				t.Log(err)
				pass(time.Hour)
				for i, r := range w.redis {
					if !r.serves.Leaf().Equal(w.first.Leaf()) || i > 0 && r.reloads > 0 {
						t.Errorf("server %d shows %s after %d reloads", i, cert.Serial(r.serves.Leaf()), r.reloads)
					}
				}
				if !w.disk().Equal(w.first.Leaf()) {
					t.Error("a server that starts now does not load the old pair")
				}
				w.untouched()
				w.redis[0].says, w.redis[0].lies = nil, false
				if r, err := w.rotate(RotateOptions{}); err != nil || !r.Done {
					t.Errorf("%+v, %v", r, err)
				}
				w.over()
				if w.ca.issued != 2 {
					t.Errorf("%d certificates, want 2", w.ca.issued)
				}
			})
		})
	}
}

// A server that hangs keeps the revocation back. When it is back with the old certificate,
// nobody sends it anything until a person asks again; when it was restarted, the agent
// ends the rotation by itself.
func TestRotateHungServer(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		rotationTest(t, 3, func(t *testing.T, w *rotationWorld) {
			w.redis[1].down = true
			r, err := w.rotate(RotateOptions{})
			if err == nil || r.Done || !strings.Contains(err.Error(), "nothing is revoked") {
				t.Errorf("%+v, %v", r, err)
			}
			for _, i := range []int{0, 2} {
				if w.redis[i].serves.Leaf().Equal(w.first.Leaf()) {
					t.Errorf("server %d was held up", i)
				}
			}
			w.untouched()
			if restarted {
				w.redis[1].start(t)
				pass(time.Hour)
				w.over()
				return
			}
			w.redis[1].down = false // it has the old pair in memory
			pass(2 * time.Hour)
			if w.redis[1].reloads > 0 {
				t.Error("a server that shows a certificate that is distrusted was sent a reload")
			}
			s := w.agent.opt.Board.Get()
			if s.Healthy() || !strings.Contains(s.Servers[1].Error+s.Servers[1].Hint+s.Rotation.Waiting, "b") {
				t.Errorf("%+v", s.Servers[1])
			}
			w.untouched()
			if r, err := w.rotate(RotateOptions{}); err != nil || !r.Done {
				t.Errorf("%+v, %v", r, err)
			}
			w.over()
		})
	}
}

// Whatever is down when the agent is killed: the rotation goes on after a start, from
// where it was.
func TestRotateGoesOn(t *testing.T) {
	rotationTest(t, 2, func(t *testing.T, w *rotationWorld) {
		w.ca.err = errors.New("connection refused")
		if r, err := w.rotate(RotateOptions{}); err == nil || !r.InUse {
			t.Errorf("%+v, %v", r, err)
		}
		w.untouched()
		w.again()
		pass(time.Minute)
		w.ca.err, w.ca.keeps = nil, errors.New("connection refused")
		pass(time.Hour) // it comes by itself
		if w.ca.issued != 2 || w.redis[1].serves.Leaf().Equal(w.first.Leaf()) {
			t.Fatalf("%d certificates", w.ca.issued)
		}
		w.untouched()
		if s := w.agent.opt.Board.Get(); s.Rotation == nil || s.Rotation.InUse || !strings.Contains(s.Rotation.Waiting, "connection refused") {
			t.Errorf("%+v", s.Rotation)
		}
		w.again()
		w.ca.keeps = nil
		pass(2 * time.Hour)
		w.over()
	})
}

// A revocation is recorded before the keys go, one by one: a kill in between asks for the
// rest alone.
func TestRotateKilledWhileItRevokes(t *testing.T) {
	rotationTest(t, 1, func(t *testing.T, w *rotationWorld) {
		if err := w.renew(true); err != nil { // there are two old pairs
			t.Fatal(err)
		}
		w.ca.keeps = errors.New("connection refused")
		if _, err := w.rotate(RotateOptions{}); err == nil {
			t.Error("done without a revocation")
		}
		store := w.store.(*pair.Store)
		disk, err := store.Load()
		if err != nil || len(disk.All) != 3 {
			t.Fatalf("%d pairs, %v", len(disk.All), err)
		}
		// As if the agent had been killed behind the first one.
		d := disk.Distrust.Clone()
		d.Leaves[0].Revoke, d.Leaves[0].Revoked = false, true
		if err := store.SetDistrust(d); err != nil {
			t.Fatal(err)
		}
		w.ca.keeps = nil
		w.again()
		pass(time.Minute)
		if want := d.Leaves[1].Serial; len(w.ca.revoked) != 1 || w.ca.revoked[0] != want {
			t.Errorf("revoked %q, want %s", w.ca.revoked, want)
		}
		w.ca.revoked = []string{cert.Serial(w.first.Leaf())}
		w.over()
	})
}

// One who asks while another rotation runs gets what comes of that one.
func TestTwoRotationsAtOnce(t *testing.T) {
	rotationTest(t, 2, func(t *testing.T, w *rotationWorld) {
		asked, results := time.Now(), make(chan error, 2)
		for range 2 {
			go func() {
				r, err := w.agent.Rotate(t.Context(), RotateOptions{Asked: asked})
				if err == nil && (!r.Done || r.Destroyed != 1) {
					err = errors.New("not done")
				}
				results <- err
			}()
		}
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if w.ca.issued != 2 {
			t.Errorf("%d certificates, want 2: the second rotation gave up what the first had just got", w.ca.issued)
		}
		w.over()
	})
}

// With Early the revocation does not wait for a server that hangs; the keys do.
func TestRevokeFirst(t *testing.T) {
	rotationTest(t, 2, func(t *testing.T, w *rotationWorld) {
		w.redis[0].down = true
		if _, err := w.rotate(RotateOptions{}); err == nil {
			t.Error("a server hangs, and all is done")
		}
		w.untouched()
		if r, err := w.rotate(RotateOptions{Early: true}); err == nil || len(r.Revoked) != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		if len(w.ca.revoked) != 1 || w.holds(w.first) == "" {
			t.Errorf("revoked %q, the old key is at %q", w.ca.revoked, w.holds(w.first))
		}
		w.redis[0].start(t)
		pass(time.Hour)
		w.over()
	})
}

// Without a revocation the keys go all the same.
func TestRotateWithoutRevocation(t *testing.T) {
	rotationTest(t, 1, func(t *testing.T, w *rotationWorld) {
		w.ca.keeps = errors.New("501: this step-ca keeps no database")
		if _, err := w.rotate(RotateOptions{}); err == nil || !strings.Contains(err.Error(), "--no-revoke") {
			t.Error(err)
		}
		w.untouched()
		r, err := w.rotate(RotateOptions{Keep: true})
		if err != nil || !r.Done || len(r.Kept) != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		w.ca.revoked = []string{cert.Serial(w.first.Leaf())}
		w.over()
	})
}
