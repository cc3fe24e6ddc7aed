package plan

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxAfter is the longest Retry-After that is believed.
const MaxAfter = 24 * time.Hour

// ParseRetryAfter reads seconds or an HTTP date (RFC 9110, 10.2.3), at most
// MaxAfter. It returns 0 for what is neither, and for a date that has passed.
func ParseRetryAfter(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		if n > uint64(MaxAfter/time.Second) {
			return MaxAfter
		}
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxAfter)
}
