package agent

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/status"
)

// recalling runs an agent whose authority names windows, for one that is a day old.
func recalling(t *testing.T, do func(*world, *suggesting)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.ca.chain, w.ca.lifetime = true, 90*24*time.Hour
		authority := &suggesting{testCA: w.ca, after: 59 * 24 * time.Hour}
		w.agent.opt.Authorities[0].Issuer = authority
		w.settle()
		defer w.stop()
		do(w, authority)
	})
}

func (w *world) problem(kind string) *status.Problem {
	list := w.agent.opt.Board.Get().Problems()
	if i := slices.IndexFunc(list, func(p status.Problem) bool { return p.Kind == kind }); i >= 0 {
		return &list[i]
	}
	return nil
}

// A certificate that its authority recalls is replaced at the next look at its window,
// however new it is, and people are told why.
func TestRecall(t *testing.T) {
	recalling(t, func(w *world, authority *suggesting) {
		pass(5 * time.Hour)
		authority.after, authority.why = -2*time.Hour, "https://ca.test/incident"
		pass(time.Hour + time.Minute) // the rest of the six hours that it named
		if w.ca.issued != 2 || !w.redis[0].serves.Leaf().Equal(w.disk()) {
			t.Fatalf("%d certificates after the recall, want 2", w.ca.issued)
		}
		s := w.agent.opt.Board.Get()
		p := w.problem(status.CertRecalled)
		if p == nil || !strings.Contains(p.Text, authority.why) {
			t.Errorf("problems %v, want one with the explanation", s.Problems())
		}
		if p != nil && p.KeepsFromServing() {
			t.Error("the recall counts as a renewal that failed")
		}

		// It wants the new one replaced too: once as any early renewal, and not each time.
		pass(2 * time.Hour)
		if w.problem(status.CertRecalled) != nil {
			t.Error("still a problem two hours after the replacement")
		}
		pass(4 * 24 * time.Hour)
		if w.ca.issued != 2 {
			t.Errorf("%d certificates in four days, want 2", w.ca.issued)
		}
		pass(24 * time.Hour)
		if w.ca.issued != 3 {
			t.Errorf("%d certificates in five days, want 3", w.ca.issued)
		}
	})
}

// An authority that moves its window to and fro gets no order each time.
func TestRecallsInARow(t *testing.T) {
	recalling(t, func(w *world, authority *suggesting) {
		for range 12 {
			authority.after = -2 * time.Hour
			pass(6 * time.Hour)
			authority.after = 59 * 24 * time.Hour
			pass(6 * time.Hour)
		}
		if w.ca.issued > 1+6 { // one a day
			t.Errorf("%d certificates in six days of windows to and fro", w.ca.issued)
		}
	})
}

// What a window cannot do: an authority that has none, whose answer is nonsense, or whose
// window begins after the end leaves the renewal at two-thirds.
func TestWindowsOfNoUse(t *testing.T) {
	for name, change := range map[string]func(*suggesting){
		"an error":      func(s *suggesting) { s.fault = errors.New("no JSON") },
		"after the end": func(s *suggesting) { s.after = 91 * 24 * time.Hour },
		"in no time":    func(s *suggesting) { s.after = -200 * 24 * time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1)
				w.ca.chain, w.ca.lifetime = true, 90*24*time.Hour
				authority := &suggesting{testCA: w.ca}
				change(authority)
				w.agent.opt.Authorities[0].Issuer = authority
				w.run()
				defer w.stop()
				synctest.Wait()
				w.redis[0].start(t)
				pass(70 * 24 * time.Hour)
				most := 2
				if name == "in no time" {
					most = 70/4 + 1 // a twentieth of the lifetime lies between two
				}
				if w.ca.issued < 2 || w.ca.issued > most {
					t.Errorf("%d certificates in 70 days, want 2 to %d", w.ca.issued, most)
				}
			})
		})
	}
}

// An authority that is away when it is asked for the window is asked again within minutes.
func TestRecallDuringTrouble(t *testing.T) {
	recalling(t, func(w *world, authority *suggesting) {
		authority.fault, authority.after = errors.New("unavailable"), -2*time.Hour
		pass(6*time.Hour + 10*time.Minute)
		authority.fault = nil
		pass(16 * time.Minute)
		if w.ca.issued != 2 {
			t.Errorf("%d certificates, want 2", w.ca.issued)
		}
		if authority.asks > 12 {
			t.Errorf("asked %d times", authority.asks)
		}
	})
}
