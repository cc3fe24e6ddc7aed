// Fleet shows what a hundred thousand agents do to their authority: how evenly they come
// when all were made in the same minute, when somebody replaces all certificates by
// force, and when the authority has been away for a quarter of a lifetime. It writes
// docs/fleet-load.md and its picture, and fails when a figure is missed. See make fleet.
//
// The agents decide by the package agent/plan, as the real ones do. Time, the authority
// and the clocks are simulated; the same seed gives the same run.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	agents := flag.Int("agents", 100_000, "how many there are")
	seed := flag.Uint64("seed", 1, "of all that is random")
	out := flag.String("o", "", "write the page to this `file`, and the picture fleet-load.svg beside it (default: the page to standard output)")
	flag.Parse()
	r := results{Agents: *agents, Seed: *seed}
	for _, s := range scenarios() {
		start := time.Now()
		s.Agents, s.Seed = *agents, *seed
		r.Courses = append(r.Courses, s.run())
		fmt.Fprintf(os.Stderr, "fleet: %s: %s\n", s.Name, time.Since(start).Round(time.Second/10))
	}
	if err := r.write(*out); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
	if r.missed() {
		os.Exit(1)
	}
}
