// Package metrics tells Prometheus what the agent knows: the status as numbers,
// counts of what was logged, and what Go programs usually tell of themselves.
//
// The gauges are read off the status board at each scrape, so that an age and an
// end are right at that moment. A scrape causes no look: when the agent looked
// last is a metric of its own.
package metrics

import (
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"redis-cert-agent/agent/status"
)

// Options is what a Metrics is made of.
type Options struct {
	Agent   string // the instance, which becomes the label agent of every metric of the agent's own
	Version string // of this program
	Started time.Time
	Board   *status.Board
}

// Metrics is what can be scraped. Its methods may be called from any goroutine.
type Metrics struct {
	http.Handler // answers a scrape

	*counts
	own     prometheus.Gatherer // without what every Go program tells of itself
	changed <-chan struct{}     // gets a signal when there is another status on the board
}

// New returns the metrics of one agent.
func New(o Options) *Metrics {
	m := &Metrics{counts: newCounts(), changed: o.Board.Watch()}
	m.buildInfo.WithLabelValues(runtime.Version(), valid(o.Version)).Set(1)
	m.startTime.Set(seconds(o.Started))

	own := prometheus.NewRegistry()
	m.own = own
	labelled := prometheus.WrapRegistererWith(prometheus.Labels{"agent": valid(o.Agent)}, own)
	labelled.MustRegister(boardCollector{o.Board})
	labelled.MustRegister(m.collectors()...)

	process := prometheus.NewRegistry()
	process.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.Handler = promhttp.HandlerFor(prometheus.Gatherers{own, process}, promhttp.HandlerOpts{
		// One metric that cannot be collected does not keep the others back.
		ErrorHandling: promhttp.ContinueOnError,
		// The text is short, and a compressor needs most of a megabyte.
		DisableCompression: true,
	})
	return m
}

// valid makes any text fit for the value of a label, which is UTF-8.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// seconds is Unix time. UnixNano would not reach the year 9999, in which
// certificates end that never do (RFC 5280, section 4.1.2.5).
func seconds(t time.Time) float64 {
	return float64(t.Unix()) + float64(t.Nanosecond())/1e9
}
