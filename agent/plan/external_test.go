package plan

import (
	"errors"
	"testing"
	"time"
)

// TestExternal: what another program renews is loaded, and never issued.
func TestExternal(t *testing.T) {
	unfit, chain := day(), day()
	unfit.Unfit = "it is not for b.internal"
	chain.Chain = append(chain.Chain, Window{at(-1000), at(10)})
	early := &Certificate{ID: "new", Unfit: "it is not valid before", Chain: []Window{{at(2), at(26)}}}
	soon := &Certificate{ID: "new", Unfit: "it is not valid before", Chain: []Window{{at(2).Add(-time.Second), at(26)}}}
	failing := Attempts{Failed: 1, Last: at(17)}
	end := at(24).Add(time.Second)
	tests := []struct {
		name  string
		now   time.Time
		facts Facts
		want  Step
	}{
		{"all is well", at(1), Facts{Newest: day(), Current: true, Servers: shown("new")}, Step{At: end}},
		{"two-thirds have passed", at(20), Facts{Newest: day(), Current: true, Servers: shown("new")}, Step{At: end}},
		{"an intermediate ends first", at(1), Facts{Newest: chain, Current: true, Servers: shown("new")}, Step{At: at(10).Add(time.Second)}},
		{"the other program has put another there", at(1), Facts{Newest: day(), Current: true, Servers: shown("new", "old", "")}, Step{Do: Load, Servers: []int{1, 2}}},
		{"and is not sure to have finished", at(1), Facts{Newest: day(), Current: true, Servers: shown("old"), Settle: at(1.1)}, Step{At: at(1.1)}},
		{"and has finished since", at(1.1), Facts{Newest: day(), Current: true, Servers: shown("old"), Settle: at(1.1)}, Step{Do: Load, Servers: []int{0}}},
		{"a refused reload is tried again", at(17), Facts{Newest: day(), Current: true, Servers: []Server{{Served: "old", Failed: failing}}}, Step{At: at(17).Add(1100 * time.Millisecond)}},
		{"whatever the clock is said to be", at(1), Facts{Newest: day(), Current: true, Servers: shown("old"), Clock: errors.New("not synchronised")}, Step{Do: Load, Servers: []int{0}}},
		{"asked for", at(1), Facts{Newest: day(), Current: true, Servers: shown("new"), Asked: true}, Step{At: end}},
		{"nothing there", at(1), Facts{}, Step{At: at(1).Add(time.Minute)}},
		{"nothing there, asked for", at(1), Facts{Asked: true}, Step{At: at(1).Add(time.Minute)}},
		{"a bad one is not loaded", at(1), Facts{Newest: unfit, Current: true, Servers: shown("old")}, Step{At: at(1).Add(time.Minute)}},
		{"not valid yet", at(1), Facts{Newest: early, Current: true, Servers: shown("old")}, Step{At: at(1).Add(time.Minute)}},
		{"not valid yet, but soon", at(2).Add(-2 * time.Second), Facts{Newest: soon, Current: true, Servers: shown("old")}, Step{At: at(2).Add(-time.Second)}},
		{"expired: nobody is asked for another", at(30), Facts{Newest: day(), Current: true, Servers: shown("new")}, Step{}},
		{"expired and not loaded: not now either", at(30), Facts{Newest: day(), Current: true, Servers: shown("old")}, Step{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.facts.External, tt.facts.Seen = true, true
			got := Next(tt.now, tt.facts, Policy{Jitter: 0.05})
			if got.Do != tt.want.Do || !same(got.Servers, tt.want.Servers) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if !got.Due.IsZero() {
				t.Errorf("a renewal is due at %v", got.Due)
			}
			if d := got.At.Sub(tt.want.At); d < -200*time.Millisecond || d > 200*time.Millisecond {
				t.Errorf("looks again at %v, want %v", got.At, tt.want.At)
			}
			if got.Why == "" {
				t.Error("no reason given")
			}
		})
	}
}
