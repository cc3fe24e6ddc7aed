package reload

import (
	"context"
	"crypto/x509"
	"sync"

	"redis-cert-agent/agent/cert"
)

// Trials keeps what Allowed.Try said of one pair, so that it is tried once for all the
// servers of a host that allow the same. The zero value is ready; it may be used from
// several goroutines.
type Trials struct {
	mu  sync.Mutex
	all map[trial]func() error
}

// A trial is what the outcome depends on beside the pair.
type trial struct {
	allowed Allowed
	shown   string // the kind of key of the leaf that is shown
	any     bool   // there is one
}

// try is a.Try.
func (t *Trials) try(ctx context.Context, a Allowed, p *cert.Pair, shown *x509.Certificate) error {
	if t == nil {
		return a.Try(ctx, p, shown)
	}
	key := trial{allowed: a, any: shown != nil}
	if shown != nil {
		key.shown = proofOf(shown.PublicKey)
	}
	t.mu.Lock()
	outcome := t.all[key]
	if outcome == nil {
		if t.all == nil {
			t.all = map[trial]func() error{}
		}
		outcome = sync.OnceValue(func() error { return a.Try(ctx, p, shown) })
		t.all[key] = outcome
	}
	t.mu.Unlock()
	return outcome()
}
