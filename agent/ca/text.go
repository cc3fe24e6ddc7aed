package ca

import (
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// MaxMessage is how many characters of what an authority says are passed on.
	MaxMessage = 300
	// MaxAfter bounds what a Retry-After is believed.
	MaxAfter = 24 * time.Hour
)

// Line makes foreign text fit for one line of a log: no control and no format
// characters.
func Line(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// Cut shortens s to n characters.
func Cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// ParseRetryAfter reads seconds or an HTTP date (RFC 9110, 10.2.3), at most
// MaxAfter. What is neither, or past, is 0.
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
