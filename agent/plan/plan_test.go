package plan

import (
	"errors"
	"testing"
	"time"
)

// epoch is when the certificates of these tables begin.
var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// day returns a pair of one certificate of one day.
func day() *Pair {
	return &Pair{ID: "new", Since: epoch, Chain: []Window{{epoch, epoch.Add(24 * time.Hour)}}}
}

// at returns the time of day h hours after the epoch.
func at(h float64) time.Time { return epoch.Add(time.Duration(h * float64(time.Hour))) }

func shown(ids ...string) []Server {
	servers := make([]Server, len(ids))
	for i, id := range ids {
		servers[i].Served = id
	}
	return servers
}

func TestNext(t *testing.T) {
	unfit, spread := day(), day()
	unfit.Unfit = "it is not for b.internal"
	spread.Spread = 0.5
	failing := Attempts{Failed: 1, Last: at(17)}
	tests := []struct {
		name  string
		now   time.Time
		facts Facts
		want  Step
	}{
		{"nothing on disk", at(0), Facts{}, Step{Do: Issue, Fresh: true}},
		{"nothing on disk, the CA asked for patience", at(17.5),
			Facts{Issue: Attempts{Failed: 1, Last: at(17), After: time.Hour}}, Step{At: at(18)}},
		{"all is well", at(15.9), Facts{Newest: day(), Current: true, Servers: shown("new", "new")}, Step{At: at(16), Due: at(16)}},
		{"two-thirds have passed", at(16), Facts{Newest: day(), Current: true, Servers: shown("new")}, Step{Do: Issue, Due: at(16)}},
		{"asleep for a week", at(180), Facts{Newest: day(), Current: true, Servers: shown("new")}, Step{Do: Issue, Due: at(16)}},
		{"jitter brings it forward", at(15.5), Facts{Newest: spread, Current: true, Servers: shown("new")}, Step{Do: Issue, Due: at(15.4)}},
		{"asked for", at(1), Facts{Newest: day(), Current: true, Servers: shown("new"), Asked: true}, Step{Do: Issue, Due: at(16)}},
		{"asked for, in spite of backoff", at(17), Facts{Newest: day(), Current: true, Servers: shown("new"), Asked: true, Issue: failing}, Step{Do: Issue, Due: at(16)}},
		{"issued, but not on disk", at(1), Facts{Newest: day(), Current: true, Servers: shown("new"), Unsaved: true}, Step{Do: Issue, Due: at(16)}},
		{"the window is to be read", at(1), Facts{Newest: day(), Current: true, Servers: shown("new"), Suggest: at(1)}, Step{Do: Ask, Due: at(16)}},
		{"the window is to be read later", at(1), Facts{Newest: day(), Current: true, Servers: shown("new"), Suggest: at(5)}, Step{At: at(5), Due: at(16)}},
		{"the window says now", at(1.5), Facts{Newest: windowed(1.2, 1.4), Current: true, Servers: shown("new"), Suggest: at(5)}, Step{Do: Issue, Due: at(1.3)}},
		{"names changed", at(1), Facts{Newest: unfit, Current: true, Servers: shown("new")}, Step{Do: Issue, Fresh: true, Due: at(16)}},
		{"clock not believed", at(20), Facts{Newest: day(), Current: true, Servers: shown("new"), Clock: errors.New("not synchronised"), Recheck: at(21)}, Step{At: at(21), Due: at(16)}},
		{"clock not believed, no pair", at(20), Facts{Clock: errors.New("not synchronised"), Recheck: at(21)}, Step{At: at(21)}},
		{"another hand", at(20), Facts{Newest: day(), Current: true, Foreign: true}, Step{Do: Adopt}},
		{"one server is behind", at(1), Facts{Newest: day(), Current: true, Servers: shown("new", "old", "")}, Step{Do: Load, Servers: []int{1, 2}, Due: at(16)}},
		{"not current: every server", at(1), Facts{Newest: day(), Servers: shown("old", "old")}, Step{Do: Load, Servers: []int{0, 1}, Due: at(16)}},
		{"not current and refused: no issuance, later", at(17),
			Facts{Newest: newer(), Servers: []Server{{Served: "old", Failed: failing}}}, Step{At: at(17).Add(1100 * time.Millisecond), Due: at(32)}},
		{"due and behind: issue first", at(17), Facts{Newest: day(), Current: true, Servers: shown("old")}, Step{Do: Issue, Due: at(16)}},
		{"due, CA down, and behind: load what there is", at(17), Facts{Newest: day(), Current: true, Servers: shown("old"), Issue: failing}, Step{Do: Load, Servers: []int{0}, Due: at(16)}},
		{"expired, CA down: nothing to load", at(30), Facts{Newest: day(), Current: true, Servers: shown("old"),
			Issue: Attempts{Failed: 1, Last: at(30), After: time.Minute}}, Step{At: at(30).Add(time.Minute), Due: at(16)}},
		{"a clock set back does not hold", at(16.5), Facts{Newest: day(), Current: true, Servers: shown("new"), Issue: failing}, Step{Do: Issue, Due: at(16)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Next(tt.now, tt.facts, Policy{Jitter: 0.05})
			if got.Do != tt.want.Do || got.Fresh != tt.want.Fresh || !got.Due.Equal(tt.want.Due) || !same(got.Servers, tt.want.Servers) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if d := got.At.Sub(tt.want.At); d < -200*time.Millisecond || d > 200*time.Millisecond {
				t.Errorf("looks again at %v, want %v", got.At, tt.want.At)
			}
			if got.Why == "" && got.Do != Wait {
				t.Error("no reason given")
			}
		})
	}
}

// newer is a pair issued at 16:00 for a day.
func newer() *Pair {
	return &Pair{ID: "newer", Since: at(16), Chain: []Window{{at(16), at(40)}}}
}

// windowed is a pair that the authority wants renewed between two hours.
func windowed(from, to float64) *Pair {
	p := day()
	p.Spread, p.Window = 0.5, Window{at(from), at(to)}
	return p
}

func same(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestDue(t *testing.T) {
	tests := []struct {
		name string
		pair Pair
		want time.Time
	}{
		{"the leaf", Pair{Since: epoch, Chain: []Window{{at(0), at(24)}, {at(-1000), at(10000)}}}, at(16)},
		{"an intermediate that ends first", Pair{Since: epoch, Chain: []Window{{at(0), at(24)}, {at(-6), at(6)}}}, at(2)},
		{"an intermediate that was old when the leaf was issued: two-thirds of what is left",
			Pair{Since: epoch, Chain: []Window{{at(0), at(24)}, {at(-90), at(9)}}}, at(6)},
		{"an intermediate about to end: not at once again",
			Pair{Since: epoch, Chain: []Window{{at(0), at(24)}, {at(-90), at(0.3)}}}, at(1.2)},
		{"issued by a CA that backdates by more than two-thirds",
			Pair{Since: epoch, Chain: []Window{{at(-3), at(1)}}}, at(2. / 3)},
		{"in the authority's window", *windowed(2, 6), at(4)},
		{"a window that always says now", *windowed(-2, -1), at(1.2)},
		{"a window that ends after the certificate", *windowed(20, 30), at(16)},
		{"taken in, issue time unknown", Pair{Chain: []Window{{at(0), at(24)}}}, at(16)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Due(tt.pair, Policy{})
			if d := got.Sub(tt.want); d < -time.Second || d > time.Second {
				t.Errorf("due at %v, want %v", got, tt.want)
			}
		})
	}
}

// TestRetry follows a CA outage from the due date to a day after expiry.
func TestRetry(t *testing.T) {
	p := day()
	now, a := at(16), Attempts{}
	var before, after int
	for now.Before(at(48)) {
		a.Failed, a.Last = a.Failed+1, now
		next := a.retry(now, p, asking(p))
		gap := next.Sub(now)
		if gap < time.Second || gap > 72*time.Minute {
			t.Fatalf("attempt %d at %v: the next one %v later", a.Failed, now, gap)
		}
		if now.Before(at(24)) {
			before++
			if next.After(at(24).Add(outage * 6 / 5)) {
				t.Fatalf("attempt %d at %v: no other until %v, and the certificate ends at %v", a.Failed, now, next, at(24))
			}
		} else {
			after++
			if gap > outage*6/5 {
				t.Fatalf("attempt %d at %v: nothing valid is left and the next one is %v later", a.Failed, now, gap)
			}
		}
		now = next
	}
	if before < 15 || before > 500 || after < 200 {
		t.Errorf("%d attempts before the end and %d in the day after it", before, after)
	}
}

func TestRetryAfter(t *testing.T) {
	a := Attempts{Failed: 1, Last: at(0), After: 90 * time.Minute}
	if got := a.retry(at(0), day(), asking(day())); got.Before(at(1.5)) {
		t.Errorf("next attempt at %v, before the CA's Retry-After", got)
	}
	a.After = 1 << 60
	if got := a.retry(at(0), day(), asking(day())); got.After(at(25)) {
		t.Errorf("an absurd Retry-After holds until %v", got)
	}
}

// TestSpread: hosts whose certificates end at the same instant do not all come
// at once.
func TestSpread(t *testing.T) {
	early, late := at(100), at(0)
	for i := range 500 {
		p := *day()
		p.Spread = float64(i) / 500
		due := Due(p, Policy{Jitter: 0.05})
		if due.After(at(16)) {
			t.Fatalf("jitter delays: %v", due)
		}
		if due.Before(early) {
			early = due
		}
		if due.After(late) {
			late = due
		}
	}
	if got := late.Sub(early); got < 70*time.Minute {
		t.Errorf("500 hosts are spread over %v, want 5%% of a day", got)
	}
}
