package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"text/template"
	"time"
)

// The bounds. A megabyte is 10⁶ bytes.
const (
	maxBinary = 16_000_000 // bytes
	maxAnon   = 4_800_000

	// The Go runtime checks on itself once a minute (sysmon, in package runtime),
	// which is a wake-up or two of an empty program as well.
	maxWakeups = 4
	// A process that does not grow may still differ by this much: memory is counted in
	// pages, and the runtime starts a thread when all others are in system calls.
	anonSlack, threadSlack = 512, 2 // KiB, threads
)

// A Figure is one promise and what came of it.
type Figure struct {
	Name, Value, Target string
	Met                 bool
}

// Figures returns all promises, in the order of the page.
func (r results) Figures() (all []Figure) {
	for _, part := range []struct {
		name string
		of   interface{ figures() []Figure }
	}{
		{"rotation", r.Rotation}, {"comparison", r.Comparison}, {"promptness", r.Promptness}, {"main thread", r.MainThread}, {"many servers", r.Crowd},
		{"idle", r.Idle}, {"endurance", r.Endurance}, {"many agents", r.Herd}, {"endpoints", r.Endpoints},
	} {
		if r.Only == "" || r.Only == part.name {
			all = append(all, part.of.figures()...)
		}
	}
	return all
}

func (r rotation) figures() []Figure {
	return []Figure{atMost("a rotation, due to proven, by the sum of its bare parts", r.By(r.Whole), 1.3, ratio)}
}

func (c comparison) figures() []Figure {
	by := func(a, b time.Duration) float64 { return float64(a) / float64(b) }
	return []Figure{
		atMost("CPU of a rotation by the timer's recipe", by(c.Agent.CPU, c.Recipe.CPU), 1./6, thousandths),
		atMost("CPU of a rotation by step's daemon and its hook", by(c.Agent.CPU, c.Step.CPU), 1, ratio),
		atMost("the same, both from rest", by(c.Agent.RestCPU, c.Step.RestCPU), 1, ratio),
		atMost("trigger to new leaf served, by the timer's recipe", by(c.Agent.Served, c.Recipe.Served), 1, ratio),
		atMost("trigger to new leaf served, by step's daemon and its hook", by(c.Agent.Served, c.Step.Served), 1, ratio),
	}
}

func (p promptness) figures() []Figure {
	return []Figure{
		atMost("due to new leaf served: median", median(p.Due, itself), 20*time.Millisecond, milliseconds),
		atMost("due to new leaf served: p99", quantile(p.Due, 0.99, itself), 100*time.Millisecond, milliseconds),
		atMost("changed by another program to served: p99", quantile(p.Changed, 0.99, itself), 100*time.Millisecond, milliseconds),
		atMost("start to READY with a valid pair: median", median(p.Started, itself), 15*time.Millisecond, milliseconds),
	}
}

func (m mainThread) figures() []Figure {
	return []Figure{
		{"CONFIG SET in a rotation", fmt.Sprintf("%d in %d", m.ConfigSets, m.Rotations), "1", m.ConfigSets == m.Rotations && m.Rotations > 0},
		atMost("p99.9 of commands: a rotation every second by a bare CONFIG SET every second", float64(m.Agent.P999)/float64(m.Bare.P999), 1.05, ratio),
	}
}

func (c crowd) figures() []Figure {
	return []Figure{
		atMost(fmt.Sprintf("%d servers on one pair by one", c.Servers), float64(c.All)/float64(c.One), 3, ratio),
		atMost(fmt.Sprintf("the healthy ones where %d of %d hang, by all without that", c.Frozen, c.Servers), float64(c.Healthy)/float64(c.All), 1.2, ratio),
	}
}

func (i idle) figures() []Figure {
	window := seconds(i.Window)
	return []Figure{
		atMost("the binary, stripped", i.Binary, maxBinary, megabytes),
		atMost("idle for "+window+": RssAnon", i.Early.Anon<<10, maxAnon, megabytes),
		atMost("idle for "+seconds(i.Rest)+": RssAnon", i.Late.Anon<<10, maxAnon, megabytes),
		atMost("idle for "+seconds(i.Rest)+": RssAnon, by step's daemon", float64(i.Late.Anon)/float64(i.Step.Anon), 0.5, ratio),
		atMost("wake-ups in "+window+" without a watchdog", i.Wakeups, maxWakeups, number),
		{"watchdog pings in " + window, number(i.Pings), number(i.WantPings) + " or one more", i.Pings == i.WantPings || i.Pings == i.WantPings+1},
	}
}

func (e endurance) figures() []Figure {
	c, early, late := e.Counts, e.Early, e.Late
	return []Figure{
		{"commands that failed", fmt.Sprintf("%d of %d", c.Failed, c.Commands), "0", c.Failed == 0 && c.Commands > 0},
		{"connections that were dropped", number(c.Dropped), "0", c.Dropped == 0},
		growth("RssAnon, KiB", early.Anon, late.Anon, anonSlack),
		growth("open files", early.Files, late.Files, 0),
		growth("threads", early.Threads, late.Threads, threadSlack),
		growth("goroutines", early.Goroutines, late.Goroutines, 0),
		growth("pairs on disk", early.Pairs, late.Pairs, 0),
	}
}

func (h herd) figures() []Figure {
	n := number(int64(h.Agents))
	return []Figure{
		atMost("RssAnon of "+n+" agents by as many times one", h.ByOne(), 1.1, ratio),
		atMost(n+" agents start at once: certificates in the busiest second by the mean", h.Busiest/h.Mean, 3, ratio),
	}
}

func (e endpoints) figures() []Figure {
	n := number(int64(e.Number))
	return []Figure{
		atMost("check of "+n+" endpoints", e.Check.Wall.Seconds(), 60, func(s float64) string { return fmt.Sprintf("%.1f s", s) }),
		atMost("its memory at most, resident", e.Check.RSS<<10, 64_000_000, megabytes),
		atMost("by the bare handshakes", float64(e.Check.Wall)/float64(e.Bare.Wall), 1.3, ratio),
	}
}

func atMost[N int64 | float64 | time.Duration](name string, value, bound N, text func(N) string) Figure {
	return Figure{name, text(value), "≤ " + text(bound), value <= bound}
}

func growth(name string, early, late, slack int64) Figure {
	target := "no growth"
	if slack > 0 {
		target += " beyond " + number(slack)
	}
	return Figure{name, fmt.Sprintf("%d → %d", early, late), target, late <= early+slack}
}

func ratio(r float64) string { return fmt.Sprintf("%.2f", r) }

func thousandths(r float64) string { return fmt.Sprintf("%.3f", r) }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

func number(n int64) string { return fmt.Sprint(n) }

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }

// A machine is what the figures were measured on, without its name.
type machine struct {
	Cores                             int
	Kernel, Redis, Go, FS, Load, Arch string
}

func describeMachine(dir, redis string) (machine, error) {
	m := machine{Cores: runtime.NumCPU(), Redis: redis, Go: runtime.Version(), Arch: runtime.GOARCH}
	fs, err := exec.Command("findmnt", "-n", "-o", "FSTYPE", "-T", dir).Output()
	if err != nil {
		return m, fmt.Errorf("the file system of %s: %w", dir, err)
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return m, err
	}
	load, err := os.ReadFile("/proc/loadavg")
	m.FS = strings.TrimSpace(string(fs))
	m.Kernel = regexp.MustCompile(`^\d+\.\d+`).FindString(string(kernel))
	m.Load, _, _ = strings.Cut(string(load), " ")
	return m, err
}

//go:embed page.md.tmpl
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"ratio": ratio, "seconds": seconds, "ms": milliseconds, "by": func(a, b time.Duration) string { return ratio(float64(a) / float64(b)) },
	"median":   func(d []time.Duration) time.Duration { return median(d, itself) },
	"quantile": func(d []time.Duration, q float64) time.Duration { return quantile(d, q, itself) },
	"mb":       func(kib int64) string { return megabytes(kib << 10) },
}).Parse(pageText))

// endOfPage ends the part of docs/benchmarks.md that this program writes. People
// write what follows it.
const endOfPage = "<!-- Up to here make bench writes this page. -->\n"

// write writes the page to the file at path and keeps what follows endOfPage
// there. An empty path stands for standard output.
func (r results) write(path string) error {
	var page strings.Builder
	if err := pageTemplate.Execute(&page, r); err != nil {
		return err
	}
	page.WriteString(endOfPage)
	if path == "" {
		fmt.Print(page.String())
		return nil
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, rest, _ := strings.Cut(string(old), endOfPage)
	return os.WriteFile(path, []byte(page.String()+rest), 0o644)
}
