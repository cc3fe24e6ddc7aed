package agent

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/status"
)

// A Suggester is an Issuer that says when it wants a certificate to be renewed
// (ACME Renewal Information, RFC 9773).
type Suggester interface {
	Suggest(ctx context.Context, leaf, issuer *x509.Certificate) (ca.Suggestion, error)
}

// RFC 9773, section 4.3.2, lets a client bound what Retry-After says. After an error, it
// asks for an exponential backoff, and for six hours where that does not help (section
// 4.3.3).
const (
	suggestLeast = time.Minute
	suggestMost  = 24 * time.Hour
)

var suggestRetry = plan.Backoff{First: time.Minute, Longest: 6 * time.Hour}

// recallShown is how long a certificate that its authority wanted replaced at once is a
// problem: notify tells of no problem that is over within a minute, and the replacement
// takes seconds.
const recallShown = time.Hour

// suggesters returns the authorities that can be asked about the newest pair.
func (a *Agent) suggesters(seen observation) []Authority {
	g := seen.newest
	if g == nil || g.Origin.Adopted() || len(g.Pair.Chain) < 2 {
		return nil
	}
	var list []Authority
	for _, authority := range a.opt.Authorities {
		if _, ok := authority.Issuer.(Suggester); ok {
			list = append(list, authority)
		}
	}
	return list
}

// askWindow asks when the newest pair should be renewed. A failure is no problem:
// the certificate is then renewed at two-thirds of its lifetime.
func (a *Agent) askWindow(ctx context.Context, seen observation) {
	n, chain := &a.newest, seen.newest.Pair.Chain
	n.askFailed++
	n.askAgain = seen.now.Add(suggestRetry.Delay(n.askFailed, 0))
	for _, authority := range a.suggesters(seen) {
		got, err := authority.Issuer.(Suggester).Suggest(ctx, chain[0], chain[1])
		a.alive()
		if err != nil {
			a.opt.Log.Debug("renewal window", journal.KeyError, err.Error())
			if after := ca.RetryAfter(err); after > 0 {
				n.askAgain = seen.now.Add(min(max(after, suggestLeast), suggestMost))
			}
			continue
		}
		n.askFailed = 0
		n.askAgain = seen.now.Add(min(max(got.Again, suggestLeast), suggestMost))
		if !got.To.IsZero() {
			a.heed(ctx, seen, authority, got)
			return
		}
	}
}

// heed notes a window, and tells people of one that the authority moved into the past, as
// it does before it revokes: "Conforming clients SHOULD provide this URL to their
// operator" (RFC 9773, section 4.2).
func (a *Agent) heed(ctx context.Context, seen observation, authority Authority, got ca.Suggestion) {
	n, leaf := &a.newest, seen.newest.Pair.Leaf()
	before := n.suggested
	n.suggested, n.explained = plan.Window{From: got.From, To: got.To}, got.Explanation
	text := ""
	switch {
	case seen.now.Before(before.From) && !seen.now.Before(got.To) && !n.recalled:
		n.recalled = true
		// Two recalls in a day are an authority that does not know what it wants: the
		// second waits as long as any other early renewal.
		n.atOnce = seen.now.Sub(a.process.recall.At) > suggestMost
		a.process.recall = status.Recall{Serial: cert.Serial(leaf), By: authority.URL, Explanation: got.Explanation, At: seen.now}
		text = a.process.recall.Text()
	case got.Explanation != "" && got.Explanation != a.process.explained:
		text = fmt.Sprintf("%s wants the certificate %s renewed between %s and %s, and explains why: %s",
			authority.URL, cert.Serial(leaf), plain.Time(got.From), plain.Time(got.To), got.Explanation)
	default:
		return
	}
	a.process.explained = got.Explanation
	journal.WindowMoved.Log(ctx, a.opt.Log, text)
}

// recalled returns the last certificate that its authority wanted replaced at once, as
// long as people are to know; nil when there is none.
func (a *Agent) recalled(now time.Time) *status.Recall {
	r := a.process.recall
	if r.At.IsZero() || !a.newest.recalled && now.Sub(r.At) >= recallShown {
		return nil
	}
	return &r
}
