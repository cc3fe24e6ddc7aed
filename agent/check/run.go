package check

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Parallel is how many targets are looked at together. Live ones keep the
// processors busy long before that; it is the dead ones, which take their whole
// timeout, that must not queue.
const Parallel = 128

// Run looks at all targets and judges them at the time now. It calls done, unless
// that is nil, after each one, and from several goroutines at once. The error is
// that of ctx.
func Run(ctx context.Context, targets []Target, now time.Time, done func()) (Report, error) {
	results := make([]Result, len(targets))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(Parallel, len(targets)) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(targets) {
					return
				}
				results[i] = Judge(targets[i].look(ctx), targets[i].Want, now)
				if done != nil {
					done()
				}
			}
		})
	}
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	return NewReport(results, now), nil
}

// NewReport orders the results, the worst first, and sums them up.
func NewReport(results []Result, now time.Time) Report {
	r := Report{Time: now.UTC().Truncate(time.Second), Targets: slices.Clone(results)}
	slices.SortStableFunc(r.Targets, func(a, b Result) int {
		if d := b.State.badness() - a.State.badness(); d != 0 {
			return d
		}
		if d := compare(a.left(), b.left()); d != 0 {
			return d
		}
		return strings.Compare(a.Target, b.Target)
	})
	for _, t := range r.Targets {
		r.State = worse(r.State, t.State)
		switch t.State {
		case OK:
			r.Counts.OK++
		case Warning:
			r.Counts.Warning++
		case Critical:
			r.Counts.Critical++
		case Unknown:
			r.Counts.Unknown++
		}
	}
	r.Summary = r.summary()
	return r
}

// first returns the certificate that ends first; nil when there is none. What
// has nothing to do with the others does not count.
func (r Result) first() *Certificate {
	var first *Certificate
	for i, c := range r.Certificates {
		if c.Role != "unrelated" && (first == nil || c.SecondsLeft < first.SecondsLeft) {
			first = &r.Certificates[i]
		}
	}
	return first
}

// left is how many seconds the target has left; nil: not known.
func (r Result) left() *int64 {
	if c := r.first(); c != nil {
		return &c.SecondsLeft
	}
	return nil
}

// compare puts what is not known first.
func compare(a, b *int64) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	case *a < *b:
		return -1
	case *a > *b:
		return 1
	}
	return 0
}
