package notify

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/status"
)

// A dispatcher sends one target what it is to be sent.
type dispatcher struct {
	*Notifier
	Target
	tracker *tracker
	file    *sentFile

	limit   limit
	streak  streak
	refused map[string]int // by the key of the problem: how often its notification failed
}

// run dispatches until ctx ends. The inbox has the last status.
func (d *dispatcher) run(ctx context.Context, inbox <-chan status.Status) {
	d.refused = map[string]int{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var s status.Status
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case s = <-inbox:
		case <-timer.C:
		}
		next, more := time.Time{}, !s.Looked.IsZero()
		for more && ctx.Err() == nil {
			select {
			case s = <-inbox: // a newer status, which came while the last message was sent
			default:
			}
			next, more = d.step(ctx, s)
		}
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// step sends one message, if one is due and the limits allow it. It returns when
// to come back, and whether there may be more to do at once.
func (d *dispatcher) step(ctx context.Context, s status.Status) (next time.Time, more bool) {
	now := time.Now()
	s.Now = now
	d.tracker.observe(now, s.Problems())
	list, next := d.tracker.due(now, d.After, d.Repeat)
	next = sooner(next, status.NextChange(s.Certificates, now))
	if len(list) == 0 {
		clear(d.refused)
		return next, false
	}
	for _, at := range []time.Time{d.streak.until, d.limit.free()} {
		if at.After(now) {
			// Nothing is sent before that time, also not what is due sooner.
			return at, false
		}
	}
	// A notification that the target refuses does not hold up the others.
	n := 0
	for i := range list {
		if d.refused[list[i].problem.Key] < d.refused[list[n].problem.Key] {
			n = i
		}
	}
	d.dispatch(ctx, s, list[n])
	return time.Time{}, true
}

func (d *dispatcher) dispatch(ctx context.Context, s status.Status, n notification) {
	m := d.message(s, n, time.Now())
	err := send(ctx, d.Target, m)
	now := time.Now()
	if ctx.Err() != nil && err != nil {
		return // stopped, not failed
	}
	if err != nil {
		d.refused[n.problem.Key]++
		d.failed(ctx, d.Name, &d.streak, err)
		return
	}
	d.streak = streak{}
	delete(d.refused, n.problem.Key)
	d.limit.take(now)
	d.tracker.accepted(n, now)
	if err := d.file.save(d.ID, d.tracker.sent); err != nil {
		d.Log.Warn(err.Error())
	}
	journal.Notified.Log(ctx, d.Log, fmt.Sprintf("told %s: %s", d.Name, m.line()), slog.String(journal.KeyTarget, d.Name))
}
