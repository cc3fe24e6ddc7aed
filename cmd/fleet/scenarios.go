package main

import (
	"time"

	"redis-cert-agent/agent/plan"
)

const day = 24 * time.Hour

// scenarios returns what is tried: a year of certificates of a day in which nothing
// happens, and some lifetimes of each fault. The first ones are drawn.
func scenarios() []scenario {
	alone, turns := plan.DefaultPolicy(), plan.DefaultPolicy()
	alone.Turns = false
	away := func(t time.Duration) span { return span{3 * t, 3*t + t/4} }
	return []scenario{
		{Name: "made in one minute, with the jitter alone", Lifetime: day, Lives: 12, Policy: alone, Compared: true},
		{Name: "made in one minute", Lifetime: day, Lives: 365, Policy: turns},
		{Name: "all replaced by force within ten minutes", Lifetime: day, Lives: 8, Policy: turns, Forced: span{3 * day, 3*day + 10*time.Minute}},
		{Name: "the CA is away for a quarter of a lifetime", Lifetime: day, Lives: 8, Policy: turns, Outage: away(day)},
		{Name: "the same, and the CA gives twice the mean at most", Lifetime: day, Lives: 5, Policy: turns, Outage: away(day), Limit: 2},
		{Name: "the CA is away for two hours", Lifetime: day, Lives: 5, Policy: turns, Outage: span{3 * day, 3*day + 2*time.Hour}},
		{Name: "certificates of seven days; the CA is away for a quarter of that, and gives twice the mean at most", Lifetime: 7 * day, Lives: 5, Policy: turns, Outage: away(7 * day), Limit: 2},
	}
}

// A span is a time from and to, since the beginning.
type span [2]time.Duration

func (s span) any() bool { return s[1] > 0 }

// at returns the load in each bin from the time on, by the mean that the fleet needs:
// the requests for a certificate that reached the authority.
func (c course) at(from, to time.Duration) []float64 {
	var all []float64
	for n := int(from / c.bin()); n < min(int(to/c.bin()), len(c.Issued)-1); n++ {
		all = append(all, float64(c.Issued[n]+c.Turned[n])/c.mean())
	}
	return all
}

// length returns how long the scenario is.
func (s scenario) length() time.Duration { return time.Duration(s.Lives) * s.Lifetime }

// bin returns the time over which requests are counted: ten minutes for certificates of
// a day.
func (s scenario) bin() time.Duration { return s.Lifetime / 144 }

// event returns what happens in the scenario: all agents are made, replaced, or in vain.
func (s scenario) event() span {
	switch {
	case s.Outage.any():
		return s.Outage
	case s.Forced.any():
		return s.Forced
	}
	return span{0, s.bin()}
}

// Peak returns the fullest bin after what happened, but for those of the return from an
// outage, which Return gives.
func (c course) Peak() float64 {
	from := c.event()[1]
	switch {
	case c.Outage.any():
		from += c.Lifetime / 3
	case c.Forced.any():
		from += c.bin()
	}
	return most(c.at(from, c.length()))
}

// Return returns the fullest bin of the third of a lifetime after an outage.
func (c course) Return() float64 {
	return most(c.at(c.Outage[1], c.Outage[1]+c.Lifetime/3))
}

// Looks returns the fullest bin of attempts during an outage, which met nobody, or of the
// looks by which agents saw that the authority is back.
func (c course) Looks() float64 {
	var all []float64
	for n := range c.Missed {
		all = append(all, float64(max(c.Missed[n], c.Probed[n]))/c.mean())
	}
	return most(all)
}

func most(of []float64) (m float64) {
	for _, x := range of {
		m = max(m, x)
	}
	return m
}

// Refused returns how many requests were turned away.
func (c course) Refused() (n int) {
	for _, turned := range c.Turned {
		n += turned
	}
	return n
}
