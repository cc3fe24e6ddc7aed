package plan

import (
	"hash/fnv"
	"strconv"
	"time"
)

const (
	firstRetry = time.Second     // the shortest distance between two attempts
	lastRetry  = time.Hour       // the longest that backoff grows to
	outage     = 5 * time.Minute // the longest while nothing valid is left
	patience   = 24 * time.Hour  // the longest Retry-After that is believed
)

// A backoff says how fast attempts follow each other.
type backoff struct{ first, longest time.Duration }

// asking is the backoff towards a CA: gentle, and scaled to the lifetime, so
// that a day's certificate begins with attempts every minute and an hour's
// with attempts every two seconds. Without a pair a redis-server waits for it
// to start, mostly on a host that boots together with its CA.
func asking(p *Pair) backoff {
	if p == nil {
		return backoff{first: 2 * firstRetry, longest: lastRetry}
	}
	return backoff{first: min(p.lifetime()/2000, time.Minute), longest: lastRetry}
}

// loading is the backoff towards a redis-server: local and cheap.
var loading = backoff{first: firstRetry, longest: outage}

// retry returns when the next attempt may start: the zero time when there was
// no failure.
//
// The distance doubles with each failure, is capped at an eighth of what is
// left of the lifetime, so that there are always several attempts before the
// end, and is spread by up to a fifth, so that hosts that failed together do
// not come back together. A Retry-After that is longer wins.
func (a Attempts) retry(now time.Time, p *Pair, b backoff) time.Time {
	if a.Failed == 0 || a.Last.After(now) { // a clock set back must not hold us
		return time.Time{}
	}
	longest, spread := min(b.longest, outage), 0.5
	if p != nil {
		spread = p.spread(a.Failed)
		if left := p.end().Sub(a.Last); left > 0 {
			longest = min(b.longest, left/8)
		} else {
			longest = min(longest, p.lifetime()/50)
		}
	}
	longest = max(longest, firstRetry)
	delay := longest
	if doublings := a.Failed - 1; doublings < 20 {
		delay = min(longest, max(firstRetry, b.first)<<doublings)
	}
	delay += time.Duration(spread * float64(delay) / 5)
	return a.Last.Add(max(delay, min(a.After, patience)))
}

// spread returns a number in [0,1) that is the same for the same pair and
// attempt.
func (p Pair) spread(attempt int) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(p.ID + strconv.Itoa(attempt))) // never fails: hash.Hash
	return float64(h.Sum64()>>11) / (1 << 53)
}
