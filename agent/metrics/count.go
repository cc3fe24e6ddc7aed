package metrics

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"redis-cert-agent/agent/journal"
)

// The outcomes of what is counted.
const (
	success     = "success"
	failure     = "failure"
	refused     = "refused"     // the gate did not let the certificate pass
	unreachable = "unreachable" // nothing answered
)

// counts is what is not on the board: what this process has logged, and what it
// is.
type counts struct {
	buildInfo *prometheus.GaugeVec
	startTime prometheus.Gauge

	issued        *prometheus.CounterVec
	reloads       *prometheus.CounterVec
	duration      *prometheus.HistogramVec
	reloadSuccess *prometheus.GaugeVec
	reloadFailure *prometheus.GaugeVec
	rollbacks     prometheus.Counter
	notifications *prometheus.CounterVec

	mu               sync.Mutex
	servers, targets []string // of the last Expect
}

func newCounts() *counts {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, labels)
	}
	return &counts{
		buildInfo: gauge("build_info", "The program: its version and that of Go; always 1.", "goversion", "version"),
		startTime: gauge("start_time_seconds", "When this process started.").WithLabelValues(),

		issued:  counter("certificates_issued_total", "Certificates that were got and are on disk, by the authority and the way: sign, rekey, renew, renew-token, acme.", "issuer", "method"),
		reloads: counter("reload_attempts_total", "Attempts to make a server load and prove the newest certificate, by outcome: success, failure, unreachable.", "outcome", "server"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "reload_duration_seconds", Help: "How long a reload took that succeeded, with the proof by a handshake.",
			// A reload takes milliseconds, and seconds until it is given up.
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"server"}),
		reloadSuccess: gauge("reload_last_success_timestamp_seconds", "When a reload of a server last succeeded.", "server"),
		reloadFailure: gauge("reload_last_failure_timestamp_seconds", "When a reload of a server last failed, or did not reach it.", "server"),
		rollbacks:     counter("rollbacks_total", "How often the previous certificate was made current again because no server proved the new one.").WithLabelValues(),
		notifications: counter("notifications_total", "Messages to the places of notify and heartbeat, by outcome: success, failure.", "outcome", "target"),
	}
}

func (c *counts) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.buildInfo, c.startTime, c.issued, c.reloads, c.duration, c.reloadSuccess, c.reloadFailure, c.rollbacks, c.notifications}
}

// Expect lets what is counted of these servers and targets begin at zero, so
// that the first failure is an increase, and forgets those of an earlier Expect
// that are not among them.
func (c *counts) Expect(servers, targets []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.servers {
		if !slices.Contains(servers, s) {
			c.forgetServer(valid(s))
		}
	}
	for _, t := range c.targets {
		if !slices.Contains(targets, t) {
			c.notifications.DeletePartialMatch(prometheus.Labels{"target": valid(t)})
		}
	}
	c.servers, c.targets = slices.Clone(servers), slices.Clone(targets)
	for _, s := range servers {
		for _, outcome := range []string{success, failure, unreachable} {
			c.reloads.WithLabelValues(outcome, valid(s))
		}
		c.duration.WithLabelValues(valid(s))
	}
	for _, t := range targets {
		c.notifications.WithLabelValues(success, valid(t))
		c.notifications.WithLabelValues(failure, valid(t))
	}
}

func (c *counts) forgetServer(server string) {
	labels := prometheus.Labels{"server": server}
	c.reloads.DeletePartialMatch(labels)
	c.duration.Delete(labels)
	c.reloadSuccess.Delete(labels)
	c.reloadFailure.Delete(labels)
}

// Observe counts what was logged. It is a sink of journal.Tee.
func (c *counts) Observe(e journal.Entry) {
	text := func(key string) string { return valid(e.Text(key)) }
	server, target := text(journal.KeyServer), text(journal.KeyTarget)
	if text(journal.KeyPair) != "" && e.Event != journal.Issued {
		return // of a client's pair: what is not about a server is on the board
	}
	switch e.Event {
	case journal.Issued:
		c.issued.WithLabelValues(text(journal.KeyIssuer), text(journal.KeyMethod)).Inc()
	case journal.Loaded:
		took, measured := durationOf(e)
		if !measured {
			return // the server was found to serve it: nobody reloaded
		}
		c.reloads.WithLabelValues(success, server).Inc()
		c.duration.WithLabelValues(server).Observe(took.Seconds())
		c.reloadSuccess.WithLabelValues(server).Set(seconds(e.Time))
	case journal.ReloadFailed:
		c.reloads.WithLabelValues(failure, server).Inc()
		c.reloadFailure.WithLabelValues(server).Set(seconds(e.Time))
	case journal.ServerDown:
		c.reloads.WithLabelValues(unreachable, server).Inc()
		c.reloadFailure.WithLabelValues(server).Set(seconds(e.Time))
	case journal.RolledBack:
		c.rollbacks.Inc()
	case journal.Notified:
		c.notifications.WithLabelValues(success, target).Inc()
	case journal.NotifyFailed:
		c.notifications.WithLabelValues(failure, target).Inc()
	}
}

func durationOf(e journal.Entry) (time.Duration, bool) {
	v, ok := e.Attrs[journal.KeyDuration]
	if !ok || v.Kind() != slog.KindDuration {
		return 0, false
	}
	return v.Duration(), true
}
