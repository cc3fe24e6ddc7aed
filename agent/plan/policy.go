package plan

import "redis-cert-agent/agent/option"

// maxJitter leaves every host some time between its due date and the end.
const maxJitter = 0.25

// A Policy is the part of the configuration that decides when.
type Policy struct {
	Jitter float64 // the part of the lifetime over which hosts are spread, 0 to 0.25
	Turns  bool    // each host keeps its turn (turn.go), unless Jitter is zero
}

// DefaultPolicy returns what holds where nothing is said.
func DefaultPolicy() Policy { return Policy{Jitter: 0.05, Turns: true} }

// Faults tells what cannot work.
func (p Policy) Faults(r option.Report) {
	if p.Jitter < 0 || p.Jitter > maxJitter {
		r.Fault("jitter", "%g%% is not between 0%% and %g%%; write it like 5%%", p.Jitter*100, maxJitter*100.0)
	}
}
