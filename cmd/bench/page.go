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
	maxRatio  = 1.5
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
func (r results) Figures() []Figure {
	i, c, early, late := r.Idle, r.Endurance.Counts, r.Endurance.Early, r.Endurance.Late
	window := seconds(i.Window)
	return []Figure{
		atMost("a rotation by the sum of its bare parts", r.Rotation.By(r.Rotation.Whole), maxRatio, ratio),
		atMost("the binary, stripped", i.Binary, maxBinary, megabytes),
		atMost("idle for "+window+": RssAnon", i.Early.Anon<<10, maxAnon, megabytes),
		atMost("idle for "+seconds(i.Rest)+": RssAnon", i.Late.Anon<<10, maxAnon, megabytes),
		atMost("wake-ups in "+window+" without a watchdog", i.Wakeups, maxWakeups, number),
		{"watchdog pings in " + window, number(i.Pings), number(i.WantPings) + " or one more", i.Pings == i.WantPings || i.Pings == i.WantPings+1},
		{"commands that failed", fmt.Sprintf("%d of %d", c.Failed, c.Commands), "0", c.Failed == 0 && c.Commands > 0},
		{"connections that were dropped", number(c.Dropped), "0", c.Dropped == 0},
		growth("RssAnon, KiB", early.Anon, late.Anon, anonSlack),
		growth("open files", early.Files, late.Files, 0),
		growth("threads", early.Threads, late.Threads, threadSlack),
		growth("goroutines", early.Goroutines, late.Goroutines, 0),
		growth("pairs on disk", early.Pairs, late.Pairs, 0),
	}
}

func atMost[N int64 | float64](name string, value, bound N, text func(N) string) Figure {
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
	"ratio": ratio, "seconds": seconds,
	"mb": func(kib int64) string { return megabytes(kib << 10) },
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
