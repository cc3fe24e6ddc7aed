// Picture draws docs/metrics.svg, the picture in docs/metrics.md: what Prometheus sees
// of three redis-servers with an agent each, while a reload is refused, a server
// is down, and the CA is. See make picture.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheus "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"redis-cert-agent/cmd/internal/testbed"
)

func main() {
	o := testbed.Options{Lifetime: 2 * time.Minute}
	o.Flags()
	binary := flag.String("prometheus", "prometheus", "the Prometheus `binary`")
	out := flag.String("o", "docs/metrics.svg", "the `file` to write")
	flag.Parse()
	testbed.Main(20*time.Minute, o, func(ctx context.Context, t *testbed.Testbed) error {
		s := scene{Testbed: t}
		if err := s.start(ctx, *binary); err != nil {
			return err
		}
		if err := s.play(ctx); err != nil {
			return err
		}
		svg, err := s.draw(ctx)
		if err != nil {
			return err
		}
		return os.WriteFile(*out, svg, 0o644)
	})
}

// A scene is three hosts, a Prometheus that scrapes their agents, and the outages
// that were made.
type scene struct {
	*testbed.Testbed
	hosts    []*testbed.Host
	metrics  prometheus.API
	from, to time.Time
	outages  []outage
}

type outage struct {
	name     string
	from, to time.Time
}

// scrapeEvery is short because certificates live for two minutes only.
const scrapeEvery = 2 * time.Second

func (s *scene) start(ctx context.Context, binary string) error {
	config := fmt.Sprintf("global: {scrape_interval: %[1]s, scrape_timeout: %[1]s}\nscrape_configs:\n- job_name: redis-cert-agent\n  static_configs:\n", scrapeEvery)
	for _, name := range []string{"redis1", "redis2", "redis3"} {
		address, err := testbed.FreeAddress()
		if err != nil {
			return err
		}
		h, err := s.StartHost(ctx, name, testbed.HostOptions{Config: fmt.Sprintf("metrics: {listen: %q}\n", address)})
		if err != nil {
			return err
		}
		s.hosts = append(s.hosts, h)
		config += fmt.Sprintf("  - {targets: [%q], labels: {instance: %s}}\n", address, name)
		// The hosts renew at different times.
		if err := testbed.Sleep(ctx, s.Lifetime/6); err != nil {
			return err
		}
	}
	if err := os.WriteFile(s.Path("prometheus.yml"), []byte(config), 0o600); err != nil {
		return err
	}
	address, err := testbed.FreeAddress()
	if err != nil {
		return err
	}
	client, err := api.NewClient(api.Config{Address: "http://" + address})
	if err != nil {
		return err
	}
	s.metrics = prometheus.NewAPI(client)
	p, err := s.Start("prometheus.log", nil, binary, "--config.file="+s.Path("prometheus.yml"),
		"--storage.tsdb.path="+s.Path("data"), "--web.listen-address="+address)
	if err != nil {
		return err
	}
	return p.Listens(ctx, address)
}

const (
	timeLeft = `(redis_cert_agent_certificate_not_after_timestamp_seconds{role="leaf",where="disk"} - time())`
	shown    = `(redis_cert_agent_server_up + redis_cert_agent_server_proven)`
	allWell  = `sum(redis_cert_agent_server_proven) == 3 and sum(redis_cert_agent_problems) == 0`
)

// play makes one outage after the other. It waits for what Prometheus has seen
// and not for fixed times, because renewals fall where their jitter puts them.
func (s *scene) play(ctx context.Context) error {
	if err := s.await(ctx, allWell); err != nil {
		return err
	}
	s.from = time.Now().Add(scrapeEvery)
	first, second := s.hosts[0], s.hosts[1]
	for _, o := range []struct {
		name, seen string // a query that has an answer when the outage is seen
		begin, end func() error
	}{
		{"reload refused", `redis_cert_agent_server_drift{instance="redis1"} == 1`,
			func() error { return first.Admin(ctx, "ACL", "SETUSER", "default", "-config|set") },
			func() error { return first.Admin(ctx, "ACL", "SETUSER", "default", "+config|set") }},
		{"redis2 down", `redis_cert_agent_server_up{instance="redis2"} == 0`,
			func() error { second.Redis.Stop(syscall.SIGTERM); return nil },
			func() error { return second.StartRedis(ctx) }},
		{"CA down", "min(" + timeLeft + ") < 15",
			func() error { s.StopCA(); return nil },
			func() error { return s.StartCA(ctx) }},
	} {
		steps := []func() error{
			func() error { return testbed.Sleep(ctx, s.Lifetime/2) },
			o.begin,
			func() error { return s.await(ctx, o.seen) },
			func() error { return testbed.Sleep(ctx, s.Lifetime/12) },
			o.end,
			func() error { return s.await(ctx, allWell) },
		}
		times := make([]time.Time, len(steps))
		for i, step := range steps {
			times[i] = time.Now()
			if err := step(); err != nil {
				return fmt.Errorf("%s: %w", o.name, err)
			}
		}
		s.outages = append(s.outages, outage{o.name, times[1], times[5]})
	}
	err := testbed.Sleep(ctx, s.Lifetime)
	s.to = time.Now()
	return err
}

// await waits until Prometheus has an answer to the query.
func (s *scene) await(ctx context.Context, query string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*s.Lifetime)
	defer cancel()
	for {
		answer, _, _, err := s.metrics.Query(ctx, query, time.Now())
		if vector, ok := answer.(model.Vector); ok && len(vector) > 0 {
			return nil
		}
		if waited := testbed.Sleep(ctx, scrapeEvery/2); waited != nil {
			return fmt.Errorf("wait for %s: %w (%v)", query, waited, err)
		}
	}
}
