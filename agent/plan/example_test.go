package plan_test

import (
	"fmt"
	"time"

	"redis-cert-agent/agent/plan"
)

// A certificate of thirty days, from its issue to its renewal: the same question
// each time, about other facts.
func ExampleNext() {
	begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	facts := plan.Facts{
		Newest:  &plan.Certificate{ID: "7e22b781", Chain: []plan.Window{{begin, begin.AddDate(0, 0, 30)}}},
		Current: true,
		Seen:    true,
		Servers: []plan.Server{{Served: "1ab095a9"}}, // still the certificate before
	}
	ask := func(day int) {
		step := plan.Next(begin.AddDate(0, 0, day), facts, plan.Policy{})
		fmt.Printf("day %2d: %s: %s", day, step.Do, step.Why)
		if !step.At.IsZero() {
			fmt.Printf("; again at %s", step.At.Format("2006-01-02 15:04"))
		}
		fmt.Println()
	}

	ask(0)
	facts.Servers[0].Served = "7e22b781" // a handshake has shown it
	ask(0)
	ask(20)
	// The authority was asked, and is down.
	facts.Issue = plan.Attempts{Failed: 1, Last: begin.AddDate(0, 0, 20)}
	ask(20)
	// Output:
	// day  0: load: a server does not show the newest certificate
	// day  0: wait: two-thirds of the lifetime; again at 2026-11-21 00:00
	// day 20: issue: two-thirds of the lifetime have passed
	// day 20: wait: next attempt at a certificate (two-thirds of the lifetime have passed); again at 2026-11-21 00:01
}
