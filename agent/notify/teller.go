package notify

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"redis-cert-agent/agent/report"
)

// A teller tells one target.
type teller struct {
	*Notifier
	Target
	book   *book
	memory *memory

	limit   limit
	streak  streak
	refused map[string]int // how often the news of a problem failed, while there is news
}

// run tells until ctx ends. Inbox has the last status.
func (t *teller) run(ctx context.Context, inbox <-chan report.Status) {
	t.refused = map[string]int{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var s report.Status
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case s = <-inbox:
		case <-timer.C:
		}
		next, more := time.Time{}, !s.Looked.IsZero()
		for more && ctx.Err() == nil {
			select {
			case s = <-inbox: // of while the last message was on its way
			default:
			}
			next, more = t.step(ctx, s)
		}
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// step tells one piece of news, if there is any and it may go. It returns when to
// come back, and whether there may be more to do at once.
func (t *teller) step(ctx context.Context, s report.Status) (next time.Time, more bool) {
	now := time.Now()
	s.Now = now
	t.book.look(now, s.Problems())
	list, next := t.book.news(now, t.After, t.Repeat)
	next = sooner(next, report.NextChange(s.Certificates, now))
	if len(list) == 0 {
		clear(t.refused)
		return next, false
	}
	for _, at := range []time.Time{t.streak.until, t.limit.free()} {
		if at.After(now) {
			// Nothing before that time: what is due sooner would wait for it too.
			return at, false
		}
	}
	// One that the target will not have does not stand in the way of the others.
	what := slices.MinFunc(list, func(a, b news) int { return cmp.Compare(t.refused[a.problem.Key], t.refused[b.problem.Key]) })
	t.tell(ctx, s, what)
	return time.Time{}, true
}

func (t *teller) tell(ctx context.Context, s report.Status, what news) {
	m := t.message(s, what, time.Now())
	err := send(ctx, t.Target, m)
	now := time.Now()
	if ctx.Err() != nil && err != nil {
		return // stopped, not failed
	}
	if err != nil {
		t.refused[what.problem.Key]++
		t.failed(ctx, t.Name, &t.streak, err)
		return
	}
	t.streak = streak{}
	delete(t.refused, what.problem.Key)
	t.limit.take(now)
	t.book.tell(what, now)
	if err := t.memory.keep(t.ID, t.book.told); err != nil {
		t.Log.Warn(err.Error())
	}
	report.Notified.Log(ctx, t.Log, fmt.Sprintf("told %s: %s", t.Name, m.line()), slog.String(report.KeyTarget, t.Name))
}
