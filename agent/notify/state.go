package notify

import (
	"cmp"
	"maps"
	"sort"
	"time"

	"redis-cert-agent/agent/status"
)

// A tracker holds the problems that there are against those that one target was
// sent. All of its maps are by the key of the problem.
type tracker struct {
	sent    map[string]Sent
	present map[string]observation
	gone    map[string]time.Time // since when a problem that was sent is gone
}

// Sent is what a target was last sent of a problem that is not resolved.
type Sent struct {
	Problem status.Problem `json:"problem"`
	Since   time.Time      `json:"since"` // when it was first seen
	At      time.Time      `json:"at"`    // when it was sent last
}

// An observation is a problem that is there now.
type observation struct {
	problem status.Problem
	first   time.Time // since when it is there
	changed time.Time // since when it has this severity and kind
}

// A notification is what a target is to be sent.
type notification struct {
	status  string
	problem status.Problem
	since   time.Time
}

func newTracker(sent map[string]Sent) *tracker {
	t := &tracker{sent: maps.Clone(sent), present: map[string]observation{}, gone: map[string]time.Time{}}
	if t.sent == nil {
		t.sent = map[string]Sent{}
	}
	return t
}

// observe takes in the problems that there are at the time now.
func (t *tracker) observe(now time.Time, problems []status.Problem) {
	before := t.present
	t.present = map[string]observation{}
	for _, p := range problems {
		o := observation{problem: p, first: now, changed: now}
		if old, ok := before[p.Key]; ok {
			o.first = old.first
			if !differs(old.problem, p) {
				o.changed = old.changed
			}
		}
		t.present[p.Key] = o
	}
	for key, sent := range t.sent {
		if sent.At.After(now) { // the clock was set back: wait no longer than was meant
			sent.At = now.Round(0)
			t.sent[key] = sent
		}
		if _, there := t.present[key]; there {
			delete(t.gone, key)
		} else if t.gone[key].IsZero() {
			t.gone[key] = now
		}
	}
}

// differs says whether a target that was sent a is to be sent b. The text does
// not count, because the time that is left changes all the time. An expiring
// certificate that has expired is of another kind.
func differs(a, b status.Problem) bool { return a.Severity != b.Severity || a.Kind != b.Kind }

// due returns what the target is to be sent at the time now, the worst first and
// what is resolved last, and when there may be more; zero for never. A problem
// must have lasted, or been gone, for after; one that lasts is sent again after
// repeat, unless that is zero.
func (t *tracker) due(now time.Time, after, repeat time.Duration) (list []notification, next time.Time) {
	add := func(at time.Time, n notification) {
		if at.After(now) {
			next = sooner(next, at)
			return
		}
		list = append(list, n)
	}
	for key, o := range t.present {
		sent, known := t.sent[key]
		switch {
		case !known:
			add(o.first.Add(after), notification{Firing, o.problem, o.first})
		case differs(sent.Problem, o.problem):
			add(o.changed.Add(after), notification{Firing, o.problem, sent.Since})
		case repeat > 0:
			add(sent.At.Add(repeat), notification{Firing, o.problem, sent.Since})
		}
	}
	for key, since := range t.gone {
		sent := t.sent[key]
		add(since.Add(after), notification{Resolved, sent.Problem, sent.Since})
	}
	sort.Slice(list, func(i, j int) bool {
		x, y := list[i], list[j]
		return cmp.Or(
			cmp.Compare(x.status, y.status),                     // firing, resolved
			cmp.Compare(x.problem.Severity, y.problem.Severity), // critical, warning
			cmp.Compare(x.problem.Key, y.problem.Key),
		) < 0
	})
	return list, next
}

// accepted notes that the target has accepted n at the time now.
func (t *tracker) accepted(n notification, now time.Time) {
	if n.status == Resolved {
		delete(t.sent, n.problem.Key)
		delete(t.gone, n.problem.Key)
		return
	}
	t.sent[n.problem.Key] = Sent{Problem: n.problem, Since: second(n.since), At: second(now)}
}

// sooner returns the earlier of two times; zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
