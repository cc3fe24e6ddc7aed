package agent

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"time"

	"redis-cert-agent/agent/ca/ratelimit"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/status"
)

// show puts on the board, and tells systemd, what was seen and what comes next.
func (a *Agent) show(ctx context.Context, seen observation, step plan.Step) {
	a.tellClock(ctx, seen, step)
	s := a.status(seen, step)
	a.process.nextEnd, a.process.rehearsal = status.NextChange(s.Certificates, seen.now), s.RehearsalDue
	if s.Recall != nil && !a.newest.recalled {
		if over := s.Recall.At.Add(recallShown); a.process.nextEnd.IsZero() || over.Before(a.process.nextEnd) {
			a.process.nextEnd = over
		}
	}
	if step.Do == plan.Wait { // else it may be mended before it is read
		s.Wake = a.wake(step, seen.now)
		a.tellEnds(ctx, s)
	}
	a.opt.Board.Set(s)
	a.tellLine(s.Line())
}

// tellClock logs once that a clock holds back a certificate.
func (a *Agent) tellClock(ctx context.Context, seen observation, step plan.Step) {
	if step.Do != plan.Wait {
		return // an attempt may end it
	}
	fault := seen.clock
	if c := a.newest.unsaved; fault == nil && c != nil && !c.usable(seen.now) {
		fault = fmt.Errorf("it says %s, and the certificate that %s gave last is valid from %s to %s: set this host's clock, or the CA's",
			plain.Time(seen.now), c.origin.Issuer, plain.Time(c.begins()), plain.Time(c.pair.Leaf().NotAfter))
	}
	holds := fault != nil && a.external == nil && (step.Wanted || step.Due.IsZero())
	if holds && a.process.clockFault == "" {
		journal.ClockHeld.Log(ctx, a.opt.Log, fmt.Sprintf("no certificate is asked for while the clock cannot be believed: %v", fault))
	}
	a.process.clockFault = ""
	if holds {
		a.process.clockFault = fault.Error()
	}
}

// status describes what was seen, and what is remembered, for people and machines.
func (a *Agent) status(seen observation, step plan.Step) status.Status {
	s := status.Status{
		Instance: a.opt.Instance, Version: a.opt.Version, PID: os.Getpid(), Now: seen.now,
		Due: step.Due, Looked: seen.now, MonitorOnly: a.external != nil, FilesError: a.files.fault, Synchronised: synchronised(),
	}
	s.Missing, s.Path = a.opt.Missing, a.onDisk().Path
	s.Rotations, s.CAs = a.opt.Tally.read(a.opt.Authorities)
	for i := range s.CAs {
		s.CAs[i].Note, s.CAs[i].Fault = a.opt.Authorities[i].Note, a.authorities[i].fault
		s.CAs[i].Limits = a.limits(seen.now, i)
	}
	s.Certificates, s.Roots = a.watched(seen, step.Due), a.rootStatus(seen)
	if g := seen.disk.Current; g != nil && g.Err == nil {
		s.Pair = Describe(g)
	}
	if seen.newest != nil && (s.Pair == nil || s.Pair.Generation != seen.newest.ID) {
		s.Pending = Describe(seen.newest)
	}
	for i := range a.servers {
		s.Servers = append(s.Servers, a.serverStatus(seen, i))
	}
	if seen.err != nil {
		s.DiskError = seen.err.Error()
	}
	// A failure to get a certificate is a problem as long as one is still wanted.
	if a.newest.issueFailed.Text != "" && step.Wanted {
		failure := a.newest.issueFailed
		s.IssueError = &failure
	}
	s.RefusedBy = a.refusedBySome(seen)
	s.Recall, s.Rotation = a.recalled(seen.now), a.rotated(seen)
	if w := a.newest.suggested; !w.To.IsZero() {
		s.Window = &status.Window{From: w.From, To: w.To, Explanation: a.newest.explained}
	}
	s.Rival = a.rivalText()
	s.Clock = cmp.Or(a.process.clockFault, a.apart())
	s.LastError = a.lastError(s)
	s.AttemptsLeft = plan.AttemptsLeft(seen.now, a.facts(seen), a.opt.Policy)
	s.Rehearsal, s.RehearsalDue = a.newest.rehearsal.last, a.rehearsalDue(seen, step)
	s.Next = a.upcoming(s, seen, step)
	s.Degraded = len(s.Problems()) > 0
	for _, server := range s.Servers {
		s.Degraded = s.Degraded || server.State != status.Proven
	}
	return s
}

// limits returns how much authority i has given this host of what it gives.
func (a *Agent) limits(now time.Time, i int) (limits []status.Limit) {
	counting, ok := a.opt.Authorities[i].Issuer.(interface {
		Limits(now time.Time, names []string) []ratelimit.Use
	})
	if !ok {
		return nil
	}
	for _, u := range ratelimit.Nearest(counting.Limits(now, a.opt.Names)) {
		limits = append(limits, status.Limit{Limit: u.Code, Of: u.Of, Used: u.Used, Most: u.Most, Full: u.Full, Text: u.String()})
	}
	return limits
}

// lastError returns the latest of the failures that keep the newest certificate from
// being issued, on disk, and proven at every server.
func (a *Agent) lastError(s status.Status) *status.Failure {
	var last *status.Failure
	consider := func(f *status.Failure) {
		if f != nil && (last == nil || !f.At.Before(last.At)) {
			last = f
		}
	}
	consider(s.IssueError)
	consider(a.filesFailure())
	for _, server := range a.newest.servers {
		if server.err != nil {
			consider(&status.Failure{Text: server.err.Error(), At: server.failed.Last})
		}
	}
	if s.DiskError != "" {
		consider(&status.Failure{Text: s.DiskError, At: s.Now})
	}
	return last
}

// upcoming describes what follows, for people. A look in between, which only reads what
// an authority suggests, is none of their business.
func (a *Agent) upcoming(s status.Status, seen observation, step plan.Step) status.Next {
	well := s.LastError == nil
	n := status.Next{Action: "attempt", At: step.At, Why: step.Why}
	switch {
	case step.Do != plan.Wait:
		n.Action = step.Do.String()
	case step.Due.After(seen.now) && well:
		n.Action, n.At = "renewal", step.Due
	case step.At.IsZero(), a.external != nil && well:
		n.Action, n.At = "", time.Time{}
	case a.external != nil:
		n.Action = "look"
	}
	return n
}

// Describe describes a pair on disk.
func Describe(g *pair.Generation) *status.Leaf {
	p := status.LeafOf(g.Pair.Leaf())
	p.By, p.Method, p.IssuedAt, p.Generation = g.Origin.Issuer, g.Origin.Method, g.Origin.Time, g.ID
	p.KeyType = string(cert.KeyTypeOf(g.Pair.Leaf().PublicKey))
	return p
}

// serverStatus describes server i as its last handshake showed it.
func (a *Agent) serverStatus(seen observation, i int) status.Server {
	about, loading := &a.servers[i], a.newest.servers[i]
	s := status.Server{Address: a.opt.Servers[i].Name, State: status.Unknown, Sentinel: about.sentinel}
	if about.seen {
		s.State = status.Unreachable
	}
	if about.answers { // and ends every handshake
		s.State = status.Failing
	}
	if c := about.leaf(); c != nil {
		s.ServedSerial, s.ServedNotAfter = cert.Serial(c), c.NotAfter
		s.State = status.Stale
		newest := seen.newest != nil && c.Equal(seen.newest.Pair.Leaf())
		switch {
		case newest && loading.proven && !(loading.behind && loading.err != nil):
			s.State = status.Proven
		case loading.err != nil:
			s.State = status.Failing
		case newest && seen.unfit != nil:
			s.State, s.Error = status.Failing, seen.unfit.Error()
		}
	}
	switch {
	case a.opt.Servers[i].NoServer && loading.err != nil:
		s.State = status.Failing // whether it was ever done before or not
	case a.restartable(i):
		s.Note = "a Sentinel: after each renewal its unit is restarted, when its group can spare it"
		if s.State == status.Stale {
			s.Hint = cmp.Or(loading.restart.text, "that is under way")
		}
	case about.sentinel && s.State == status.Stale:
		s.Note, s.Hint = "it is a Sentinel, which reads its certificate only when it starts", "restart its unit, one Sentinel of a group after the other, when SENTINEL CKQUORUM says that there are enough without it"
	case about.sentinel:
		s.Note = "a Sentinel: after each renewal it needs a restart"
	case about.autoLoad > 0:
		s.Note = fmt.Sprintf("it looks for changed files itself, every %s (tls-auto-reload-interval)", about.autoLoad)
	}
	if loading.err != nil {
		s.Error, s.Hint = loading.err.Error(), plain.Hint(loading.err)
		if loading.proven && loading.behind {
			s.Error = "it shows it, and has not loaded the CA certificates beside it, which a certificate of a new root waits for: " + s.Error
		}
	}
	if seen.err != nil && about.state != "" {
		s.State = about.state // what it should show is not known
	}
	if s.State != about.state {
		about.state, about.since = s.State, seen.now
	}
	s.Since, s.Fault = about.since, about.fault
	return s
}

// Relaxed returns what reload tells when it recognised the server at address by
// less than a full verification. skip says that the configuration wants it so.
func Relaxed(log *slog.Logger, address string, skip bool) func(string) {
	event := journal.ExpiredRecovery
	if skip {
		event = journal.VerificationSkip
	}
	return func(msg string) {
		event.Log(context.Background(), log, msg, slog.String(journal.KeyServer, address))
	}
}

// about returns the attributes that every entry on a certificate carries.
func about(leaf *x509.Certificate) []slog.Attr {
	return []slog.Attr{
		slog.String(journal.KeySerial, cert.Serial(leaf)),
		slog.Time(journal.KeyNotAfter, leaf.NotAfter),
	}
}
