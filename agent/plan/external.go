package plan

import "time"

// recheck is how often another program's files are looked at while they are of no
// use: some changes cause no hint, like a mount or the rights of a directory above.
const recheck = time.Minute

// external is next for a pair that another program renews. Nothing is ever issued:
// a good pair is loaded where it is not shown, and all else is waited for.
func external(now time.Time, f Facts) Step {
	const renewed = "another program renews this pair"
	switch {
	case now.Before(f.Settle):
		return Step{Why: "another program may not have finished", At: f.Settle}
	case f.Newest == nil, f.Newest.Unfit != "":
		at := now.Add(recheck)
		if f.Newest != nil {
			at = sooner(f.Newest.changes(now), at)
		}
		return Step{Why: renewed + ", and has to put a good one there", At: at}
	}
	s := Step{Why: renewed, At: f.Newest.changes(now)}
	if l := load(now, f); l.Do == Load || earlier(l.At, s.At) {
		s = l
	}
	return s
}

// changes returns when the pair next becomes valid, or ceases to be: the zero time
// when it never does again. A certificate is valid in the second of its NotAfter
// too (RFC 5280, section 4.1.2.5).
func (p Certificate) changes(now time.Time) time.Time {
	var at time.Time
	for _, w := range p.Chain {
		for _, t := range []time.Time{w.From, w.To.Add(time.Second)} {
			if t.After(now) {
				at = sooner(t, at)
			}
		}
	}
	return at
}
