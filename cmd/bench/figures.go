package main

import (
	"fmt"
	"time"
)

// The targets. A megabyte is 10⁶ bytes.
const (
	maxRatio  = 1.5
	maxBinary = 14_000_000 // bytes
	maxRSS    = 12_000_000
	maxAnon   = 4_000_000

	// The Go runtime looks after itself once a minute (sysmon, in package
	// runtime), which is a wake-up or two of an empty program, too.
	ownWakeups = 4
	// What a process that does not grow may differ by: memory is counted in
	// pages, and the runtime starts a thread when all others are in system calls.
	rssSlack, threadSlack = 512, 2 // KiB, threads
)

// A figure is one promise and what came of it.
type figure struct {
	name, value, target string
	met                 bool
}

// figures are all promises, in the order of the page.
func (r results) figures() []figure {
	i, e := r.idle, r.endurance
	number := func(n int64) string { return fmt.Sprint(n) }
	growth := func(name string, early, late, slack int64, unit string) figure {
		target := "no growth"
		if slack > 0 {
			target = fmt.Sprintf("no growth beyond %d%s", slack, unit)
		}
		return figure{name, fmt.Sprintf("%d → %d%s", early, late, unit), target, late <= early+slack}
	}
	return []figure{
		{"a rotation by the sum of its bare parts", ratio(r.rotation.ratio()), "≤ 1.5", r.rotation.ratio() <= maxRatio},
		{"the binary, stripped", megabytes(i.binary), "≤ 14 MB", i.binary <= maxBinary},
		{"idle, after three rotations: VmRSS", megabytes(i.rest.rss << 10), "≤ 12 MB", i.rest.rss<<10 <= maxRSS},
		{"idle, after three rotations: RssAnon", megabytes(i.rest.anon << 10), "≤ 4 MB", i.rest.anon<<10 <= maxAnon},
		{"wake-ups in " + seconds(i.window) + " without a watchdog", number(i.wakeups), fmt.Sprintf("≤ %d, the Go runtime's own", ownWakeups), i.wakeups <= ownWakeups},
		{"watchdog pings in " + seconds(i.window), number(i.pings), fmt.Sprintf("%d or one more", i.wantPings), i.pings == i.wantPings || i.pings == i.wantPings+1},
		{"commands that failed", number(e.failed), "0", e.failed == 0 && e.commands > 0},
		{"connections that were dropped", number(e.dropped), "0", e.dropped == 0},
		growth("VmRSS", e.early.rss, e.late.rss, rssSlack, " KiB"),
		growth("RssAnon", e.early.anon, e.late.anon, rssSlack, " KiB"),
		growth("open files", int64(e.early.files), int64(e.late.files), 0, ""),
		growth("threads", e.early.threads, e.late.threads, threadSlack, ""),
		growth("goroutines", int64(e.goroutines[0]), int64(e.goroutines[1]), 0, ""),
		growth("pairs on disk", int64(e.generations[0]), int64(e.generations[1]), 0, ""),
		{"a check of 500 endpoints by the bare handshakes", ratio(r.checked.ratio()), "≤ 2", r.checked.ratio() <= maxCheck},
	}
}

func ratio(r float64) string { return fmt.Sprintf("%.2f", r) }

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }
