package agent

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
)

const day = 24 * time.Hour

// A period is what a public CA grants from some day on.
type period struct {
	from, lifetime, reuse time.Duration // from the start of the test
}

// published is what Let's Encrypt has announced for its profile classic, with
// less time between the steps: 64 days from 2027-02-10, 45 days from 2028-02-16.
var published = []period{{0, 90 * day, 30 * day}, {200 * day, 64 * day, 10 * day}, {400 * day, 45 * day, 7 * time.Hour}}

// limit is a limit of Let's Encrypt: so many at once, and one more after each refill.
type limit struct {
	most   float64
	refill time.Duration
	left   float64
	least  float64 // that was left at any time
	last   time.Time
}

func (l *limit) take(now time.Time) {
	if l.last.IsZero() {
		l.left, l.least = l.most, l.most
	}
	l.left = min(l.most, l.left+float64(now.Sub(l.last))/float64(l.refill))
	l.last = now
	l.left--
	l.least = min(l.least, l.left)
}

// publicCA is a testCA that proves the names of each order, as an ACME CA does, counts
// what such a CA limits, and fails for a quarter of the lifetime around each due date.
type publicCA struct {
	*testCA
	t         *testing.T
	periods   []period
	challenge bool // an outage is that of the way of the challenge, else that of the CA
	start     time.Time
	proved    time.Time // when the names were last proved
	due       time.Time // when the last certificate may be asked for without an outage
	recovered time.Time
	ends      time.Time // of the newest certificate

	expired                              bool
	attempts                             int // since the last certificate
	mostAttempts                         int
	orders, failures, duplicates, inARow limit
}

func (p *publicCA) now() period {
	found := p.periods[0]
	for _, next := range p.periods {
		if time.Since(p.start) >= next.from {
			found = next
		}
	}
	return found
}

func (p *publicCA) Issue(ctx context.Context, r ca.Request) (ca.Issued, error) {
	now, grants := time.Now(), p.now()
	p.attempts++
	p.expired = p.expired || !p.ends.IsZero() && now.After(p.ends)
	if p.ends.After(now) && p.recovered.IsZero() { // the first attempt finds the outage
		p.recovered = now.Add(p.ends.Sub(p.due) / 4) // a quarter of the lifetime that it has
	}
	out := now.Before(p.recovered)
	if out && !p.challenge {
		return ca.Issued{}, &ca.Error{Op: "order", URL: "https://ca.test", Err: context.DeadlineExceeded}
	}
	p.orders.take(now)
	if out && now.Sub(p.proved) >= grants.reuse {
		p.failures.take(now)
		p.inARow.take(now)
		return ca.Issued{}, &ca.Error{Op: "prove", Name: "redis1.internal", URL: "https://ca.test", Type: "connection", Message: "timeout"}
	}
	if now.Sub(p.proved) >= grants.reuse {
		p.proved = now
		p.inARow.left = p.inARow.most // a validation that succeeds ends the row
	}
	p.duplicates.take(now)
	p.mostAttempts, p.attempts = max(p.mostAttempts, p.attempts), 0
	p.lifetime = grants.lifetime
	issued, err := p.testCA.Issue(ctx, r)
	p.due, p.ends, p.recovered = now, now.Add(grants.lifetime), time.Time{}
	return issued, err
}

// The steps that are published, with an outage of a quarter of the lifetime at each due
// date, cost no expiry, no certificate more than is needed, and reach no limit.
func TestPublishedSchedule(t *testing.T) {
	for name, c := range map[string]struct {
		periods []period
		days    int
		most    int
	}{
		"90, 64, 45 days": {published, 600, 13},
		"160 hours":       {[]period{{0, 160 * time.Hour, 7 * time.Hour}}, 120, 28},
	} {
		for _, challenge := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, challenge %t", name, challenge), func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, dir, 1)
					p := &publicCA{testCA: w.ca, t: t, periods: c.periods, challenge: challenge, start: time.Now(),
						orders: limit{most: 300, refill: 36 * time.Second}, failures: limit{most: 5, refill: 12 * time.Minute},
						duplicates: limit{most: 5, refill: 34 * time.Hour}, inARow: limit{most: 1152, refill: day}}
					w.agent.opt.Authorities[0].Issuer = p
					w.run()
					defer w.stop()
					synctest.Wait()
					w.redis[0].start(t)
					least := time.Duration(1 << 62)
					for range c.days * 2 {
						pass(12 * time.Hour)
						least = min(least, time.Until(w.redis[0].serves.Leaf().NotAfter))
					}
					if p.expired || least <= 0 {
						t.Errorf("a certificate ended: %s left at the least", least)
					}
					if w.ca.issued > c.most || !w.redis[0].serves.Leaf().Equal(w.disk()) {
						t.Errorf("%d certificates in %d days, want at most %d, each of them served", w.ca.issued, c.days, c.most)
					}
					for what, l := range map[string]limit{"new orders": p.orders, "failed validations in an hour": p.failures,
						"duplicates in a week": p.duplicates, "failed validations in a row": p.inARow} {
						if l.last.IsZero() {
							continue
						}
						t.Logf("%s: %.1f of %.0f left at the least", what, l.least, l.most)
						if l.least < 0 {
							t.Errorf("the limit of %s is reached", what)
						}
					}
					t.Logf("%d certificates in %d days, at most %d attempts for one, %s left at the least", w.ca.issued, c.days, p.mostAttempts, least)
				})
			})
		}
	}
}
