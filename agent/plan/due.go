package plan

import "time"

// Due returns when p is due for renewal: two-thirds of the lifetime of the
// first certificate of the chain to get there, earlier by the pair's share of
// the jitter.
//
// The lifetime runs from NotBefore to NotAfter. Where more than a third of it had
// passed already when the pair was issued, it runs from the issue instead. A CA
// that backdates a short certificate makes that so, and so does an intermediate
// near its end: the CA had no better one to give, and a renewal at once would
// bring the same again.
//
// A window that the authority suggests comes first: this host's place in it is
// as stable as its jitter. Two-thirds remain the backstop for a window that
// ends after the pair does.
//
// But for a certificate that the authority recalls, two issues never follow each other too fast, and never so slowly that nothing
// valid is left: both bounds are shares of what was left when the pair was issued.
//
// Where hosts are spread, this date moves forward once for a pair that was not issued at
// the due date of the one before it: see turn.go.
func Due(p Certificate, policy Policy) time.Time {
	due := p.latest(policy)
	if at := p.turn(due, policy); !at.IsZero() {
		return at
	}
	return due
}

// latest returns when p is due by what it is itself, however it came about.
func (p Certificate) latest(policy Policy) time.Time {
	due, least := p.twoThirds(policy), 0.4
	if w := p.Window; p.suggested() {
		due, least = w.From.Add(time.Duration(p.Spread*float64(w.To.Sub(w.From)))), 0.05
		due = sooner(due, p.end().Add(-p.end().Sub(p.start(0))/8))
	}
	end := p.end()
	if p.Recalled && p.suggested() {
		return due
	}
	if p.Since.IsZero() || !p.Since.Before(end) {
		return due
	}
	left := end.Sub(p.Since)
	floor := p.Since.Add(time.Duration(least * float64(left)))
	// Certificates end on whole seconds: two of the same second end together.
	floor = sooner(later(floor, p.Since.Add(time.Second)), end)
	return later(due, floor)
}

// twoThirds returns when two-thirds of the lifetime of a certificate of the chain have
// passed. An authority whose clock is ahead of this host's gives certificates that
// begin later than they are issued; they are asked for earlier by that.
func (p Certificate) twoThirds(policy Policy) time.Time {
	var due time.Time
	for i, w := range p.Chain {
		start := p.start(i)
		life := w.To.Sub(start)
		early := time.Duration(policy.Jitter * p.Spread * float64(life))
		share := life / 3 * 2
		if p.Late {
			share = life / 10 * 9
		}
		due = sooner(start.Add(share-early), due)
	}
	begin := p.Chain[0].From
	if ahead := begin.Sub(p.Since); !p.Since.IsZero() && ahead > 0 && due.After(begin) {
		due = later(due.Add(-ahead), begin)
	}
	return due
}

// start returns when the lifetime of certificate i of the chain begins to run: at the
// issue, where it had lost more than a third by then.
func (p Certificate) start(i int) time.Time {
	w := p.Chain[i]
	third := w.From.Add(w.To.Sub(w.From) / 3)
	if p.Since.After(third) && p.Since.Before(w.To) {
		return p.Since
	}
	return w.From
}

// suggested reports whether the authority's window decides.
func (p Certificate) suggested() bool {
	return !p.Window.To.IsZero() && p.Window.To.Before(p.end())
}

// end returns when the first certificate of the chain expires.
func (p Certificate) end() time.Time {
	var end time.Time
	for _, w := range p.Chain {
		if earlier(w.To, end) {
			end = w.To
		}
	}
	return end
}

// left returns what is left of the pair at the time t: zero when there is none, or
// when it has ended.
func (p *Certificate) left(t time.Time) time.Duration {
	if p == nil {
		return 0
	}
	return max(p.end().Sub(t), 0)
}

func (p Certificate) lifetime() time.Duration {
	return p.Chain[0].To.Sub(p.Chain[0].From)
}
