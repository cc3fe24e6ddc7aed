package check

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// Parallel is how many targets are looked at together. Live ones keep the
// processors busy long before that. Dead ones take their whole timeout, and must
// not queue.
const Parallel = 128

// Run looks at all targets and judges them at the time now. It calls done, unless
// that is nil, after each one, and from several goroutines at once. The error is
// that of ctx.
func Run(ctx context.Context, targets []Target, now time.Time, done func()) (Report, error) {
	results := make([]Result, len(targets))
	var next atomic.Int64
	var known issuers
	var workers sync.WaitGroup
	for range min(Parallel, len(targets)) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(targets) {
					return
				}
				results[i] = Judge(targets[i].look(ctx), targets[i].Want, now)
				known.share(results[i].Certificates)
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

// issuers are the Facts of the CA certificates that are known, by issuer. Thousands of
// servers show the same intermediate and lead to the same root.
type issuers struct{ sync.Map }

// An issuer is all that the Facts of a CA certificate depend on within one check.
type issuer struct {
	sha256         string
	warnAt, critAt time.Time
}

// share replaces the Facts of CA certificates by equal ones that are known.
func (s *issuers) share(certs []Certificate) {
	for i, c := range certs {
		if c.Role == "leaf" || c.Role == "client" {
			continue // others hardly have the same
		}
		known, _ := s.LoadOrStore(issuer{c.SHA256, c.WarnAt, c.CritAt}, c.Facts)
		certs[i].Facts = known.(*Facts)
	}
}

// NewReport orders the results, the worst first, and sums them up.
func NewReport(results []Result, now time.Time) Report {
	r := Report{Time: now.UTC().Truncate(time.Second), Targets: slices.Clone(results)}
	sort.SliceStable(r.Targets, func(i, j int) bool {
		a, b := r.Targets[i], r.Targets[j]
		return cmp.Or(cmp.Compare(b.State.badness(), a.State.badness()), cmp.Compare(a.left(), b.left()), cmp.Compare(a.Target, b.Target)) < 0
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

// left is how many seconds the target has left until the first of its
// certificates ends; the least number when none is known. Unrelated ones do not
// count.
func (r Result) left() int64 {
	left, known := int64(math.MinInt64), false
	for _, c := range r.Certificates {
		if c.Role != "unrelated" && (!known || c.SecondsLeft < left) {
			left, known = c.SecondsLeft, true
		}
	}
	return left
}
