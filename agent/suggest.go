package agent

import (
	"context"
	"crypto/x509"
	"time"

	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/report"
)

// A Suggester is an Issuer that says when it wants a certificate to be renewed
// (ACME Renewal Information, RFC 9773).
type Suggester interface {
	// Suggest returns a window, and how long to wait before asking again. The
	// window is zero when the authority has no wish for leaf.
	Suggest(ctx context.Context, leaf, issuer *x509.Certificate) (from, to time.Time, again time.Duration, err error)
}

// A wish is what the authority said about the newest pair.
type wish struct {
	window plan.Window
	next   time.Time // when to ask again
}

// RFC 9773, section 4.3.3, asks for six hours after an error that says nothing
// else; section 4.3 lets a client bound what Retry-After says.
const (
	wishRetry = 6 * time.Hour
	wishLeast = time.Minute
	wishMost  = 24 * time.Hour
)

// suggestible returns the authorities that can be asked about the newest pair.
func (a *Agent) suggestible(see sight) []Suggester {
	g := see.newest
	if g == nil || g.Origin.Adopted() || len(g.Pair.Chain) < 2 {
		return nil
	}
	var list []Suggester
	for _, authority := range a.Authorities {
		if s, ok := authority.Issuer.(Suggester); ok {
			list = append(list, s)
		}
	}
	return list
}

// askWindow asks when the newest pair should be renewed. A failure is no
// trouble: two-thirds of the lifetime remain.
func (a *Agent) askWindow(ctx context.Context, see sight) error {
	a.wish.next = see.now.Add(wishRetry)
	chain := see.newest.Pair.Chain
	for _, s := range a.suggestible(see) {
		from, to, again, err := s.Suggest(ctx, chain[0], chain[1])
		a.Notify.Watchdog()
		if err != nil {
			a.Log.Debug("renewal window", report.KeyError, err.Error())
			continue
		}
		if again > 0 {
			a.wish.next = see.now.Add(min(max(again, wishLeast), wishMost))
		}
		if !to.IsZero() {
			a.wish.window = plan.Window{NotBefore: from, NotAfter: to}
			return nil
		}
	}
	return nil
}
