package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/plan"
)

// Another program that renews the same files shows by what it does: again and again it
// replaces what the agent has put there. Each would answer the other for ever, with a
// certificate or a reload each time. So the agent answers at growing distances, as long as
// every server has a certificate that lasts, takes in what the other program renews, and
// leaves it the time to do so.

// aboutRival is remembered of a program that replaces the agent's files.
type aboutRival struct {
	ours  bool      // at the last look all plain paths led to the agent's pair
	taken int       // how often in a row they no longer did; a person may do that once
	last  time.Time // when it last was so
	who   string    // what stands at the first of the paths
}

// rivalAnswers is how long after a replacement the agent answers it.
var rivalAnswers = plan.Backoff{First: 10 * time.Second, Longest: 6 * time.Hour}

// watchRival takes note of files that were replaced since the last look, and that nobody
// has replaced any for two lifetimes.
func (a *Agent) watchRival(ctx context.Context, seen observation) {
	r := &a.process.rival
	unlinked := seen.disk.Unlinked
	if r.taken > 0 && seen.newest != nil {
		leaf := seen.newest.Pair.Leaf()
		if seen.now.Sub(r.last).Abs() > 2*leaf.NotAfter.Sub(leaf.NotBefore) {
			*r = aboutRival{ours: r.ours}
		}
	}
	if taken := r.ours && len(unlinked) > 0; taken {
		r.taken, r.last, r.who = r.taken+1, seen.now, whose(unlinked[0])
		if r.taken == 2 {
			text := a.rivalText()
			journal.AnotherRenewer.Log(ctx, a.opt.Log, text, slog.String(journal.KeyPath, unlinked[0]), slog.String(journal.KeyError, text))
		}
	}
	r.ours = len(unlinked) == 0 && seen.disk.Current != nil
}

// rivalText says who replaces the files; empty while nobody does.
func (a *Agent) rivalText() string {
	r := a.process.rival
	if r.taken < 2 {
		return ""
	}
	return fmt.Sprintf("another program renews the same files: it has replaced the agent's %d times, last with %s; stop one of the two (redis-cert-agent doctor looks for it), then run redis-cert-agent renew --force", r.taken, r.who)
}

// whose says what is at a path that another program replaced.
func whose(path string) string {
	if target, err := os.Readlink(path); err == nil {
		return fmt.Sprintf("%s, a link to %s", path, target)
	}
	fi, err := os.Lstat(path)
	if err != nil {
		return path
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%s, a file of uid %d", path, st.Uid)
	}
	return path
}

// yield puts off a step that answers another program, while every server has a certificate
// that lasts: for what is left of it matters more than who renews it.
func (a *Agent) yield(seen observation, step plan.Step) plan.Step {
	r := a.process.rival
	if r.taken < 2 || step.Do != plan.Load && step.Do != plan.Adopt || a.request.asked {
		return step
	}
	delay := rivalAnswers.Delay(r.taken-1, 0)
	for _, s := range a.servers {
		leaf := s.leaf()
		if leaf == nil {
			continue // it is down, and starts with what is there
		}
		delay = min(delay, leaf.NotAfter.Sub(seen.now)/8)
	}
	until := r.last.Add(delay)
	if !seen.now.Before(until) || r.last.After(seen.now) {
		return step
	}
	put := plan.Step{Why: "another program replaced the files again, and has its turn", At: until, Due: step.Due, Wanted: step.Wanted}
	if !a.allFresh() {
		put.Do = plan.Look
	}
	return put
}

// forgetRival forgets a program that a person has put an end to, as --force says.
func (a *Agent) forgetRival() { a.process.rival = aboutRival{ours: a.process.rival.ours} }

// rivalled says whether the newest pair is another program's, which is left the time to
// renew it.
func (a *Agent) rivalled(seen observation) bool {
	return a.process.rival.taken >= 2 && seen.newest != nil && seen.newest.Origin.Adopted()
}
