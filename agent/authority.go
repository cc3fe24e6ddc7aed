package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plain"
)

// What a renewal needs of an authority is looked at while there is time, as what a reload
// needs of a server is: at every start and once a day. A provisioner's password, a
// fingerprint or a profile that is wrong would else show at the due date, when the
// certificate is all that is left. Nothing is issued, and the loop does not wait.

// aboutAuthority is remembered of an authority, whatever the newest pair is.
type aboutAuthority struct {
	inspected  time.Time           // when somebody last began to look; zero: it is to be looked at
	inspecting bool                // somebody looks
	fault      string              // what the next request would meet; empty when nothing is known
	refused    *ca.Error           // the fault of which the journal told
	ahead      time.Duration       // of this host's clock, by its last answer
	named      time.Time           // when it last named its roots and its federation's
	own        []*x509.Certificate // what it named for itself last
	ownAt      time.Time
	names      []*x509.Certificate
}

// lately returns the roots that the authority named for itself within a day, or within
// the lifetime of the certificate of g; nil when it did not, or one of them has ended.
func (a aboutAuthority) lately(now time.Time, g *pair.Generation) []*x509.Certificate {
	if g == nil {
		return nil
	}
	leaf := g.Pair.Leaf()
	age := now.Sub(a.ownAt)
	if age < 0 || age > min(inspectEvery, leaf.NotAfter.Sub(leaf.NotBefore)) || cert.ValidAt(a.own, now) != nil {
		return nil
	}
	return a.own
}

// inspection is what a look at an authority found.
type inspection struct {
	authority int
	ahead     time.Duration
	err       error
	named     ca.Named // zero where it did not answer, or cannot be asked
}

// inspectAt returns when to look at the authority the next time, at the latest.
func (a aboutAuthority) inspectAt() time.Time {
	switch {
	case a.inspected.IsZero():
		return time.Time{}
	case a.fault != "", far(a.ahead):
		return a.inspected.Add(recheck)
	}
	return a.inspected.Add(inspectEvery)
}

// far says whether two clocks that differ by so much are more than a little apart.
func far(ahead time.Duration) bool { return ahead.Abs() > soon }

// inspectAuthorities begins to look at the authorities whose turn it is, beside the loop:
// where all was well half a day ago, when the loop is awake for another reason. While a
// certificate is wanted, the attempts at it tell the same.
func (a *Agent) inspectAuthorities(ctx context.Context, seen observation, wanted bool) {
	if !a.process.running || wanted {
		return
	}
	for i := range a.authorities {
		inspector, ok := a.opt.Authorities[i].Issuer.(ca.Inspector)
		about := &a.authorities[i]
		at := about.inspectAt()
		if about.fault == "" && !far(about.ahead) && !at.IsZero() {
			at = at.Add(-inspectEvery / 2)
		}
		early := seen.now.Before(at) && !about.inspected.After(seen.now) // the clock may have been set back
		if !ok || about.inspecting || early {
			continue
		}
		about.inspecting, about.inspected = true, seen.now
		named := seen.named(a.opt.Authorities[i].Pin)
		namer, names := a.opt.Authorities[i].Issuer.(ca.Namer)
		a.beside.Go(func() {
			found := inspection{authority: i}
			found.ahead, found.err = inspector.Inspect(ctx, named)
			if names { // one whose pinned root has gone may still be known by another
				found.named, _ = namer.Named(ctx, named) // it is asked again
			}
			a.inspections <- found // there is room for one of each
		})
	}
}

// authorityInspected takes note of what a look at an authority found. It says whether that
// is news.
func (a *Agent) authorityInspected(ctx context.Context, found inspection) (news bool) {
	about, at := &a.authorities[found.authority], a.opt.Authorities[found.authority]
	about.inspecting = false
	again := about.inspected.IsZero() // somebody asked for another look meanwhile
	news = a.named(found.authority, found.named) || again
	apart, fault := far(about.ahead), about.fault
	if found.err == nil || found.ahead != 0 { // else nobody answered
		a.compareClocks(ctx, found.authority, found.ahead)
	}
	apart = apart != far(about.ahead)
	var e *ca.Error
	if errors.As(found.err, &e) && e.Absent() {
		return apart || news // what was wrong before may be so still
	}
	text := ""
	if found.err != nil {
		text = fmt.Sprintf("it would give no new certificate: %v", found.err)
	}
	another := text != "" && (fault == "" || !e.Same(about.refused))
	over := text == "" && fault != ""
	about.fault, about.refused = text, e
	if another {
		a.opt.Log.Warn(fmt.Sprintf("%s: %s", at.URL, text), slog.String(journal.KeyIssuer, at.URL), slog.String(journal.KeyError, text))
	}
	return apart || news || another || over
}

// compareClocks takes note of how far this host's clock is ahead of that of authority i,
// and says so once when it is wrong by far.
func (a *Agent) compareClocks(ctx context.Context, i int, ahead time.Duration) {
	about := &a.authorities[i]
	was := far(about.ahead)
	if about.ahead = ahead; far(ahead) && !was {
		journal.ClocksDiffer.Log(ctx, a.opt.Log, a.differing(i), slog.String(journal.KeyIssuer, a.opt.Authorities[i].URL))
	}
}

// differing says how far the clocks of this host and of authority i are apart; empty where
// that is not far.
func (a *Agent) differing(i int) string {
	ahead, way := a.authorities[i].ahead, "ahead of"
	if !far(ahead) {
		return ""
	}
	if ahead < 0 {
		way = "behind"
	}
	return fmt.Sprintf("this host's clock is %s %s that of %s: set the one that is wrong", plain.Span(ahead.Abs()), way, a.opt.Authorities[i].URL)
}

// apart says of the first authority whose clock is far from this host's how far that is;
// empty when there is none.
func (a *Agent) apart() string {
	for i := range a.authorities {
		if text := a.differing(i); text != "" {
			return text
		}
	}
	return ""
}

// blameClock takes note of an attempt at authority i that failed with err. Where the answer
// shows that a clock is wrong by far, the next attempt would fail as well, and comes at
// the distances of certificates that are of no use.
func (a *Agent) blameClock(ctx context.Context, i int, err error) {
	attempts := &a.newest.authorities[i]
	attempts.After = ca.RetryAfter(err)
	ahead, answered := ca.AheadOf(err)
	if answered {
		a.compareClocks(ctx, i, ahead)
	}
	if answered && far(ahead) {
		attempts.Refused, attempts.Slow = attempts.Refused+1, true
	} else {
		attempts.Refused = 0
	}
}
