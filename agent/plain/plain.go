// Package plain writes what people read: foreign text on one line, times and
// spans of time, serial numbers, and pages of two columns.
package plain

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// OneLine returns foreign text, such as the message of a CA or of a redis-server,
// on one line and without control and format characters, so that it can break
// neither a page, nor a log, nor a terminal, nor turn the order of what is read.
func OneLine(s string) string {
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

// Clip shortens text to n characters, the last of which tells that there was more.
func Clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// Time writes a time as messages have it: RFC 3339, in UTC, to the second.
func Time(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Stamp writes a time as pages have it, to the minute: "2026-11-23 03:10 UTC".
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") + " UTC" }

// Ago writes how long before now t was, as "3 h ago".
func Ago(now, t time.Time) string {
	if d := now.Sub(t); d >= time.Second {
		return Span(d) + " ago"
	}
	return "just now"
}

// Span writes a duration in at most two units, rounded down: "8 y", "12 d",
// "1 d 3 h", "8 min 20 s".
func Span(d time.Duration) string { return span(int64(d / time.Second)) }

// Between writes the time from one time to another as Span does, also where it is
// longer than a time.Duration, which ends after 292 years.
func Between(from, to time.Time) string { return span(to.Unix() - from.Unix()) }

func span(seconds int64) string {
	units := []struct {
		size int64
		name string
	}{{365 * 86400, "y"}, {86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}}
	for i, u := range units {
		n := seconds / u.size
		if n == 0 {
			continue
		}
		text := fmt.Sprintf("%d %s", n, u.name)
		if i+1 == len(units) || n >= 10 {
			return text
		}
		if m := (seconds % u.size) / units[i+1].size; m > 0 {
			text += fmt.Sprintf(" %d %s", m, units[i+1].name)
		}
		return text
	}
	return "0 s"
}

// ShortSerial shortens a serial number to what tells certificates apart.
func ShortSerial(serial string) string {
	if len(serial) <= 12 {
		return serial
	}
	return serial[:8] + "…"
}

// Bytes writes an amount as people read it: "812 MB".
func Bytes(n uint64) string {
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if n < 10000 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%d TB", n)
}
