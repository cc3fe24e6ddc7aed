package main

import (
	"context"
	"errors"

	"redis-cert-agent/agent"
)

// A throne holds the agent that runs, and nobody between two.
type throne chan ruler

type ruler struct {
	agent *agent.Agent
	over  chan struct{} // closed when it runs no more and has left the throne
}

// take seats a and returns what unseats it.
func (t throne) take(a *agent.Agent) (leave func()) {
	r := ruler{a, make(chan struct{})}
	t <- r
	return func() {
		<-t
		close(r.over)
	}
}

// renew asks the agent that runs. Between two it waits for the next, and it asks
// the next when one ended without an answer.
func (t throne) renew(ctx context.Context, force bool) error {
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

// renew returns ErrStopped only when its reign is over, or ctx is.
func (r ruler) renew(ctx context.Context, force bool) error {
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
