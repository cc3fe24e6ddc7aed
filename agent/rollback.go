package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/reload"
)

// takeBack undoes a load that was not proven: servers that took the new pair read the
// old files again, and current leads to what a server that starts now should load.
//
// That is the newest pair when any server proved it, and when nobody has judged it: a
// server that could not be reached, or that would not be asked (no permission, a wrong
// password, a Sentinel), has refused nothing, and its next start, or a reload of its
// own, should find the newest. It is the pair before when a server looked at the newest
// one and refused it, could not serve it as it is set, or answered OK and does not prove
// it, and none proved it.
func (a *Agent) takeBack(ctx context.Context, seen observation, c *change, attempts []attempt) error {
	var taken []int
	for i, t := range attempts {
		if t.err == nil {
			continue
		}
		if t.taken {
			taken = append(taken, i)
		}
		judged := t.taken || errors.Is(t.err, reload.ErrRefused)
		a.newest.servers[i].judged = judged || a.newest.servers[i].judged
		a.newest.refused = a.newest.refused || judged
	}
	old, target := a.backTo(seen), seen.newest
	back := a.newest.refused && old != nil && !slices.ContainsFunc(a.newest.servers, func(s loading) bool { return s.proven && !s.behind })
	if !back && !c.made {
		return c.ready() // nobody has judged it
	}
	if a.own == nil || old == nil {
		return nil // there is nothing to go back to
	}
	current := c.current(seen)
	tried := current == seen.newest.ID
	for _, of := range a.byPair(seen, taken, old.ID) {
		if err := a.own.Switch(of.id); err != nil {
			return fmt.Errorf("roll back: %w", err)
		}
		current = of.id
		a.undo(ctx, seen, of.servers, attempts)
	}
	if back {
		target = old
	}
	if current != target.ID {
		if err := a.own.Switch(target.ID); err != nil {
			return fmt.Errorf("lead servers that start now to %s: %w", cert.Serial(target.Pair.Leaf()), err)
		}
	}
	if back && tried {
		journal.RolledBack.Log(ctx, a.opt.Log, fmt.Sprintf("no server proved %s: servers that start now load %s again; "+
			"the reload is tried again, no new certificate is asked for",
			cert.Serial(seen.newest.Pair.Leaf()), cert.Serial(old.Pair.Leaf())), about(old.Pair.Leaf())...)
	}
	return nil
}

// A returning is which servers get which pair back.
type returning struct {
	id      int
	servers []int
}

// byPair groups servers by the pair that each showed before the load: the one that was
// current may be one that a server could not use either. One that showed none of those
// on disk gets other.
func (a *Agent) byPair(seen observation, servers []int, other int) (groups []returning) {
	for _, i := range servers {
		id := other
		for _, g := range seen.disk.All {
			leaf := a.servers[i].leaf()
			if g.ID != seen.newest.ID && g.Sound() && leaf != nil && g.Pair.Leaf().Equal(leaf) {
				id = g.ID
			}
		}
		at := slices.IndexFunc(groups, func(g returning) bool { return g.id == id })
		if at < 0 {
			at, groups = len(groups), append(groups, returning{id: id})
		}
		groups[at].servers = append(groups[at].servers, i)
	}
	return groups
}

// undo makes servers that took the newest pair and did not prove it read their files
// again, which are the old ones now: over the connection of the reload, since no new
// handshake may succeed any more. A pair that ended all handshakes at a server is not
// tried there again until the server was away, or a person asks, or there is another
// pair: each try would take it from its clients.
func (a *Agent) undo(ctx context.Context, seen observation, servers []int, attempts []attempt) {
	a.sideBySide(servers, func(i int) error {
		if again := attempts[i].reloaded.Again; again != nil && again(ctx) == nil {
			return nil
		}
		reloaded, err := a.opt.Servers[i].Reload(ctx, a.trustAt(seen, i), reload.Load{})
		reloaded.Close()
		return err
	}, func(i int, err error) {
		if err != nil {
			text := fmt.Sprintf("%s keeps the new certificate, which it does not prove: "+
				"the old one could not be loaded again: %v; restart it", a.opt.Servers[i].Name, err)
			a.logServer(i).Error(plain.OneLine(text), journal.KeyError, err.Error())
		}
		a.newest.servers[i].undone = !errors.Is(attempts[i].err, reload.ErrOtherLeaf)
	})
}

// backTo returns the generation to go back to: the one that was current, or, when that
// is the newest itself because the agent was killed in between, the one that a server
// shows.
func (a *Agent) backTo(seen observation) *pair.Generation {
	if c := seen.disk.Current; c != nil && c.ID != seen.newest.ID && c.Sound() {
		return c
	}
	for _, g := range seen.disk.All {
		if g.ID != seen.newest.ID && g.Sound() && a.isShown(g) {
			return g
		}
	}
	return nil
}

// isShown says whether a server showed g in its last handshake.
func (a *Agent) isShown(g *pair.Generation) bool {
	return slices.ContainsFunc(a.servers, func(s aboutServer) bool { return s.leaf() != nil && g.Pair.Leaf().Equal(s.leaf()) })
}

// shown returns the pairs that servers show, by their numbers.
func (a *Agent) shown(seen observation) []int {
	var ids []int
	for _, g := range seen.disk.All {
		if g.Err == nil && a.isShown(g) {
			ids = append(ids, g.ID)
		}
	}
	return ids
}
