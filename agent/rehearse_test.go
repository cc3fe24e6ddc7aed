package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/status"
)

// A rehearsingCA is a testCA that can be rehearsed.
type rehearsingCA struct {
	*testCA
	fault     error
	rehearsed int
	hold      chan struct{} // a rehearsal waits for it; nil: none does
}

func (r *rehearsingCA) Rehearse(ctx context.Context, _ []string, _ []*x509.Certificate) (string, time.Duration, error) {
	r.rehearsed++
	if r.hold != nil {
		select {
		case <-r.hold:
		case <-ctx.Done():
			return "", 0, ctx.Err()
		}
	}
	return "healthy", 0, r.fault
}

// rehearsing replaces the authority of w, and adds what is needed besides.
func (w *world) rehearsing(dir string, needs ...Need) *rehearsingCA {
	r := &rehearsingCA{testCA: w.ca}
	w.store.Close()
	w.open(dir, func(o *Options) {
		o.Authorities = []Authority{{Issuer: r}}
		o.Needs = needs
	})
	return r
}

func (w *world) kinds() (kinds []string) {
	for _, p := range w.agent.opt.Board.Get().Problems() {
		kinds = append(kinds, p.Kind)
	}
	return kinds
}

// Half-way to the due date everything is tried without issuing. A fault is a problem until
// it is mended, hours before anything is due.
func TestRehearsesHalfWay(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		reached := errors.New("it does not answer")
		r := w.rehearsing(dir, Need{Kind: status.NeedNotify, Subject: "webhook", Try: func(context.Context) (string, error) { return "", reached }})
		w.settle()
		defer w.stop()
		r.fault = errors.New("the key does not decrypt")
		pass(7 * time.Hour) // due after 16
		if r.rehearsed != 0 {
			t.Errorf("rehearsed %d times before half-way", r.rehearsed)
		}
		if at := w.agent.opt.Board.Get().RehearsalDue; at.Before(time.Now()) || at.After(time.Now().Add(time.Hour)) {
			t.Errorf("at 7 h of 16 the rehearsal is due at %v, and it is %v", at, time.Now())
		}
		pass(time.Hour + time.Minute)
		if kinds := w.kinds(); !slices.Equal(kinds, []string{status.RehearsalFailing, status.RehearsalFailing}) || w.ca.issued != 1 {
			t.Errorf("problems %q, %d issued", kinds, w.ca.issued)
		}
		before := r.rehearsed
		pass(4 * time.Hour)
		if n := r.rehearsed - before; n < 2 || n > 8 {
			t.Errorf("%d more rehearsals in four hours", n)
		}
		r.fault, reached = nil, nil
		pass(100 * time.Minute)
		if kinds := w.kinds(); len(kinds) > 0 || w.ca.issued != 1 {
			t.Errorf("mended: problems %q, %d issued", kinds, w.ca.issued)
		}
		before = r.rehearsed
		pass(5 * time.Hour) // renewed meanwhile
		if s := w.agent.opt.Board.Get(); w.ca.issued != 2 || s.Rehearsal != nil || r.rehearsed != before {
			t.Errorf("%d issued; the new one was rehearsed: %+v", w.ca.issued, s.Rehearsal)
		}
	})
}

// What hangs keeps neither a renewal from being made nor the agent from ending, and is named.
func TestRehearsalHangs(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		never := make(chan struct{})
		defer close(never) // the bubble waits for whoever hangs there
		r := w.rehearsing(dir, Need{Kind: status.NeedDisk, Subject: "/mnt", Try: func(context.Context) (string, error) { <-never; return "", nil }})
		r.hold = make(chan struct{})
		w.run()
		synctest.Wait()
		w.redis[0].start(t)
		pass(8*time.Hour + time.Minute)
		if err := w.renew(true); err != nil || w.ca.issued != 2 {
			t.Errorf("in the middle of a rehearsal: %v, %d issued", err, w.ca.issued)
		}
		pass(8*time.Hour + time.Minute) // half of the new one's time
		pass(rehearsalLimit)
		faults := w.agent.opt.Board.Get().Rehearsal.Faults()
		if len(faults) != 2 || faults[1].Subject != "/mnt" {
			t.Errorf("what hangs is not named: %+v", faults)
		}
		pass(10 * time.Minute) // the next one has begun
		w.stop()               // and does not keep the agent
	})
}

// Who asks gets the answer of a rehearsal that began after the question, or was under way.
func TestRehearseOnDemand(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		r := w.rehearsing(dir, Need{Kind: status.NeedNotify, Subject: "panics", Try: func(context.Context) (string, error) { panic("no such thing") }})
		w.settle()
		defer w.stop()
		r.fault = errors.New("port 80 is taken")
		if err := w.agent.Rehearse(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f := w.agent.opt.Board.Get().Rehearsal.Faults(); len(f) != 2 || f[0].Fault != "port 80 is taken" || r.rehearsed != 1 || w.ca.issued != 1 {
			t.Errorf("%+v", f)
		}
		r.fault, r.hold = nil, make(chan struct{})
		answers := make(chan error, 2)
		for range 2 {
			go func() { answers <- w.agent.Rehearse(t.Context()) }()
		}
		synctest.Wait()
		close(r.hold)
		if err := errors.Join(<-answers, <-answers); err != nil || r.rehearsed != 2 {
			t.Errorf("%v, rehearsed %d times", err, r.rehearsed)
		}
	})
}

// Where a renewal comes within minutes, nothing is rehearsed.
func TestShortCertificatesAreNotRehearsed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.ca.lifetime = 20 * time.Minute
		r := w.rehearsing(dir)
		w.run()
		defer w.stop()
		synctest.Wait()
		w.redis[0].start(t)
		pass(2 * time.Hour)
		if r.rehearsed != 0 || w.ca.issued < 5 {
			t.Errorf("%d issued, %d rehearsed", w.ca.issued, r.rehearsed)
		}
	})
}
