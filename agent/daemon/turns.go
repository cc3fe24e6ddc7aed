package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"redis-cert-agent/agent/ca"
)

// errGivesWay ends an order for a client's pair.
var errGivesWay = errors.New("the order gives way to one for the servers' certificate, and is made again after it")

// turns has one ACME order of this host run at a time, since the challenges of all share a
// port, and the first one makes the account. An order for the servers' pair ends that of a
// client's pair, and never waits for its turn.
type turns struct {
	seconds sync.Mutex // held by the order for a client's pair that runs

	mu      sync.Mutex
	first   int                     // orders for the servers' pair that run
	giveWay context.CancelCauseFunc // ends the order for a client's pair; nil when none runs
	gone    chan struct{}           // closed when that has ended
}

// An inTurn is an ACME CA that is asked in turn.
type inTurn struct {
	*ACMEClient
	turns  *turns
	second bool // it is asked for a client's pair
}

// Issue implements agent.Issuer.
func (i inTurn) Issue(ctx context.Context, r ca.Request) (ca.Issued, error) {
	if !i.second {
		defer i.turns.goFirst()()
		return i.ACMEClient.Issue(ctx, r)
	}
	i.turns.seconds.Lock()
	defer i.turns.seconds.Unlock()
	ctx, ended := i.turns.goSecond(ctx)
	defer ended()
	if context.Cause(ctx) == errGivesWay {
		return ca.Issued{}, ca.Fault("order", errGivesWay)
	}
	issued, err := i.ACMEClient.Issue(ctx, r)
	if err != nil && context.Cause(ctx) == errGivesWay {
		err = ca.Fault("order", errGivesWay)
	}
	return issued, err
}

// goFirst ends the order for a client's pair, and keeps others from beginning until ended
// is called.
func (t *turns) goFirst() (ended func()) {
	t.mu.Lock()
	t.first++
	giveWay, gone := t.giveWay, t.gone
	t.mu.Unlock()
	if giveWay != nil {
		giveWay(errGivesWay)
		select {
		case <-gone: // it has closed the port
		case <-time.After(leaving):
		}
	}
	return func() {
		t.mu.Lock()
		t.first--
		t.mu.Unlock()
	}
}

// goSecond returns the context of an order for a client's pair, which has ended where one
// for the servers' pair runs, or as soon as one begins.
func (t *turns) goSecond(ctx context.Context) (_ context.Context, ended func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first > 0 {
		cancel(errGivesWay)
	}
	gone := make(chan struct{})
	t.giveWay, t.gone = cancel, gone
	return ctx, func() {
		t.mu.Lock()
		t.giveWay = nil
		t.mu.Unlock()
		close(gone)
		cancel(nil)
	}
}
