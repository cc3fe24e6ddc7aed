package notify

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"redis-cert-agent/agent/report"
)

// A book is what one target has been told, and since when the problems are as
// they are.
type book struct {
	told map[string]Told     // by the key of the problem
	seen map[string]sighting // the problems there are
	gone map[string]time.Time
}

// Told is what a target knows of a problem.
type Told struct {
	Problem report.Problem `json:"problem"`
	Since   time.Time      `json:"since"` // when it was first seen
	At      time.Time      `json:"at"`    // when the target was told last
}

// A sighting is a problem that is there now.
type sighting struct {
	problem report.Problem
	first   time.Time // since when it is there
	changed time.Time // since when it has this severity and kind
}

// A piece of news is what a target is to be told.
type news struct {
	status  string
	problem report.Problem
	since   time.Time
}

func newBook(known map[string]Told) *book {
	b := &book{told: maps.Clone(known), seen: map[string]sighting{}, gone: map[string]time.Time{}}
	if b.told == nil {
		b.told = map[string]Told{}
	}
	return b
}

// look takes in the problems that there are at the time now.
func (b *book) look(now time.Time, problems []report.Problem) {
	before := b.seen
	b.seen = map[string]sighting{}
	for _, p := range problems {
		s := sighting{problem: p, first: now, changed: now}
		if old, ok := before[p.Key]; ok {
			s.first = old.first
			if !differs(old.problem, p) {
				s.changed = old.changed
			}
		}
		b.seen[p.Key] = s
	}
	for key, t := range b.told {
		if t.At.After(now) { // the clock was set back: wait no longer than was meant
			t.At = now.Round(0)
			b.told[key] = t
		}
		if _, there := b.seen[key]; there {
			delete(b.gone, key)
		} else if b.gone[key].IsZero() {
			b.gone[key] = now
		}
	}
}

// differs says whether who knows of a should hear of b. The text does not count:
// the time that is left changes all the time. An expiring certificate that has
// expired is of another kind.
func differs(a, b report.Problem) bool { return a.Severity != b.Severity || a.Kind != b.Kind }

// news returns what the target is to be told at the time now, the worst first
// and what is over last, and when there may be more; zero for never. What it is
// told must have held for after; what lasts it is told again after repeat, unless
// that is zero.
func (b *book) news(now time.Time, after, repeat time.Duration) (list []news, next time.Time) {
	due := func(at time.Time, n news) {
		if at.After(now) {
			next = sooner(next, at)
			return
		}
		list = append(list, n)
	}
	for key, s := range b.seen {
		t, known := b.told[key]
		switch {
		case !known:
			due(s.first.Add(after), news{Firing, s.problem, s.first})
		case differs(t.Problem, s.problem):
			due(s.changed.Add(after), news{Firing, s.problem, t.Since})
		case repeat > 0:
			due(t.At.Add(repeat), news{Firing, s.problem, t.Since})
		}
	}
	for key, since := range b.gone {
		t := b.told[key]
		due(since.Add(after), news{Resolved, t.Problem, t.Since})
	}
	slices.SortFunc(list, func(x, y news) int {
		return cmp.Or(
			cmp.Compare(x.status, y.status),                     // firing, resolved
			cmp.Compare(x.problem.Severity, y.problem.Severity), // critical, warning
			cmp.Compare(x.problem.Key, y.problem.Key),
		)
	})
	return list, next
}

// tell notes that the target knows n since the time now.
func (b *book) tell(n news, now time.Time) {
	if n.status == Resolved {
		delete(b.told, n.problem.Key)
		delete(b.gone, n.problem.Key)
		return
	}
	b.told[n.problem.Key] = Told{Problem: n.problem, Since: second(n.since), At: second(now)}
}

// sooner returns the earlier of two times; zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
