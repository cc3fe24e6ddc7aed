package metrics

import (
	"log/slog"
	"slices"
	"time"

	"redis-cert-agent/agent/report"
)

// The outcomes of what is counted.
const (
	success     = "success"
	failure     = "failure"
	refused     = "refused"     // the gate did not let the certificate pass
	unreachable = "unreachable" // nothing answered
)

// Expect lets what is counted of these servers and targets begin at zero, so
// that the first failure is an increase, and forgets those of an earlier Expect
// that are not among them.
func (m *Metrics) Expect(servers, targets []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.servers {
		if !slices.Contains(servers, s) {
			m.kept.forget("server", s)
		}
	}
	for _, t := range m.targets {
		if !slices.Contains(targets, t) {
			m.kept.forget("target", t)
		}
	}
	m.servers, m.targets = slices.Clone(servers), slices.Clone(targets)
	for _, s := range servers {
		m.kept.add(reloads, 0, success, s)
		m.kept.add(reloads, 0, failure, s)
		m.kept.add(reloads, 0, unreachable, s)
		m.kept.at(duration, []string{s})
	}
	for _, t := range targets {
		m.kept.add(notifications, 0, success, t)
		m.kept.add(notifications, 0, failure, t)
	}
}

// Observe counts what was logged. It is a sink of report.Tap.
func (m *Metrics) Observe(e report.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	server := e.Text(report.KeyServer)
	switch e.Event {
	case report.Issued:
		m.kept.add(issued, 1, e.Text(report.KeyIssuer), e.Text(report.KeyMethod))
	case report.Loaded:
		took, measured := durationOf(e)
		if !measured {
			return // the server was found to serve it: nobody reloaded
		}
		m.kept.add(reloads, 1, success, server)
		m.kept.observe(duration, took.Seconds(), server)
		m.kept.setTime(reloadSuccess, e.Time, server)
	case report.ReloadFailed:
		m.kept.add(reloads, 1, failure, server)
		m.kept.setTime(reloadFailure, e.Time, server)
	case report.ServerDown:
		m.kept.add(reloads, 1, unreachable, server)
		m.kept.setTime(reloadFailure, e.Time, server)
	case report.RolledBack:
		m.kept.add(rollbacks, 1)
	case report.Notified:
		m.kept.add(notifications, 1, success, e.Text(report.KeyTarget))
	case report.NotifyFailed:
		m.kept.add(notifications, 1, failure, e.Text(report.KeyTarget))
	}
}

func durationOf(e report.Entry) (time.Duration, bool) {
	v, ok := e.Attrs[report.KeyDuration]
	if !ok || v.Kind() != slog.KindDuration {
		return 0, false
	}
	return v.Duration(), true
}
