// Package metrics tells Prometheus what the agent knows: what everybody sees
// who asks for the status, as numbers, and counts of what was logged.
//
// Nothing is kept for it that the agent would not keep anyway, but the counts.
// The gauges are read off the board at each scrape, so that an age and an end
// are right at that moment, and a scrape causes no look: when the agent looked
// last is a metric of its own. Certificates that cannot be told from each other
// never spoil the rest.
//
// The text format is written here. What Prometheus' own client for Go would
// cost beside it is told in DESIGN.md; a test holds the two together, and
// another docs/metrics.md.
package metrics

import (
	"bytes"
	"net/http"
	"runtime"
	"sync"
	"time"

	"redis-cert-agent/agent/report"
)

// Options is what a Metrics is made of.
type Options struct {
	Agent   string // the instance, which becomes the label agent of every metric
	Version string // of this program
	Started time.Time
	Board   *report.Board
}

// Metrics is what can be scraped. Its methods may be called from any goroutine.
type Metrics struct {
	agent   string
	board   *report.Board
	changed <-chan struct{} // the board has changed

	mu               sync.Mutex
	kept             table    // what is not on the board
	servers, targets []string // of the last Expect
}

// New returns the metrics of one agent.
func New(o Options) *Metrics {
	m := &Metrics{agent: o.Agent, board: o.Board, changed: o.Board.Watch(), kept: table{}}
	m.kept.set(buildInfo, 1, runtime.Version(), o.Version)
	m.kept.set(startTime, seconds(o.Started))
	m.kept.add(rollbacks, 0)
	return m
}

// Text returns all metrics in Prometheus' text format.
func (m *Metrics) Text() []byte {
	m.mu.Lock()
	t := m.kept.clone()
	m.mu.Unlock()
	t.read(m.board.Get())
	var b bytes.Buffer
	t.write(&b, m.agent)
	return b.Bytes()
}

// contentType is that of the text format, which every Prometheus takes.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// ServeHTTP answers a scrape.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(m.Text()) // a client that has gone away misses nothing
}
