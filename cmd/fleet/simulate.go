package main

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"redis-cert-agent/agent/plan"
)

// A scenario is what happens to a fleet.
type scenario struct {
	Name     string
	Agents   int
	Lifetime time.Duration
	Lives    int // how many lifetimes it lasts
	Seed     uint64
	Policy   plan.Policy
	Limit    float64 // certificates that the authority gives, by what it has to give in the mean; zero: any number
	Outage   span
	Forced   span // all certificates are replaced by force in this time
	Compared bool // it shows what is not done any more: no figure depends on it
}

// A course is what came of a scenario.
type course struct {
	scenario
	Issued, Turned, Missed []int // certificates, requests that were turned away, attempts that met nobody, in each bin
	Probed                 []int // connections by which agents saw that the authority is back
	Expired                int   // certificates that ended before their successor came
	Least                  time.Duration
	events                 int
}

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A member is one agent, with what it has on disk and in memory.
type member struct {
	at     int64 // when it does something next, in nanoseconds since begin
	clock  time.Duration
	pair   *plan.Certificate
	issue  plan.Attempts // at a certificate
	ca     plan.Attempts // of the authority
	forced bool
	ended  bool // its certificate has expired, and was counted
}

type queue []*member

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*member)) }
func (q *queue) Pop() any          { old := *q; m := old[len(old)-1]; *q = old[:len(old)-1]; return m }

// A world is a scenario while it runs.
type world struct {
	course
	random *rand.Rand
	tokens float64 // of the authority's limit
	filled time.Duration
}

// run runs a scenario to its end.
func (s scenario) run() course {
	w := &world{course: course{scenario: s, Least: s.Lifetime}, random: rand.New(rand.NewPCG(s.Seed, 0))}
	bins := int(s.length()/s.bin()) + 1
	w.Issued, w.Turned, w.Missed, w.Probed = make([]int, bins), make([]int, bins), make([]int, bins), make([]int, bins)
	q := make(queue, 0, s.Agents)
	for range s.Agents {
		m := &member{at: w.random.Int64N(int64(time.Minute))} // all are made in the same minute
		if w.random.IntN(2) == 0 {
			m.clock = time.Duration(w.random.Int64N(int64(10*time.Minute))) - 5*time.Minute
		}
		q = append(q, m)
	}
	heap.Init(&q)
	for len(q) > 0 && time.Duration(q[0].at) < s.length() {
		w.events++
		w.act(q[0])
		heap.Fix(&q, 0)
	}
	return w.course
}

// act has an agent look, do what the plan says, and wait for what it says next.
func (w *world) act(m *member) {
	at := time.Duration(m.at)
	now := begin.Add(at + m.clock)
	w.force(m, at)
	step := plan.Next(now, w.facts(m, now), w.Policy)
	if step.Do == plan.Issue {
		w.ask(m, at, now)
		step = plan.Next(now, w.facts(m, now), w.Policy)
	}
	if step.Do != plan.Wait || step.At.IsZero() {
		panic(fmt.Sprintf("the plan says %s (%s)", step.Do, step.Why))
	}
	next := step.At.Sub(begin) - m.clock
	if f := w.Forced[0]; !m.forced && f > 0 && next > f && m.pair != nil {
		next = min(next, max(f+time.Duration(w.random.Int64N(int64(w.Forced[1]-w.Forced[0]))), at+1))
	}
	if end := m.pair; end != nil && !m.ended && at < w.end(m) && next > w.end(m) {
		w.Expired, m.ended = w.Expired+1, true
	}
	m.at = int64(max(next, at+1))
}

// force asks for a new certificate where a person does.
func (w *world) force(m *member, at time.Duration) {
	if w.Forced[0] > 0 && !m.forced && m.pair != nil && at >= w.Forced[0] {
		m.forced = true
		if at < w.Forced[1] {
			w.issued(m, at, begin.Add(at+m.clock))
		}
	}
}

func (w *world) facts(m *member, now time.Time) plan.Facts {
	f := plan.Facts{Newest: m.pair, Current: true, Seen: true, Issue: m.issue, Hold: m.ca.Hold(now, m.pair)}
	if m.pair != nil {
		f.Servers = []plan.Server{{Served: m.pair.ID}}
	}
	return f
}

// end returns when the certificate of m ends, by the true time.
func (w *world) end(m *member) time.Duration { return m.pair.Chain[0].To.Sub(begin) }

// ask asks the authority, as the agent does.
func (w *world) ask(m *member, at time.Duration, now time.Time) {
	b := int(at / w.bin())
	if at >= w.Outage[0] && at < w.Outage[1] {
		w.Missed[b]++
		m.failed(now, 0)
		m.ca.Away = true
		if m.ca.Since.IsZero() {
			m.ca.Since = now
		}
		return
	}
	if m.ca.Away && m.ca.Back.IsZero() && m.pair != nil {
		w.Probed[b]++
		m.ca.Back = now
		if m.ca.Hold(now, m.pair).After(now) {
			return
		}
	}
	if !w.take(at) {
		w.Turned[b]++
		m.failed(now, time.Minute)
		m.ca.Away = false
		return
	}
	w.issued(m, at, now)
}

func (m *member) failed(now time.Time, after time.Duration) {
	m.issue.Failed, m.issue.Last = m.issue.Failed+1, now
	m.ca.Failed, m.ca.Last, m.ca.After = m.ca.Failed+1, now, after
}

// take takes one of the certificates that the authority can give at the time.
func (w *world) take(at time.Duration) bool {
	if w.Limit == 0 || at < w.Lifetime/24 { // the first ones are given to all at once
		return true
	}
	rate := w.Limit * w.mean() / w.bin().Seconds()
	w.tokens = min(w.tokens+rate*(at-w.filled).Seconds(), 10*rate) // ten seconds' worth at once
	w.filled = at
	if w.tokens < 1 {
		return false
	}
	w.tokens--
	return true
}

// mean returns how many certificates the fleet needs in a bin: each is renewed at
// two-thirds of its lifetime, less half of the jitter in the mean.
func (s scenario) mean() float64 {
	return float64(s.Agents) * float64(s.bin()) / (float64(s.Lifetime) * (2./3 - s.Policy.Jitter/2))
}

func (w *world) issued(m *member, at time.Duration, now time.Time) {
	w.Issued[int(at/w.bin())]++
	p := &plan.Certificate{ID: strconv.FormatUint(w.random.Uint64(), 16) + strconv.FormatUint(w.random.Uint64(), 16), Since: now, Spread: w.random.Float64()}
	from := begin.Add(at).Truncate(time.Second)
	p.Chain = []plan.Window{{From: from, To: from.Add(w.Lifetime)}}
	if m.pair == nil {
		p.First = true
	} else {
		p.Replaced = plan.Due(*m.pair, w.Policy)
		w.Least = min(w.Least, w.end(m)-at)
	}
	m.pair, m.issue, m.ca, m.ended = p, plan.Attempts{}, plan.Attempts{}, false
}
