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
//
// Hosts that were told to wait for the same time come back spread over a fifth of it.
// Those that found an authority away come back as their Back says.
func (a Attempts) Hold(now time.Time, p *Certificate) time.Time {
	if a.Failed == 0 || a.Last.After(now) {
		return time.Time{}
	}
	return later(a.hold(p), a.comeback(p))
}

func (a Attempts) hold(p *Certificate) time.Time {
	left := p.left(a.Last)
	after, refused, b := min(a.After, outage), outage, refusing
	if a.Slow {
		refused, b = lastRetry, refusingSlowly
	}
	if left > 0 {
		after, refused = min(a.turnedAway(p, left), left/4), left/2
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

// turnedAway returns how long an authority is left alone that asked for that: longer than
// it said where much is left, so that it has time for those whose certificates end first.
func (a Attempts) turnedAway(p *Certificate, left time.Duration) time.Duration {
	if a.After <= 0 {
		return 0
	}
	after := max(min(a.After, MaxAfter), min(left/16, lastRetry/2))
	return after + time.Duration(p.spread(a.Failed)*float64(after)/5)
}

// Hosts that missed an authority while it was away must not all come at the moment when
// it is back: a quarter of a lifetime of them would. While it is away they look, which
// costs it nothing, whether it answers again. Once it does, each waits patience times as
// long as it had to do without, but only until the certificate becomes critical
// (agent/watched.go):
// those that have waited for long, whose certificates end first, come at once.
const (
	patience  = 4
	mostSpent = 0.7
)

// comeback returns when to ask an authority that answers again: the zero time when there
// is no reason to wait.
func (a Attempts) comeback(p *Certificate) time.Time {
	if a.Back.IsZero() || a.Since.IsZero() || p == nil || p.Unfit != "" || p.Recalled || p.Distrusted {
		return time.Time{}
	}
	latest := a.Since.Add(time.Duration(mostSpent * float64(p.left(a.Since))))
	back := a.Last.Add(time.Duration(p.spread(a.Failed) * float64(a.Back.Sub(a.Last)))) // some time after the last attempt
	at := sooner(back.Add(patience*back.Sub(a.Since)), latest)
	if !at.After(a.Back) {
		return time.Time{}
	}
	return at
}
