package agent

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
)

// While an authority is away nothing is asked of it but whether it answers. When it does,
// the host waits in proportion to how long it had to do without; a person does not wait;
// and where little is left, nobody does.
func TestComesBackInTurn(t *testing.T) {
	for _, c := range []struct {
		name        string
		away        time.Duration // from the due date on
		force       bool
		least, most time.Duration // after the authority's return
	}{
		{"ten minutes", 10 * time.Minute, false, 10 * time.Minute, time.Hour},
		{"two hours", 2 * time.Hour, false, 2 * time.Hour, 5 * time.Hour},
		{"two hours, and a person asks", 2 * time.Hour, true, 0, 2 * time.Minute},
		{"nearly until the end", 7 * time.Hour, false, 0, 15 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1)
				w.agent.opt.Policy.Jitter = 0
				w.run()
				defer w.stop()
				synctest.Wait()
				w.redis[0].start(t)
				pass(15*time.Hour + 59*time.Minute)
				down := &ca.Error{Op: "sign", URL: "https://ca", Message: "connection refused"}
				fakes.Lock()
				w.ca.err, w.ca.refuses, w.ca.asked = down, down, 0
				fakes.Unlock()
				pass(c.away + time.Minute)
				fakes.Lock()
				asked, issued := w.ca.asked, w.ca.issued
				w.ca.err, w.ca.refuses = nil, nil
				fakes.Unlock()
				if asked != 1 || issued != 1 {
					t.Errorf("an authority that is away was asked %d times, and gave %d certificates", asked, issued)
				}
				back := time.Now()
				if c.force {
					pass(time.Minute)
					if err := w.agent.Renew(t.Context(), true); err != nil {
						t.Error(err)
					}
				}
				for w.ca.issued == 1 && time.Since(back) < 8*time.Hour {
					if s := w.agent.opt.Board.Get(); c.least > 0 && time.Since(back) > c.least-time.Minute &&
						(s.IssueError == nil || !strings.Contains(s.IssueError.Text, "answers again, and is asked at")) {
						t.Fatalf("it does not say what it waits for: %+v", s.IssueError)
					}
					pass(time.Minute)
				}
				if took := time.Since(back); took < c.least || took > c.most || w.ca.asked != 2 {
					t.Errorf("the next certificate came %s after its return, in %d requests", took, w.ca.asked)
				}
			})
		})
	}
}
