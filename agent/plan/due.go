package plan

import "time"

// Due returns when p is due for renewal: two-thirds of the lifetime of the
// first certificate of the chain to get there, earlier by the pair's share of
// the jitter.
//
// The lifetime runs from NotBefore to NotAfter. Where two-thirds of it had
// passed already when the pair was issued, it runs from the issue instead. A CA
// that backdates a short certificate makes that so, and so does an intermediate
// near its end: the CA had no better one to give, and a renewal at once would
// bring the same again.
//
// A window that the authority suggests comes first: this host's place in it is
// as stable as its jitter. Two-thirds remain the backstop for a window that
// ends after the pair does.
//
// Nothing makes two issues follow each other faster than a twentieth of the
// leaf's lifetime: not a chain that is about to end, which is due again at ever
// shorter distances, and not an authority that always says now.
func Due(p Pair, policy Policy) time.Time {
	due := p.twoThirds(policy)
	if w := p.Window; p.suggested() {
		due = w.NotBefore.Add(time.Duration(p.Spread * float64(w.NotAfter.Sub(w.NotBefore))))
	}
	if p.Since.IsZero() {
		return due
	}
	if floor := p.Since.Add(p.lifetime() / 20); due.Before(floor) {
		return floor
	}
	return due
}

func (p Pair) twoThirds(policy Policy) time.Time {
	var due time.Time
	for _, w := range p.Chain {
		start := w.NotBefore
		if !twoThirds(start, w.NotAfter).After(p.Since) && p.Since.Before(w.NotAfter) {
			start = p.Since
		}
		d := twoThirds(start, w.NotAfter)
		early := time.Duration(policy.Jitter * p.Spread * float64(w.NotAfter.Sub(start)))
		due = sooner(d.Add(-early), due)
	}
	return due
}

// suggested reports whether the authority's window decides.
func (p Pair) suggested() bool {
	return !p.Window.NotAfter.IsZero() && p.Window.NotAfter.Before(p.end())
}

func twoThirds(from, to time.Time) time.Time {
	return from.Add(to.Sub(from) / 3 * 2)
}

// end returns when the first certificate of the chain expires.
func (p Pair) end() time.Time {
	var end time.Time
	for _, w := range p.Chain {
		if earlier(w.NotAfter, end) {
			end = w.NotAfter
		}
	}
	return end
}

func (p Pair) lifetime() time.Duration {
	return p.Chain[0].NotAfter.Sub(p.Chain[0].NotBefore)
}
