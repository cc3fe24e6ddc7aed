package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/report"
)

// show puts on the board, and tells systemd, what was seen and what comes next.
func (a *Agent) show(ctx context.Context, see sight, step plan.Step) {
	a.tellClock(ctx, see, step)
	s := a.status(see, step)
	if step.Do == plan.Wait { // else it may be mended before it is read
		a.tellEnds(ctx, s)
	}
	a.Board.Set(s)
	a.Notify.Status(s.Line())
}

// tellClock logs once that the clock holds back a certificate.
func (a *Agent) tellClock(ctx context.Context, see sight, step plan.Step) {
	holds := see.clock != nil && !a.MonitorOnly && step.Do == plan.Wait && (step.Due.IsZero() || !see.now.Before(step.Due))
	if holds && !a.held {
		report.ClockHeld.Log(ctx, a.Log, fmt.Sprintf("no certificate is asked for while the clock cannot be believed: %v", see.clock))
	}
	a.held = holds
}

// status describes the sight for people and machines.
func (a *Agent) status(see sight, step plan.Step) report.Status {
	s := report.Status{
		Instance: a.Instance, Version: a.Version, PID: os.Getpid(), Now: see.now,
		CAs: slices.Clone(a.cas), Rotations: a.rotations,
		Next: a.upcoming(see, step), Due: step.Due, Looked: see.now,
		MonitorOnly: a.MonitorOnly, FilesError: a.bad, Synchronised: synchronised(),
	}
	a.certificates = a.watched(see, step.Due)
	s.Certificates = a.certificates
	if g := see.disk.Current; g != nil && g.Err == nil {
		s.Pair = Describe(g)
	}
	if see.newest != nil && (s.Pair == nil || s.Pair.Generation != see.newest.ID) {
		s.Pending = Describe(see.newest)
	}
	for i := range a.Servers {
		s.Servers = append(s.Servers, a.serverStatus(see, i))
	}
	if err := a.trouble(); err != nil {
		s.LastError, s.Degraded = a.last, true
		if err.Error() == a.bad { // the steps have all gone well since
			s.LastError = &report.Failure{Text: a.bad, At: see.now}
		}
	}
	if see.err != nil {
		s.LastError, s.Degraded, s.DiskError = &report.Failure{Text: see.err.Error(), At: see.now}, true, see.err.Error()
	}
	if a.issueErr != nil {
		s.IssueError = &report.Failure{Text: a.issueErr.Error(), At: a.issuing.Last}
	}
	if a.held {
		s.Clock = see.clock.Error()
	}
	for _, server := range s.Servers {
		s.Degraded = s.Degraded || server.State != report.Proven
	}
	s.Degraded = s.Degraded || len(s.Problems()) > 0
	return s
}

// upcoming describes what follows, for people. A look in between, which only reads
// what an authority wishes, is none of their business.
func (a *Agent) upcoming(see sight, step plan.Step) report.Next {
	n := report.Next{Action: "attempt", At: step.At, Why: step.Why}
	switch {
	case step.Do != plan.Wait:
		n.Action = step.Do.String()
	case step.Due.After(see.now) && a.trouble() == nil:
		n.Action, n.At = "renewal", step.Due
	case step.At.IsZero(), a.MonitorOnly && a.trouble() == nil:
		n.Action, n.At = "", time.Time{}
	case a.MonitorOnly:
		n.Action = "look"
	}
	return n
}

// Describe describes a pair on disk.
func Describe(g *pair.Generation) *report.Pair {
	p := report.PairOf(g.Pair.Leaf())
	p.By, p.Method, p.IssuedAt, p.Generation = g.Origin.Issuer, g.Origin.Method, g.Origin.Time, g.ID
	p.KeyType = string(cert.KeyTypeOf(g.Pair.Leaf().PublicKey))
	return p
}

func (a *Agent) serverStatus(see sight, i int) report.Server {
	m := &a.servers[i]
	s := report.Server{Address: a.Servers[i].Name, State: report.Unreachable}
	if c := see.served[i]; c != nil {
		s.ServedSerial, s.ServedNotAfter = report.Serial(c), c.NotAfter
		s.State = report.Stale
		newest := see.newest != nil && c.Equal(see.newest.Pair.Leaf())
		switch {
		case newest && m.proven:
			s.State = report.Proven
		case m.err != nil:
			s.State = report.Failing
		case newest && see.unfit != nil:
			s.State, s.Error = report.Failing, see.unfit.Error()
		}
	}
	if m.err != nil {
		s.Error = m.err.Error()
	}
	if s.State != m.state {
		m.state, m.since = s.State, see.now
	}
	s.Since = m.since
	return s
}

// trouble returns what keeps the newest certificate from being issued, on disk,
// and proven at every server; nil when nothing does.
func (a *Agent) trouble() error {
	errs := []error{a.issueErr}
	for i := range a.servers {
		errs = append(errs, a.servers[i].err)
	}
	if a.bad != "" {
		errs = append(errs, errors.New(a.bad))
	}
	return together(errs...)
}

// together joins errors as one line; nil when all are.
func together(errs ...error) error {
	var texts []string
	for _, err := range errs {
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return errors.New(strings.Join(texts, "; "))
}

// Relaxed returns what reload tells when it recognised the server at address by
// less than a full verification. skip says that the configuration wants it so.
func Relaxed(log *slog.Logger, address string, skip bool) func(string) {
	event := report.ExpiredRecovery
	if skip {
		event = report.VerificationSkip
	}
	return func(msg string) {
		event.Log(context.Background(), log, msg, slog.String(report.KeyServer, address))
	}
}

// about returns the attributes that every entry on a certificate carries.
func about(leaf *x509.Certificate) []slog.Attr {
	return []slog.Attr{
		slog.String(report.KeySerial, report.Serial(leaf)),
		slog.Time(report.KeyNotAfter, leaf.NotAfter),
	}
}

// now is the wall clock without the monotonic reading, which stands still in a
// suspend.
func now() time.Time { return time.Now().Round(0) }
