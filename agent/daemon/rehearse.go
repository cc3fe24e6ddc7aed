package daemon

import (
	"context"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload"
)

// needs are what is tried in a rehearsal beside authorities, servers and the disk.
func needs(c *config.Config) []agent.Need {
	var all []agent.Need
	for _, t := range c.Notify {
		all = append(all, agent.Need{Kind: status.NeedNotify, Subject: t.Name, Try: func(ctx context.Context) (string, error) { return notify.Reach(ctx, t.Sender) }})
	}
	if c.Heartbeat != nil {
		all = append(all, agent.Need{Kind: status.NeedNotify, Subject: "heartbeat", Try: c.Heartbeat.Reach})
	}
	return all
}

// rehearse has the running agent try everything that a renewal needs, without issuing.
func (d *Daemon) rehearse(ctx context.Context) (status.Status, error) {
	err := d.active.ask(ctx, func(a *agent.Agent) error { return a.Rehearse(ctx) })
	return d.status(ctx), err
}

// Examine does what a running daemon does when it is asked to rehearse, without one and
// without taking hold of the pair: nothing is issued, loaded or changed.
func (d *Daemon) Examine(ctx context.Context) (status.Status, error) {
	store, err := peekStore(d.first)
	if err != nil {
		return status.Status{}, err
	}
	defer store.Close()
	r := (resolution{base: d.first}).find(ctx, d.finder.places, store)
	a, err := d.build(r, store)
	if err != nil {
		return status.Status{}, err
	}
	s, err := a.Examine(ctx)
	s.PID = 0 // no agent runs
	return s, err
}

func peekStore(c *config.Config) (agent.Store, error) {
	if c.External {
		return pair.PeekExternal(c.Pair.External())
	}
	return pair.Peek(c.Pair)
}

// ServerFacts are what one server says when it is asked more than a renewal asks.
type ServerFacts struct {
	Address  string
	Settings reload.Settings
	Rights   reload.Rights
	Err      error // of either
}

// Ask asks every server for its settings and for the rights of the agent's user.
func (d *Daemon) Ask(ctx context.Context) ([]ServerFacts, error) {
	store, err := peekStore(d.first)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	r := (resolution{base: d.first}).find(ctx, d.finder.places, store)
	a, err := d.build(r, store)
	if err != nil {
		return nil, err
	}
	trust := a.Trust()
	var facts []ServerFacts
	for _, s := range r.config().Servers {
		f, redis := ServerFacts{Address: s.Address}, reload.New(s)
		if f.Settings, f.Err = redis.Settings(ctx, trust); f.Err == nil && !f.Settings.Sentinel {
			f.Rights, f.Err = redis.Rights(ctx, trust)
		}
		facts = append(facts, f)
	}
	return facts, nil
}
