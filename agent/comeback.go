package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/plan"
)

// An authority that was away is back for all hosts at the same moment. While it is away
// an attempt only looks whether it answers, without asking for anything; the plan says
// when its answer is followed by a request.

// missed takes note of a request or a look that failed with err.
func missed(a *plan.Attempts, err error) {
	*a = failed(*a)
	var e *ca.Error
	_, answered := ca.AheadOf(err) // a proxy may answer for it
	if a.Away = errors.As(err, &e) && e.Absent() && !answered; a.Away && a.Since.IsZero() {
		a.Since = a.Last
	}
}

// comeback looks whether authority i, which gave no answer the last time, answers now. The
// error says why no certificate is asked for: it does not, or this host waits for its turn.
func (a *Agent) comeback(ctx context.Context, i int, seen observation) error {
	authority, attempts := a.opt.Authorities[i], &a.newest.authorities[i]
	inspector, ok := authority.Issuer.(ca.Inspector)
	if !ok || !attempts.Away || !attempts.Back.IsZero() || seen.newest == nil || a.request.force {
		return nil
	}
	_, err := whileAlive(ctx, a, func(ctx context.Context) (time.Duration, error) {
		return inspector.Inspect(ctx, seen.named(authority.Pin))
	})
	var e *ca.Error
	if errors.As(err, &e) && e.Absent() {
		return err
	}
	attempts.Back = now() // whatever else it says, the request will tell
	if until := attempts.Hold(attempts.Back, a.planned(seen)); until.After(attempts.Back) {
		return turnError(fmt.Sprintf("%s answers again, and is asked at %s, so that not all hosts ask it at once; `redis-cert-agent renew --force` does not wait",
			authority.URL, plain.Time(until)))
	}
	return nil
}

// A turnError says when an authority that answers is asked.
type turnError string

func (e turnError) Error() string { return string(e) }
