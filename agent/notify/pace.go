package notify

import (
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// burst messages may go to a target at once, and one each interval after
	// that: what a server that comes and goes all day may cost.
	burst    = 10
	interval = 6 * time.Minute

	// After a failure the next attempt is firstWait later, then twice that and
	// so on.
	firstWait = 5 * time.Second
	longWait  = 10 * time.Minute
	// maxAfter bounds what a Retry-After is believed: news gets old.
	maxAfter = time.Hour

	// remind is how often a target that goes on failing is logged.
	remind = time.Hour
)

// A limit bounds how many messages a target gets.
type limit struct {
	full time.Time // when the whole burst is there again
}

// free returns when the next message may go; a time before now means now.
func (l limit) free() time.Time { return l.full.Add(-(burst - 1) * interval) }

func (l *limit) take(now time.Time) {
	if l.full.Before(now) {
		l.full = now
	}
	l.full = l.full.Add(interval)
}

// A streak is the failures of a target since its last success.
type streak struct {
	failed int
	until  time.Time // when to try again
	logged time.Time // when the last of them was logged
}

// fail takes in a failure, and returns whether it is to be logged: the first of
// a streak, and one each hour.
func (s *streak) fail(now time.Time, err error) bool {
	var f *Failure
	if !errors.As(err, &f) {
		f = new(Failure)
	}
	s.failed++
	wait := longWait
	if n := s.failed - 1; !f.Lasting && n < 7 {
		wait = min(firstWait<<n, longWait)
	}
	wait = max(wait, min(f.After, maxAfter))
	// Hosts that failed together do not come back together.
	s.until = now.Add(wait + rand.N(wait/10))
	if s.failed > 1 && now.Sub(s.logged) < remind {
		return false
	}
	s.logged = now
	return true
}
