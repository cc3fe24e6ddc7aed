package agent

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/ratelimit"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload"
)

// A countingCA is a testCA that counts as Let's Encrypt does, and is asked as package acme
// asks: by the book. It refuses what is over a limit, and counts that it had to.
type countingCA struct {
	*testCA
	path   string // of the book
	proves bool   // the names can be proved

	orders, failures, duplicates limit
	held                         int // that were not made
}

func newCountingCA(c *testCA, dir string) *countingCA {
	return &countingCA{testCA: c, path: filepath.Join(dir, "acme-limits.json"), proves: true,
		orders: limit{most: 300, refill: 36 * time.Second}, failures: limit{most: 5, refill: 12 * time.Minute},
		duplicates: limit{most: 5, refill: 34 * time.Hour}}
}

func (c *countingCA) Limits(now time.Time, names []string) []ratelimit.Use {
	return ratelimit.Open(c.path, "le").Uses(now, names)
}

func (c *countingCA) Issue(ctx context.Context, r ca.Request) (ca.Issued, error) {
	now, book := time.Now(), ratelimit.Open(c.path, "le")
	fakes.Lock()
	down := c.err
	fakes.Unlock()
	if down != nil {
		return ca.Issued{}, down
	}
	if u := book.May(now, r.Names); u != nil {
		c.held++
		return ca.Issued{}, &ca.Error{Op: "order", URL: "https://le.test", Message: u.String(), After: u.Next.Sub(now)}
	}
	c.orders.take(now)
	err := book.Ordered(now)
	if !c.proves {
		c.failures.take(now)
		err = errors.Join(err, book.Failed(now, r.Names[0]))
		return ca.Issued{}, errors.Join(err, &ca.Error{Op: "prove", URL: "https://le.test", Message: "connection refused"})
	}
	c.duplicates.take(now)
	if err := errors.Join(err, book.Issued(now, r.Names)); err != nil {
		return ca.Issued{}, err
	}
	return c.testCA.Issue(ctx, r)
}

// over counts the limits of which more was taken than there was.
func (c *countingCA) over() (n int) {
	for _, l := range []limit{c.orders, c.failures, c.duplicates} {
		if l.least < -1e-6 {
			n++
		}
	}
	return n
}

// limitFaults are what can go wrong for days around one host, whose certificate ends at
// its beginning. Hour is called once an hour.
var limitFaults = map[string]struct {
	lifetime time.Duration
	begin    func(*world, *countingCA)
	hour     func(*world, *countingCA)
	restarts bool // a service manager starts the agent again and again
}{
	"nothing is wrong, 90 days":                              {},
	"nothing is wrong, 6 days":                               {lifetime: 160 * time.Hour},
	"the CA is down":                                         {begin: func(w *world, c *countingCA) { c.err = errors.New("connection refused") }},
	"the names are not proved":                               {begin: func(w *world, c *countingCA) { c.proves = false }},
	"they are not, and the agent is started again and again": {begin: func(w *world, c *countingCA) { c.proves = false }, restarts: true},
	"the gate refuses each": {begin: func(w *world, c *countingCA) {
		c.spoil = func(t *x509.Certificate) { t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	}},
	"and the agent is started again and again": {restarts: true, begin: func(w *world, c *countingCA) {
		c.spoil = func(t *x509.Certificate) { t.DNSNames = []string{"other.internal"} }
	}},
	"the CA's clock is a day ahead": {begin: func(w *world, c *countingCA) {
		c.spoil = func(t *x509.Certificate) {
			t.NotBefore, t.NotAfter = t.NotBefore.AddDate(0, 0, 1), t.NotAfter.AddDate(0, 0, 1)
		}
	}},
	"certificates end at once": {begin: func(w *world, c *countingCA) {
		c.spoil = func(t *x509.Certificate) { t.NotAfter = t.NotBefore.Add(time.Minute) }
	}},
	"redis refuses each": {begin: func(w *world, c *countingCA) { w.redis[0].says = reload.ErrRefused }},
	"redis lies":         {begin: func(w *world, c *countingCA) { w.redis[0].lies = true }},
	"redis is down":      {begin: func(w *world, c *countingCA) { w.redis[0].down = true }},
	"somebody forces a renewal each hour": {hour: func(w *world, c *countingCA) {
		_ = w.renew(true) // refused, some day
	}},
	"somebody asks each hour": {begin: func(w *world, c *countingCA) { c.proves = false }, hour: func(w *world, c *countingCA) {
		for range 3 {
			_ = w.renew(false)
		}
	}},
}

// Whatever goes wrong, one host never asks Let's Encrypt for what it would refuse. The
// table counts what each fault cost in three days.
func TestLimitsUnderFaults(t *testing.T) {
	for name, f := range limitFaults {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1)
				w.ca.lifetime = 3 * time.Hour // the fault comes before its end
				c := newCountingCA(w.ca, dir)
				acme := func(o *Options) {
					o.Attempts, o.Authorities = filepath.Join(dir, "attempts.json"), []Authority{{CA: status.CA{Kind: "acme", URL: "https://le.test"}, Issuer: c}}
				}
				w.store.Close()
				w.open(dir, acme)
				w.run()
				synctest.Wait()
				w.redis[0].start(t)
				pass(time.Hour)
				fakes.Lock()
				c.lifetime = cmp.Or(f.lifetime, 90*day)
				if f.begin != nil {
					f.begin(w, c)
				}
				fakes.Unlock()
				for range 3 * 24 {
					pass(time.Hour)
					if f.hour != nil {
						f.hour(w, c)
					}
					for i := 0; f.restarts && i < 3; i++ {
						w.stop()
						w.open(dir, acme)
						w.run()
						pass(time.Minute)
					}
				}
				limits := ""
				for _, l := range w.agent.opt.Board.Get().CAs[0].Limits {
					limits += l.Text + ", "
				}
				w.stop()
				t.Logf("%d certificates, %d orders not made; least left: %.1f of 5 duplicates, %.1f of 5 failed validations, %.1f of 300 orders; status: %s",
					c.issued, c.held, c.duplicates.least, c.failures.least, c.orders.least, limits)
				if n := c.over(); n > 0 {
					t.Errorf("%d limits were reached", n)
				}
			})
		})
	}
}

// Status tells how much is taken.
func TestStatusTellsLimits(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.ca.lifetime = 90 * day
		c := newCountingCA(w.ca, dir)
		w.agent.opt.Authorities[0].Issuer = c
		w.run()
		defer w.stop()
		synctest.Wait()
		w.redis[0].start(t)
		w.must(w.renew(true))
		limits := w.agent.opt.Board.Get().CAs[0].Limits
		if len(limits) != 3 || limits[0].Text != "2 of 5 duplicate certificates this week" || limits[0].Limit != "duplicate_certificates" ||
			limits[0].Used != 2 || limits[0].Most != 5 || time.Until(limits[0].Full).Round(time.Hour) != 68*time.Hour {
			t.Errorf("%+v", limits)
		}
		pass(70 * time.Hour)
		w.must(w.renew(false))
		if limits := w.agent.opt.Board.Get().CAs[0].Limits; len(limits) > 0 && limits[0].Used > 1 {
			t.Errorf("three days later: %+v", limits)
		}
	})
}
