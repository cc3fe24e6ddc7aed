package plan

import (
	"strconv"
	"time"
)

const (
	firstRetry = time.Second     // the shortest delay between two attempts
	lastRetry  = time.Hour       // the longest
	outage     = 5 * time.Minute // the longest while nothing valid is left
)

// asking is the backoff towards a CA: gentle, and scaled to the lifetime, so
// that a day's certificate begins with attempts every minute and an hour's
// with attempts every two seconds. Without a pair a redis-server waits for it
// to start, mostly on a host that boots together with its CA.
func asking(p *Certificate) Backoff {
	if p == nil {
		return Backoff{First: 2 * firstRetry, Longest: lastRetry}
	}
	return Backoff{First: min(p.lifetime()/2000, time.Minute), Longest: lastRetry}
}

// loading is the backoff towards a redis-server: local and cheap.
var loading = Backoff{First: firstRetry, Longest: outage}

// retry returns when the next attempt may start: the zero time when there was
// no failure.
//
// The delay is at most an eighth of what is left of the lifetime, so that there
// are always several attempts before the end, and none waits past the end.
func (a Attempts) retry(now time.Time, p *Certificate, b Backoff) time.Time {
	if a.Failed == 0 || a.Last.After(now) { // a clock set back must not hold us
		return time.Time{}
	}
	left, longest := p.left(a.Last), min(b.Longest, outage)
	switch {
	case left > 0:
		longest = min(b.Longest, left/8)
	case p != nil:
		longest = min(longest, p.lifetime()/50)
	}
	longest = longest * 5 / 6 // the spread adds up to a fifth
	b = Backoff{First: max(b.First, firstRetry), Longest: max(longest, firstRetry)}
	at := a.Last.Add(b.Delay(a.Failed, p.spread(a.Failed)))
	if left > 0 {
		at = sooner(at, p.end())
	}
	return at
}

// A refused certificate would be refused again, so the distances grow up to a day, with
// the spread. At
// an authority that counts what it issues, and where the clocks differ, another attempt
// is of less use still.
var (
	refusing       = Backoff{First: 30 * time.Second, Longest: 20 * time.Hour}
	refusingSlowly = Backoff{First: 5 * time.Minute, Longest: 20 * time.Hour}
)

// Hold returns until when the authority that failed is not asked again: the zero time
// when that is for others to decide.
//
// A Retry-After is believed up to a quarter of what is left of the newest certificate,
// and the distance after a refusal grows to half of it, so that neither reaches its end.
// Once nothing valid is left both are five minutes at most; an hour after refusals that
// are Slow.
func (a Attempts) Hold(now time.Time, p *Certificate) time.Time {
	if a.Failed == 0 || a.Last.After(now) {
		return time.Time{}
	}
	left := p.left(a.Last)
	after, refused, b := min(a.After, outage), outage, refusing
	if a.Slow {
		refused, b = lastRetry, refusingSlowly
	}
	if left > 0 {
		after, refused = min(a.After, MaxAfter, left/4), left/2
	}
	delay := max(after, min(b.Delay(a.Refused, p.spread(a.Refused)), refused))
	if delay <= 0 {
		return time.Time{}
	}
	return a.Last.Add(delay)
}

// spread returns a number in [0,1) that is the same for the same pair and
// attempt.
func (p *Certificate) spread(attempt int) float64 {
	if p == nil {
		return 0.5
	}
	if p.hash == 0 {
		p.hash = fnv(fnvOffset, p.ID)
	}
	return float64(fnv(p.hash, strconv.Itoa(attempt))>>11) / (1 << 53)
}

// fnv goes on with a hash of FNV-1a. That of hash/fnv cannot: thousands of attempts at
// one certificate are counted in advance (AttemptsLeft).
func fnv(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

const fnvOffset uint64 = 14695981039346656037
