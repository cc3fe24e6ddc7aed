package notify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/status"
)

var start = time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)

// problem is one that is written as "key", or "key!" when it is critical.
func problem(text string) status.Problem {
	key, critical := strings.CutSuffix(text, "!")
	p := status.Problem{Key: key, Kind: "kind", Severity: status.Warning, Text: key + " is wrong"}
	if critical {
		p.Severity = status.Critical
	}
	return p
}

func problems(text string) (all []status.Problem) {
	for _, word := range strings.Fields(text) {
		all = append(all, problem(word))
	}
	return all
}

// wrote writes notifications as problem does, with a - in front of what is over.
func wrote(list []notification) string {
	var words []string
	for _, n := range list {
		word := n.problem.Key
		if n.problem.Severity == status.Critical {
			word += "!"
		}
		if n.status == Resolved {
			word = "-" + word
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// A step of a story: at a time after the start there are these problems, and
// that is due, which the target is sent at once unless it is down.
type chapter struct {
	at   time.Duration
	are  string
	want string
	next time.Duration // after the start; 0: never
	down bool          // the target takes nothing
}

func TestTracker(t *testing.T) {
	const after, repeat = time.Minute, 24 * time.Hour
	for name, story := range map[string][]chapter{
		"a problem is told once it has lasted, and again after a day": {
			{0, "a", "", time.Minute, false},
			{59 * time.Second, "a", "", time.Minute, false},
			{time.Minute, "a", "a", 0, false},
			{time.Hour, "a", "", 24*time.Hour + time.Minute, false},
			{25 * time.Hour, "a", "a", 0, false},
			{26 * time.Hour, "a", "", 49 * time.Hour, false},
		},
		"its end is told once it is gone": {
			{0, "a", "", time.Minute, false},
			{time.Minute, "a", "a", 0, false},
			{2 * time.Minute, "", "", 3 * time.Minute, false},
			{3 * time.Minute, "", "-a", 0, false},
			{4 * time.Minute, "", "", 0, false},
			{5 * time.Minute, "a", "", 6 * time.Minute, false},
			{6 * time.Minute, "a", "a", 0, false},
		},
		"one that comes and goes is not told": {
			{0, "a", "", time.Minute, false},
			{59 * time.Second, "", "", 0, false},
			{70 * time.Second, "a", "", 130 * time.Second, false},
			{129 * time.Second, "", "", 0, false},
		},
		"nor that one that was told goes and comes": {
			{0, "a", "", time.Minute, false},
			{time.Minute, "a", "a", 0, false},
			{10 * time.Minute, "", "", 11 * time.Minute, false},
			{10*time.Minute + 59*time.Second, "a", "", 24*time.Hour + time.Minute, false},
			{12 * time.Minute, "", "", 13 * time.Minute, false},
			{13*time.Minute - 1, "a", "", 24*time.Hour + time.Minute, false},
		},
		"another severity is told once it has lasted": {
			{0, "a", "", time.Minute, false},
			{time.Minute, "a", "a", 0, false},
			{time.Hour, "a!", "", 61 * time.Minute, false},
			{61*time.Minute - 1, "a", "", 24*time.Hour + time.Minute, false},
			{61 * time.Minute, "a!", "", 62 * time.Minute, false},
			{62 * time.Minute, "a!", "a!", 0, false},
			{70 * time.Minute, "a", "", 71 * time.Minute, false},
			{71 * time.Minute, "a", "a", 0, false},
		},
		"one that was never told has the severity of the day": {
			{0, "a", "", time.Minute, false},
			{50 * time.Second, "a!", "", time.Minute, false},
			{time.Minute, "a!", "a!", 0, false},
		},
		"a target that was away is not told what came and went": {
			{0, "a b", "", time.Minute, false},
			{time.Minute, "a b", "a b", 0, true},
			{time.Hour, "b c!", "b", 61 * time.Minute, true},
			{2 * time.Hour, "b c!", "c! b", 0, false},
			{3 * time.Hour, "b c!", "", 26 * time.Hour, false},
		},
		"nor of a new one that is over": {
			{0, "a", "", time.Minute, false},
			{time.Minute, "a", "a", 0, false},
			{time.Hour, "", "", 61 * time.Minute, true},
			{2 * time.Hour, "", "-a", 0, true},
			{3 * time.Hour, "a", "", 24*time.Hour + time.Minute, false},
		},
		"the worst first, what is over last": {
			{0, "d", "", time.Minute, false},
			{time.Minute, "d", "d", 0, false},
			{2 * time.Minute, "a b! c", "", 3 * time.Minute, false},
			{3 * time.Minute, "a b! c", "b! a c -d", 0, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTracker(nil)
			for _, c := range story {
				now := start.Add(c.at)
				b.observe(now, problems(c.are))
				list, next := b.due(now, after, repeat)
				if got := wrote(list); got != c.want {
					t.Errorf("at %s: told %q, want %q", c.at, got, c.want)
				}
				if want := start.Add(c.next); len(list) == 0 && !(c.next == 0 && next.IsZero()) && !next.Equal(want) {
					t.Errorf("at %s: again at %s, want %s", c.at, next, want)
				}
				for _, n := range list {
					if !c.down {
						b.accepted(n, now)
					}
				}
			}
		})
	}
}

// An expiring certificate that has expired is news, also where the severity is
// the same.
func TestTrackerKind(t *testing.T) {
	b := newTracker(nil)
	p := problem("a!")
	b.observe(start, []status.Problem{p})
	list, _ := b.due(start, 0, 0)
	b.accepted(list[0], start)
	p.Text = "another text"
	b.observe(start.Add(time.Hour), []status.Problem{p})
	if list, next := b.due(start.Add(time.Hour), 0, 0); len(list) > 0 || !next.IsZero() {
		t.Errorf("another text: %v, again at %s", list, next)
	}
	p.Kind = status.CertExpired
	b.observe(start.Add(2*time.Hour), []status.Problem{p})
	if list, _ := b.due(start.Add(2*time.Hour), 0, 0); wrote(list) != "a!" || !list[0].since.Equal(start) {
		t.Errorf("another kind: %+v", list)
	}
}

// Without repeat it is told once, and without after at once.
func TestTrackerOnce(t *testing.T) {
	b := newTracker(nil)
	b.observe(start, problems("a"))
	list, _ := b.due(start, 0, 0)
	if wrote(list) != "a" {
		t.Fatalf("told %q", wrote(list))
	}
	b.accepted(list[0], start)
	later := start.AddDate(10, 0, 0)
	b.observe(later, problems("a"))
	if list, next := b.due(later, 0, 0); len(list) > 0 || !next.IsZero() {
		t.Errorf("told %q, again at %s", wrote(list), next)
	}
	b.observe(later, nil)
	if list, _ := b.due(later, 0, 0); wrote(list) != "-a" {
		t.Errorf("told %q", wrote(list))
	}
}

// A clock that was years ahead and is set right does not silence repeats.
func TestTrackerClockSetBack(t *testing.T) {
	b := newTracker(map[string]Sent{"a": {Problem: problem("a"), Since: start, At: start.AddDate(5, 0, 0)}})
	b.observe(start, problems("a"))
	if _, next := b.due(start, time.Minute, time.Hour); !next.Equal(start.Add(time.Hour)) {
		t.Errorf("again at %s", next)
	}
	b.observe(start.Add(time.Minute), problems("a"))
	if _, next := b.due(start.Add(time.Minute), time.Minute, time.Hour); !next.Equal(start.Add(time.Hour)) {
		t.Errorf("put off to %s", next)
	}
}

func TestLimit(t *testing.T) {
	var l limit
	now := start
	for i := range burst {
		if l.free().After(now) {
			t.Fatalf("message %d waits", i)
		}
		l.take(now)
	}
	if got := l.free().Sub(now); got != interval {
		t.Errorf("the next one in %s", got)
	}
	now = now.Add(interval)
	l.take(now)
	if got := l.free().Sub(now); got != interval {
		t.Errorf("and one more in %s", got)
	}
	now = now.Add(burst * interval)
	l.take(now)
	if l.free().After(now) {
		t.Error("a quiet hour gives nothing back")
	}
}

func TestStreak(t *testing.T) {
	plain, busy, refusal := fmt.Errorf("no"), &Failure{After: time.Minute}, fmt.Errorf("x: %w", &Failure{Lasting: true})
	never := &Failure{After: 1000 * time.Hour}
	var waits []time.Duration
	var logged []int
	var s streak
	now := start
	for i := range 20 {
		if s.fail(now, plain) {
			logged = append(logged, i)
		}
		wait := s.until.Sub(now)
		waits = append(waits, wait)
		now = s.until
	}
	base := retries.First
	for i, w := range waits {
		if w < base || w > base+base/5 {
			t.Errorf("wait %d is %s, want %s and a little", i, w, base)
		}
		base = min(2*base, retries.Longest)
	}
	// 5 s to 10 min are about 10 min, then 6 attempts an hour.
	if len(logged) < 3 || len(logged) > 4 || logged[0] != 0 || logged[1] < 10 {
		t.Errorf("logged %v", logged)
	}
	for err, want := range map[error]time.Duration{busy: time.Minute, refusal: retries.Longest, never: maxAfter} {
		s = streak{}
		s.fail(now, err)
		if got := s.until.Sub(now); got < want || got > want+want/5 {
			t.Errorf("%+v: wait %s, want %s", err, got, want)
		}
	}
	if !slices.IsSorted(waits[:8]) {
		t.Errorf("waits %v", waits)
	}
}
