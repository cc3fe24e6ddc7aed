package plan

import "time"

// Hosts that renew at the same distance from their issue come together for ever if their
// certificates were issued together: when they were installed by one script, when
// somebody replaced all certificates by force, when a configuration changed everywhere,
// when an authority was away for hours. The jitter takes tens of lifetimes to undo that.
//
// So a host keeps its turn. One that has none yet takes one at random within the lifetime
// of its first certificate; from then on a certificate that came too early or too late is
// renewed when it would have been, had it come in time. Only the first certificate and
// such a one end earlier than they had to, and each costs a part of one renewal.

// soonest is the share of the usual time that passes at least before a certificate is
// renewed: one that was just issued is not replaced at once.
const soonest = 0.02

// turn returns when p is renewed although it is due only later; the zero time when that
// is not so. The pair's own due date without the jitter is the latest, so that this
// endangers no end.
func (p Certificate) turn(due time.Time, policy Policy) (at time.Time) {
	usual := due.Sub(p.Since)
	if !policy.Turns || policy.Jitter == 0 || p.Since.IsZero() || p.suggested() || p.Late || usual <= 0 {
		return time.Time{}
	}
	least := p.Since.Add(max(time.Duration(soonest*float64(usual)), time.Second))
	switch {
	case p.First: // at comes below
	case p.Replaced.IsZero():
		return time.Time{}
	case p.Since.Before(p.Replaced):
		at = p.Replaced
		due = later(due, sooner(at, p.latest(Policy{}))) // the jitter is in its turn already
	default:
		at = due.Add(-(p.Since.Sub(p.Replaced) % usual))
	}
	if at.Before(least) { // it has no turn, or one that is too near
		at = least.Add(time.Duration(p.spread(0) * float64(due.Sub(least))))
	}
	return sooner(at, due)
}

// Missed reports whether the turn of p, which could not be used when it was issued, is over
// at the time now, or so near that p would be replaced when it has hardly been used. A pair
// that is used at once has not missed its turn, although some time passes until then.
func (p Certificate) Missed(now time.Time, policy Policy) bool {
	due, usual := Due(p, policy), p.latest(policy)
	return due.Before(usual) && due.Sub(now) < time.Duration(0.9*soonest*float64(usual.Sub(p.Since)))
}
