// Dashboard draws the Grafana dashboard of packaging/grafana as a picture, from
// real data: two agents, three redis-servers and a CA that has certificates live
// for two minutes, watched by a Prometheus with the shipped alerts while one
// thing after another goes wrong. See make dashboard.
//
// It asks Prometheus the dashboard's own queries, and draws the dashboard's own
// panels at their places. What Grafana would do with them it does in the plain
// cases that this dashboard uses, and fails at any other.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

type options struct {
	agent, ca, redis, prometheus string
	dashboard, rules, out        string
	lifetime                     time.Duration

	url      string // an existing Prometheus; empty: the stage's own
	from, to string // RFC 3339; of url
}

func main() {
	var o options
	flag.StringVar(&o.agent, "agent", "bin/redis-cert-agent", "the agent's binary")
	flag.StringVar(&o.ca, "ca", "bin/redis-cert-ca", "the CA's binary")
	flag.StringVar(&o.redis, "redis", "redis-server", "the redis-server to use")
	flag.StringVar(&o.prometheus, "prometheus", "prometheus", "the Prometheus to use")
	flag.StringVar(&o.dashboard, "dashboard", "packaging/grafana/redis-cert-agent.json", "the dashboard to draw")
	flag.StringVar(&o.rules, "rules", "packaging/prometheus/redis-cert-agent.rules.yml", "the alerts")
	flag.StringVar(&o.out, "o", "docs/dashboard.svg", "the picture to write")
	flag.DurationVar(&o.lifetime, "lifetime", 2*time.Minute, "lifetime of the certificates")
	flag.StringVar(&o.url, "url", "", "draw from this Prometheus instead of starting one")
	flag.StringVar(&o.from, "from", "", "with -url: the beginning, RFC 3339")
	flag.StringVar(&o.to, "to", "", "with -url: the end, RFC 3339")
	flag.Parse()

	redis.SetLogger(quiet{}) // servers go down here on purpose

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	err := run(ctx, o)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "dashboard: %v\n", err)
		os.Exit(1)
	}
}

// quiet drops what go-redis logs.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func run(ctx context.Context, o options) (err error) {
	board, err := readDashboard(o.dashboard)
	if err != nil {
		return err
	}
	var story recording
	if o.url != "" {
		story, err = given(o)
	} else {
		s, begun := newStage(o)
		if begun != nil {
			return begun
		}
		defer func() { s.close(err) }()
		story, err = s.play(ctx)
	}
	if err != nil {
		return err
	}
	picture, err := draw(ctx, board, story)
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.out, picture, 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %d kB, %s to %s of %s\n", o.out, len(picture)/1000, story.from.Format(time.RFC3339), story.to.Format(time.RFC3339), story.url)
	return nil
}

// A recording is a piece of time that a Prometheus knows.
type recording struct {
	url      string
	from, to time.Time
	scrape   time.Duration // between two scrapes
	scene    string        // who is seen, in a sentence
	events   []event
}

// An event is something that was done to the servers, to see what they show.
type event struct {
	from, to time.Time
	text     string
}

func given(o options) (recording, error) {
	from, err := time.Parse(time.RFC3339, o.from)
	if err != nil {
		return recording{}, fmt.Errorf("-from: %w", err)
	}
	to, err := time.Parse(time.RFC3339, o.to)
	if err != nil {
		return recording{}, fmt.Errorf("-to: %w", err)
	}
	return recording{url: o.url, from: from, to: to, scrape: scrapeEvery}, nil
}
