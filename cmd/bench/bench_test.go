package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestParseProc(t *testing.T) {
	const status = "Name:\tVmRSS: 1\nVmRSS:\t   18204 kB\nThreads:\t8\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t7\n"
	for name, want := range map[string]int64{"VmRSS": 18204, "Threads": 8, "voluntary_ctxt_switches": 12} {
		if got, err := statusField(status, name); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", name, got, err, want)
		}
	}
	if _, err := statusField(status, "RssAnon"); err == nil {
		t.Error("no error for a field that is not there")
	}
	got, err := statCPU("12 (a) b) S 1 12 12 0 -1 4194304 100 0 0 0 7 5 0 0 20 0 8 0 100 200 300")
	if want := 120 * time.Millisecond; err != nil || got != want {
		t.Errorf("cpu %v, %v; want %v", got, err, want)
	}
	if _, err := readVitals(os.Getpid()); err != nil {
		t.Error(err)
	}
}

// A figure that was missed is in the error, whichever it is.
func TestFigures(t *testing.T) {
	good := results{
		rotation:  rotation{whole: 14, sum: 10},
		idle:      idle{binary: 1, pings: 6, wantPings: 6},
		endurance: endurance{commands: 1},
		checked:   checked{whole: 19, bare: 10},
	}
	for _, f := range good.figures() {
		if !f.met {
			t.Errorf("%s: %s is missed", f.name, f.value)
		}
	}
	for i, worsen := range []func(*results){
		func(r *results) { r.rotation.whole = 16 },
		func(r *results) { r.idle.binary = maxBinary + 1 },
		func(r *results) { r.idle.rest.rss = 12_000 },
		func(r *results) { r.idle.rest.anon = 4_000 },
		func(r *results) { r.idle.wakeups = ownWakeups + 1 },
		func(r *results) { r.idle.pings = 8 },
		func(r *results) { r.endurance.failed = 1 },
		func(r *results) { r.endurance.dropped = 1 },
		func(r *results) { r.endurance.late.rss = rssSlack + 1 },
		func(r *results) { r.endurance.late.anon = rssSlack + 1 },
		func(r *results) { r.endurance.late.files = 1 },
		func(r *results) { r.endurance.late.threads = threadSlack + 1 },
		func(r *results) { r.endurance.goroutines[1] = 1 },
		func(r *results) { r.endurance.generations[1] = 1 },
		func(r *results) { r.checked.whole = 21 },
	} {
		bad := good
		worsen(&bad)
		if figures := bad.figures(); figures[i].met {
			t.Errorf("%s: %s counts as met", figures[i].name, figures[i].value)
		}
	}
}

func TestReplacePage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	if err := replacePage(path, "one\n"+endOfPage); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("one\n"+endOfPage+"by hand\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := replacePage(path, "two\n"+endOfPage); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if want := "two\n" + endOfPage + "by hand\n"; err != nil || string(got) != want {
		t.Errorf("the file holds %q, %v; want %q", got, err, want)
	}
}
