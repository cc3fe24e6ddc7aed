package notify

import (
	"errors"
	"math/rand/v2"
	"time"

	"redis-cert-agent/agent/plan"
)

const (
	// burst messages may go to a target at once, and one each interval after
	// that, so that a server that comes and goes all day floods nobody.
	burst    = 10
	interval = 6 * time.Minute

	// maxAfter is the longest Retry-After that is believed, because messages get old.
	maxAfter = time.Hour

	// remind is how often a target that goes on failing is logged.
	remind = time.Hour
)

// retries says when a target that took no message is tried again.
var retries = plan.Backoff{First: 5 * time.Second, Longest: 10 * time.Minute}

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
// a streak is, and one each hour.
func (s *streak) fail(now time.Time, err error) bool {
	var f *Failure
	if !errors.As(err, &f) {
		f = new(Failure)
	}
	s.failed++
	b := retries
	if f.Lasting {
		b.First = b.Longest // only a person can mend it
	}
	s.until = now.Add(max(b.Delay(s.failed, rand.Float64()), min(f.After, maxAfter)))
	if s.failed > 1 && now.Sub(s.logged) < remind {
		return false
	}
	s.logged = now
	return true
}
