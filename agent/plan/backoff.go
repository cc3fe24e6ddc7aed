package plan

import "time"

// A Backoff says how far apart attempts are that fail: the delay doubles with
// each failure, from First to Longest.
type Backoff struct{ First, Longest time.Duration }

// Delay returns how long to wait after so many failures in a row; 0 after none.
// The delay is lengthened by up to a fifth, for a spread from 0 to 1, so that
// hosts that failed together do not come back together. The caller chooses the
// spread, which is random where nothing better is known.
func (b Backoff) Delay(failures int, spread float64) time.Duration {
	if failures < 1 {
		return 0
	}
	delay := b.Longest
	if doublings := failures - 1; doublings < 20 { // more would overflow, and reach any Longest
		delay = min(b.First<<doublings, b.Longest)
	}
	return delay + time.Duration(spread*float64(delay)/5)
}
