package agent

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/reload"
)

// A link that was up before a rotation and stays down after it is told, whether it went down
// at once or when something ended it hours later, and no longer than it is down.
func TestLinkDownAfterARotation(t *testing.T) {
	for name, tt := range map[string]struct{ after, told time.Duration }{
		"at once":     {10 * time.Second, 2 * time.Minute},
		"hours later": {6 * time.Hour, linksEach + 2*time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1)
				w.run()
				defer w.stop()
				synctest.Wait()
				w.redis[0].links = reload.Links{Any: true}
				w.redis[0].start(t)
				pass(time.Hour)
				if err := w.renew(true); err != nil {
					t.Fatal(err)
				}
				loaded := time.Now()
				pass(tt.after)
				w.redis[0].links.Down = "its link to its master 10.0.0.1:6379"
				pass(tt.told)
				want := []string{"its link to its master 10.0.0.1:6379 is down since ", "after the certificate that was loaded at " + loaded.UTC().Format(time.RFC3339)}
				for _, text := range want {
					if p := w.problems(); !strings.Contains(p, text) {
						t.Errorf("%s after it went down: %q, want %q", tt.told, p, text)
					}
				}
				w.redis[0].links.Down = ""
				pass(inspectAgain + time.Second)
				if p := w.problems(); p != "" {
					t.Errorf("it is up again: %s", p)
				}
			})
		})
	}
}

// Links cost no look where there are none, and one an hour where there are.
func TestLinksAreAskedAbout(t *testing.T) {
	l := aboutLinks{loaded: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
	if fault := l.learn(l.loaded, reload.Links{}); fault != "" || l.any {
		t.Errorf("%q, %+v", fault, l)
	}
	s := aboutServer{inspected: l.loaded, link: l}
	if at := s.inspectAt(); !at.Equal(l.loaded.Add(inspectEvery)) {
		t.Errorf("without links at %s", at)
	}
	s.link.learn(l.loaded, reload.Links{Any: true})
	if at := s.inspectAt(); !at.Equal(l.loaded.Add(settled)) {
		t.Errorf("after a load at %s", at)
	}
	s.inspected = l.loaded.Add(settled)
	if at := s.inspectAt(); !at.Equal(l.loaded.Add(settled + linksEach)) {
		t.Errorf("and then at %s", at)
	}
}
