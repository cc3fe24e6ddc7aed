package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"redis-cert-agent/agent/plain"
	"redis-cert-agent/reload"
)

// Reread has a running agent make those servers read their files again that present a
// certificate of their own to others (tls-client-cert-file), where presents says that it
// is one that has changed. Redis reads it together with its pair. A server that is not
// there reads it when it starts.
func (a *Agent) Reread(ctx context.Context, presents func(path string) bool) error {
	return a.await(ctx, request{presents: presents, done: make(chan error, 1)})
}

func (a *Agent) reread(ctx context.Context, presents func(path string) bool) error {
	seen := a.look()
	if seen.err != nil {
		return seen.err
	}
	var due []int
	settings, unasked := make([]reload.Settings, len(a.servers)), []error(nil)
	a.sideBySide(a.all(), func(i int) (err error) {
		settings[i], err = a.opt.Servers[i].Settings(ctx, a.trustAt(seen, i))
		return err
	}, func(i int, err error) {
		switch {
		case err != nil && !errors.Is(err, reload.ErrUnreachable):
			unasked = append(unasked, err)
		case err == nil && presents(settings[i].ClientCert):
			due = append(due, i)
			a.newest.servers[i].behind = true
		}
	})
	_, _ = a.round(ctx)
	if ctx.Err() != nil {
		return ErrStopped
	}
	for i, s := range a.newest.servers {
		if !slices.Contains(due, i) || !s.behind {
			continue
		}
		if s.err == nil {
			s.err = errors.New("it could not read its files again yet")
		}
		unasked = append(unasked, fmt.Errorf("%s: %w", a.opt.Servers[i].Name, s.err))
	}
	return plain.Join(unasked...)
}
