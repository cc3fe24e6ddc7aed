package agent

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/journal"
)

// A CA that refuses, and whose answer shows that a clock is wrong by far, is asked again at
// growing distances, and once an hour when nothing valid is left; the clocks are told of
// once, loudly.
func TestRefusedByAWrongClock(t *testing.T) {
	for _, ahead := range []time.Duration{5 * 365 * 24 * time.Hour, -time.Hour, time.Minute} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			told := 0
			w := newWorld(t, dir, 1)
			w.store.Close()
			w.open(dir, func(o *Options) {
				o.Log = slog.New(journal.Tee(o.Log.Handler(), func(e journal.Entry) {
					if e.Event == journal.ClocksDiffer {
						told++
					}
				}))
			})
			w.settle()
			defer w.stop()
			w.ca.err = &ca.Error{Op: "sign", URL: "https://ca", Status: 401, Ahead: ahead}
			pass(25 * time.Hour)
			w.ca.asked = 0
			pass(24 * time.Hour)
			asked, s := w.ca.asked, w.agent.opt.Board.Get()
			switch wrong := ahead.Abs() > time.Hour/2; {
			case wrong && (asked < 20 || asked > 26 || told != 1 || !strings.Contains(s.Clock, "set the one that is wrong")):
				t.Errorf("%s ahead: asked %d times in a day, told %d times, status %q", ahead, asked, told, s.Clock)
			case !wrong && (asked < 200 || told != 0 || s.Clock != ""):
				t.Errorf("%s ahead: asked %d times in a day, told %d times, status %q", ahead, asked, told, s.Clock)
			}
			w.ca.err = nil
			pass(time.Hour + time.Minute)
			if s := w.agent.opt.Board.Get(); s.Clock != "" || s.Pair == nil || !s.Now.Before(s.Pair.NotAfter) {
				t.Errorf("after it was set: %q, %+v", s.Clock, s.Pair)
			}
		})
	}
}

// The roots that an authority named vouch for it under the fingerprint that the
// configuration had then, and no longer when it has another.
func TestNamedRootsBelongToTheirPin(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.store.Close()
		for _, tt := range []struct {
			pin  string
			want int
		}{{"one", 0}, {"one", 1}, {"two", 0}, {"two", 1}, {"one", 1}} {
			w.open(dir, func(o *Options) { o.Authorities[0].Pin = tt.pin })
			_ = w.agent.Once(t.Context(), true)
			if got := len(w.ca.roots); got != tt.want {
				t.Errorf("under %q it was asked with %d roots, want %d", tt.pin, got, tt.want)
			}
			w.store.Close()
		}
		w.open(dir)
	})
}

// Who asks for a renewal has the authority looked at as it is then, also while an earlier
// look at it goes on, and the journal tells of each other fault once.
func TestAuthorityIsInspectedOnRequest(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var told strings.Builder
		w := loggedWorld(t, dir, 1, &told)
		w.settle()
		defer w.stop()
		w.ca.dawdles = time.Minute
		_ = w.renew(false)
		pass(10 * time.Second) // the look for it goes on
		w.ca.refuses = &ca.Error{Op: "provisioner", Message: "the password is empty"}
		_ = w.renew(false)
		pass(3 * time.Minute)
		if p := w.problems(); !strings.Contains(p, "is empty") {
			t.Errorf("three minutes after the request: %q", p)
		}
		w.ca.refuses = &ca.Error{Op: "provisioner", Message: "the password is wrong"}
		pass(time.Hour)
		for _, request := range []string{"1", "2"} {
			w.ca.refuses = &ca.Error{Op: "roots", URL: "https://ca", Status: 404, RequestID: request}
			pass(time.Hour)
		}
		w.ca.refuses = nil
		_ = w.renew(false)
		pass(3 * time.Minute)
		if p := w.problems(); p != "" {
			t.Errorf("when nothing is wrong any more: %q", p)
		}
		for fault, want := range map[string]int{"is empty": 1, "is wrong": 1, "(request 1)": 1, "(request 2)": 0} {
			if lines := strings.Count(told.String(), fault+"\"\n"); lines != want {
				t.Errorf("%q is told %d times in\n%s", fault, lines, told.String())
			}
		}
	})
}
