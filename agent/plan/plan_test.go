package plan

import (
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"
)

// epoch is when the certificates of these tables begin.
var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// day returns a pair of one certificate of one day.
func day() *Certificate {
	return &Certificate{ID: "new", Since: epoch, Chain: []Window{{epoch, epoch.Add(24 * time.Hour)}}}
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
			Facts{Issue: Attempts{Failed: 1, Last: at(17)}, Hold: at(18)}, Step{At: at(18)}},
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
		{"another program", at(20), Facts{Newest: day(), Current: true, Foreign: true}, Step{Do: Adopt}},
		{"one server is behind", at(1), Facts{Newest: day(), Current: true, Servers: shown("new", "old", "")}, Step{Do: Load, Servers: []int{1, 2}, Due: at(16)}},
		{"not current: every server", at(1), Facts{Newest: day(), Servers: shown("old", "old")}, Step{Do: Load, Servers: []int{0, 1}, Due: at(16)}},
		{"not current and refused: no issuance, later", at(17),
			Facts{Newest: newer(), Servers: []Server{{Served: "old", Failed: failing}}}, Step{At: at(17).Add(1100 * time.Millisecond), Due: at(32)}},
		{"a server that cannot use the pair: only looked at", at(17),
			Facts{Newest: newer(), Current: true, Servers: []Server{{Served: "old", Failed: failing, Held: true}}}, Step{At: at(17).Add(5 * time.Minute), Due: at(32)}},
		{"due and behind: issue first", at(17), Facts{Newest: day(), Current: true, Servers: shown("old")}, Step{Do: Issue, Due: at(16)}},
		{"due, CA down, and behind: load what there is", at(17), Facts{Newest: day(), Current: true, Servers: shown("old"), Issue: failing}, Step{Do: Load, Servers: []int{0}, Due: at(16)}},
		{"expired, CA down: nothing to load", at(30), Facts{Newest: day(), Current: true, Servers: shown("old"),
			Issue: Attempts{Failed: 1, Last: at(30)}, Hold: at(30).Add(time.Minute)}, Step{At: at(30).Add(time.Minute), Due: at(16)}},
		{"a clock set back does not hold", at(16.5), Facts{Newest: day(), Current: true, Servers: shown("new"), Issue: failing}, Step{Do: Issue, Due: at(16)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.facts.Seen = true
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
func newer() *Certificate {
	return &Certificate{ID: "newer", Since: at(16), Chain: []Window{{at(16), at(40)}}}
}

// windowed is a pair that the authority wants renewed between two hours.
func windowed(from, to float64) *Certificate {
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
		pair Certificate
		want time.Time
	}{
		{"the leaf", Certificate{Since: epoch, Chain: []Window{{at(0), at(24)}, {at(-1000), at(10000)}}}, at(16)},
		{"an intermediate that ends first", Certificate{Since: epoch, Chain: []Window{{at(0), at(24)}, {at(-2), at(6)}}}, at(10. / 3)},
		{"an intermediate that was old when the leaf was issued: two-thirds of what is left",
			Certificate{Since: epoch, Chain: []Window{{at(0), at(24)}, {at(-90), at(9)}}}, at(6)},
		{"an intermediate about to end: not at once again",
			Certificate{Since: epoch, Chain: []Window{{at(0), at(24)}, {at(-90), at(0.3)}}}, at(0.2)},
		{"a whole chain of a second: not in the same second, and not after the end",
			Certificate{Since: at(0).Add(400 * time.Millisecond), Chain: []Window{{at(-1. / 60), at(0).Add(time.Second)}}}, at(0).Add(time.Second)},
		{"a CA that backdates a minute's certificate by a minute", Certificate{Since: epoch, Chain: []Window{{at(-1. / 60), at(1. / 60)}}}, at(0).Add(40 * time.Second)},
		{"a CA whose clock is an hour ahead: asked earlier", Certificate{Since: at(-1), Chain: []Window{{at(0), at(24)}}}, at(15)},
		{"issued by a clock that was years ahead", Certificate{Since: at(50000), Chain: []Window{{at(0), at(24)}}}, at(16)},
		{"issued by a CA that backdates by more than two-thirds",
			Certificate{Since: epoch, Chain: []Window{{at(-3), at(1)}}}, at(2. / 3)},
		{"in the authority's window", *windowed(2, 6), at(4)},
		{"a window that always says now", *windowed(-2, -1), at(1.2)},
		{"a window that ends in the last minute", *windowed(23.98, 23.99), at(21)},
		{"a window that ends after the certificate", *windowed(20, 30), at(16)},
		{"taken in, issue time unknown", Certificate{Chain: []Window{{at(0), at(24)}}}, at(16)},
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

func TestBackoff(t *testing.T) {
	b := Backoff{First: 5 * time.Second, Longest: time.Minute}
	for failures, want := range map[int]time.Duration{
		-1: 0, 0: 0, 1: 5 * time.Second, 2: 10 * time.Second, 4: 40 * time.Second, 5: time.Minute, 1 << 40: time.Minute,
	} {
		if got := b.Delay(failures, 0); got != want {
			t.Errorf("after %d failures: %v, want %v", failures, got, want)
		}
		if got := b.Delay(failures, 1); got != want*6/5 {
			t.Errorf("after %d failures, spread most: %v, want %v", failures, got, want*6/5)
		}
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
		if gap < time.Second && !next.Equal(at(24)) || gap > time.Hour {
			t.Fatalf("attempt %d at %v: the next one %v later", a.Failed, now, gap)
		}
		if now.Before(at(24)) {
			before++
			if next.After(at(24).Add(outage)) {
				t.Fatalf("attempt %d at %v: no other until %v, and the certificate ends at %v", a.Failed, now, next, at(24))
			}
		} else {
			after++
			if gap > outage {
				t.Fatalf("attempt %d at %v: nothing valid is left and the next one is %v later", a.Failed, now, gap)
			}
		}
		now = next
	}
	if before < 15 || before > 500 || after < 200 {
		t.Errorf("%d attempts before the end and %d in the day after it", before, after)
	}
}

// TestHold: an authority is left alone as it asks, or because its certificates are of no
// use, but never until nothing valid is left, and then for minutes.
func TestHold(t *testing.T) {
	tests := []struct {
		name     string
		attempts Attempts
		pair     *Certificate
		want     time.Duration
	}{
		{"a Retry-After", Attempts{Failed: 1, Last: at(0), After: 90 * time.Minute}, day(), 90 * time.Minute},
		{"no Retry-After", Attempts{Failed: 1, Last: at(0)}, day(), 0},
		{"a quarter of what is left", Attempts{Failed: 1, Last: at(16), After: 24 * time.Hour}, day(), 2 * time.Hour},
		{"a quarter of very little", Attempts{Failed: 1, Last: at(23.9), After: 24 * time.Hour}, day(), 90 * time.Second},
		{"an absurd one", Attempts{Failed: 1, Last: at(0), After: 1 << 60}, day(), 6 * time.Hour},
		{"expired", Attempts{Failed: 1, Last: at(25), After: 24 * time.Hour}, day(), 5 * time.Minute},
		{"no certificate yet", Attempts{Failed: 1, Last: at(0), After: 24 * time.Hour}, nil, 5 * time.Minute},
		{"refused once", Attempts{Failed: 1, Last: at(16), Refused: 1}, day(), 33 * time.Second},
		{"refused often: half of what is left", Attempts{Failed: 9, Last: at(23), Refused: 9}, day(), 30 * time.Minute},
		{"refused for ever, plenty left", Attempts{Failed: 90, Last: at(0), Refused: 90}, &Certificate{Chain: []Window{{at(0), at(2160)}}}, 22 * time.Hour},
		{"refused, nothing left", Attempts{Failed: 90, Last: at(25), Refused: 90}, day(), 5 * time.Minute},
		{"refused by a clock", Attempts{Failed: 90, Last: at(25), Refused: 90, Slow: true}, day(), time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got time.Duration
			if until := tt.attempts.Hold(tt.attempts.Last, tt.pair); !until.IsZero() {
				got = until.Sub(tt.attempts.Last)
			}
			if d := (got - tt.want).Abs(); d > tt.want/5 || got > 24*time.Hour {
				t.Errorf("left alone for %s, want %s", got, tt.want)
			}
			if early := tt.attempts.Last.Add(-time.Second); !tt.attempts.Hold(early, tt.pair).IsZero() {
				t.Error("a clock that was set back holds")
			}
		})
	}
}

// TestLives lets certificates of any lifetime follow each other, from an authority that
// backdates them, takes its time, and has a clock of its own. None ever ends, and there
// are not many more than needed.
func TestLives(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	for range 3000 {
		life := time.Duration(float64(3*time.Second) * math.Exp(random.Float64()*16)) // to a year
		backdate := time.Duration(random.Float64() * float64(min(3*life, time.Hour)))
		ahead := time.Duration(random.Float64() * float64(min(life/4, 10*time.Minute)))
		latency := time.Duration(random.Float64() * float64(min(life/20, 10*time.Second)))
		policy := Policy{Jitter: random.Float64() / 4}
		now, count := epoch.Add(time.Duration(random.Int64N(int64(time.Second)))), 0
		issue := func() Certificate {
			count++
			theirs := now.Add(ahead)
			now = now.Add(latency)
			return Certificate{Since: now, Spread: random.Float64(),
				Chain: []Window{{theirs.Add(-backdate).Truncate(time.Second), theirs.Add(life).Truncate(time.Second)}}}
		}
		served := issue()
		now = later(now, served.Chain[0].From)
		stop := now.Add(50 * life)
		for now.Before(stop) {
			due := Due(served, policy)
			if due.Before(now) {
				due = now // it had to be waited for
			}
			now = due
			next := issue()
			now = later(now, next.Chain[0].From)
			if end := served.end(); now.After(end) {
				t.Fatalf("life %s, backdated by %s, ahead by %s, latency %s, jitter %.2f: ended at %s, the next one came %s later",
					life, backdate, ahead, latency, policy.Jitter, end, now.Sub(end))
			}
			served = next
		}
		// The share of the lifetime that is left after what cannot be helped.
		usable := float64(life-time.Second-latency-max(ahead-backdate, 0)) / float64(life)
		if most := 50 * 2.6 / usable; float64(count) > most {
			t.Fatalf("life %s, backdated by %s, ahead by %s, latency %s, jitter %.2f: %d certificates in 50 lifetimes, want %.0f at most",
				life, backdate, ahead, latency, policy.Jitter, count, most)
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := at(0)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, " 120 ": 2 * time.Minute, "x": 0, "-1": 0, "99999999999999999999": 0, "9999999999": MaxAfter,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := ParseRetryAfter(text, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
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
