package daemon

import (
	"context"
	"errors"
	"sync"

	"redis-cert-agent/agent"
)

// active tells which agent runs. There is none while one configuration gives way to
// the next.
type active struct {
	mu      sync.Mutex
	agent   *agent.Agent
	changed chan struct{} // closed when agent is another one
}

func newActive() *active { return &active{changed: make(chan struct{})} }

// set makes a the agent that runs; nil says that there is none.
func (c *active) set(a *agent.Agent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.agent = a
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *active) get() (a *agent.Agent, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.agent, c.changed
}

// renew asks the agent that runs for a renewal.
func (c *active) renew(ctx context.Context, force bool) error {
	return c.ask(ctx, func(a *agent.Agent) error { return a.Renew(ctx, force) })
}

// look has the agent that runs look now.
func (c *active) look(ctx context.Context) error {
	return c.ask(ctx, func(a *agent.Agent) error { return a.Look(ctx) })
}

// ask asks the agent that runs. Between two agents it waits for the next one, and it
// asks the next one when an agent stopped without an answer.
func (c *active) ask(ctx context.Context, question func(*agent.Agent) error) error {
	for {
		a, changed := c.get()
		if a != nil {
			if err := question(a); !errors.Is(err, agent.ErrStopped) {
				return err
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
