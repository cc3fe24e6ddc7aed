package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/status"
)

// listeners are told of every event while they wait for an answer.
type listeners struct {
	mu  sync.Mutex
	all map[int]func(string)
	n   int
}

// add has say told until end is called.
func (l *listeners) add(say func(string)) (end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[int]func(string){}
	}
	l.n++
	n := l.n
	l.all[n] = say
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.all, n)
	}
}

func (l *listeners) tell(e journal.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, say := range l.all {
		say(plain.OneLine(e.Message))
	}
}

func rotateOptions(r control.Rotate, asked time.Time) agent.RotateOptions {
	return agent.RotateOptions{Asked: asked, Reason: r.Reason, Keep: r.NoRevoke, Early: r.RevokeFirst}
}

// rotate has the agents that run replace their keys: that of the servers first, then those
// of clients' pairs, or one of these alone. One that cannot does not keep the next ones from
// it.
func (d *Daemon) rotate(ctx context.Context, r control.Rotate, say func(string)) (results []status.Rotation, err error) {
	defer d.listeners.add(say)()
	o := rotateOptions(r, time.Now().Round(0))
	one := func(name string, running *active) error {
		var result status.Rotation
		err := running.ask(ctx, func(a *agent.Agent) (err error) {
			result, err = a.Rotate(ctx, o)
			return err
		})
		if result.Pair = name; !result.Since.IsZero() {
			results = append(results, result)
		}
		if err != nil && name != "" {
			err = fmt.Errorf("pair %s: %w", name, err)
		}
		return stopped(err)
	}
	if r.Pair != "" {
		p, err := d.pairs.named(r.Pair)
		if err != nil {
			return nil, err
		}
		err = one(r.Pair, p)
		return results, err
	}
	_ = d.refind(ctx) // a server that was just started may have to change as well
	errs := []error{one("", d.active)}
	all := d.pairs.all()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		errs = append(errs, one(name, all[name]))
	}
	return results, plain.Join(errs...)
}

// RotateOnce does what a running daemon does when it is asked to replace the keys of the
// servers' pair, without one.
func (d *Daemon) RotateOnce(ctx context.Context, r control.Rotate, say func(string)) ([]status.Rotation, error) {
	if r.Pair != "" || len(d.first.ClientPairs) > 0 {
		return nil, errors.New("the pairs of clients are replaced by the running agent alone: start it (systemctl start " + d.first.Unit() + ")")
	}
	store, a, err := d.open(ctx, &resolution{base: d.first})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	defer d.openHistory()()
	defer d.listeners.add(say)()
	result, err := a.RotateOnce(ctx, rotateOptions(r, time.Now().Round(0)))
	if result.Since.IsZero() {
		return nil, err
	}
	return []status.Rotation{result}, err
}
