package main

import (
	"context"
	"errors"

	"redis-cert-agent/agent"
)

// A slot holds the agent that runs, and nobody between two.
type slot chan tenant

type tenant struct {
	agent *agent.Agent
	over  chan struct{} // closed when it runs no more and has left the slot
}

// take puts a into the slot and returns what takes it out.
func (t slot) take(a *agent.Agent) (leave func()) {
	r := tenant{a, make(chan struct{})}
	t <- r
	return func() {
		<-t
		close(r.over)
	}
}

// renew asks the agent that runs. Between two it waits for the next, and it asks
// the next when one ended without an answer.
func (t slot) renew(ctx context.Context, force bool) error {
	for {
		select {
		case r := <-t:
			t <- r
			if err := r.renew(ctx, force); !errors.Is(err, agent.ErrStopped) || ctx.Err() != nil {
				return err
			}
		case <-ctx.Done():
			return agent.ErrStopped
		}
	}
}

// renew returns ErrStopped only when it runs no more, or ctx is.
func (r tenant) renew(ctx context.Context, force bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	answer := make(chan error, 1)
	go func() { answer <- r.agent.Renew(ctx, force) }()
	select {
	case err := <-answer:
		if errors.Is(err, agent.ErrStopped) {
			select {
			case <-r.over:
			case <-ctx.Done():
			}
		}
		return err
	case <-r.over:
		stop()
		return <-answer
	}
}
