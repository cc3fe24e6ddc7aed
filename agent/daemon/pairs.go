package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/status"
)

// The pairs of clients have an agent each, which is one without servers, beside that of
// the servers. They have directories, locks and clients of the authorities of their own,
// so that nothing of them can hold up the servers' pair.

const (
	// reopen is the pause before a client's pair that ended with an error is begun anew.
	reopen = time.Minute
	// leaving is how long the end of the agents of clients' pairs is waited for.
	leaving = 5 * time.Second
)

// clientPairs are the agents of the clients' pairs that run.
type clientPairs struct {
	mu      sync.Mutex
	running map[string]*active
	tallies map[string]*agent.Tally // outlive a configuration
	turns   turns

	ended chan struct{} // closed when none of the last configuration runs any more
	stop  context.CancelFunc
}

// begin has the agents of c run in place of those before, which are not waited for here.
func (p *clientPairs) begin(d *Daemon, c *config.Config) {
	p.leave()
	ctx, cancel := context.WithCancel(context.Background())
	before, ended := p.ended, make(chan struct{})
	p.ended, p.stop = ended, cancel
	boards, running := d.board.Below(len(c.ClientPairs)), map[string]*active{}
	var names []string
	for _, client := range c.ClientPairs {
		running[client.Name], names = newActive(), append(names, client.Name)
	}
	d.roots.Expect(names)
	p.mu.Lock()
	p.running = running
	p.mu.Unlock()
	go func() {
		defer close(ended)
		if before != nil {
			<-before // they hold the locks
		}
		var all sync.WaitGroup
		for i, client := range c.ClientPairs {
			all.Go(func() { d.clientPair(c, client, boards[i], running[client.Name]).keep(ctx) })
		}
		all.Wait()
	}()
}

// leave has the agents end.
func (p *clientPairs) leave() {
	if p.stop != nil {
		p.stop()
	}
}

// end has the agents end and waits for that, but not for ever: one may hang on a disk.
func (p *clientPairs) end() {
	p.leave()
	if p.ended == nil {
		return
	}
	select {
	case <-p.ended:
	case <-time.After(leaving):
	}
}

// named returns the agent of the pair with that name.
func (p *clientPairs) named(name string) (*active, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.running[name]; a != nil {
		return a, nil
	}
	var names []string
	for n := range p.running {
		names = append(names, n)
	}
	slices.Sort(names)
	return nil, fmt.Errorf("there is no pair %q among pairs in the configuration; there is %v", name, names)
}

// all returns the agents of all pairs, by their names.
func (p *clientPairs) all() map[string]*active {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.running)
}

func (p *clientPairs) tally(name string) *agent.Tally {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tallies == nil {
		p.tallies = map[string]*agent.Tally{}
	}
	if p.tallies[name] == nil {
		p.tallies[name] = new(agent.Tally)
	}
	return p.tallies[name]
}

// A clientPair is what the agent of one client's pair is made of.
type clientPair struct {
	d      *Daemon
	c      *config.Config
	pair   config.ClientPair
	board  *status.Board
	active *active
	log    *slog.Logger
}

func (d *Daemon) clientPair(c *config.Config, client config.ClientPair, board *status.Board, a *active) *clientPair {
	log := slog.New(prefixed{d.log.Handler(), "pair " + client.Name + ": "}).With(slog.String(journal.KeyPair, client.Name))
	return &clientPair{d, c, client, board, a, log}
}

// keep runs the agent until ctx ends, and anew when it ends with an error.
func (p *clientPair) keep(ctx context.Context) {
	told := ""
	for {
		err := p.guarded(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != told {
			told = err.Error()
			p.log.Error(plain.OneLine(told), journal.KeyError, told)
		}
		if err != nil {
			p.board.Set(status.Status{Instance: p.pair.Name, Version: p.d.version, Looked: time.Now(), DiskError: told, Degraded: true})
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(reopen):
		}
	}
}

// guarded runs the agent; what goes wrong in it does not end the process, in which the
// agent of the servers runs.
func (p *clientPair) guarded(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("this program has a fault: %v; please report it", r)
			p.log.Debug(string(debug.Stack()))
		}
	}()
	return p.run(ctx)
}

func (p *clientPair) run(ctx context.Context) error {
	store, a, err := p.open()
	if err != nil {
		return err
	}
	defer store.Close()
	alarm, err := agent.NewAlarm()
	if err != nil {
		return err
	}
	defer alarm.Close()
	hints, unwatch := p.d.watch(beginFor(store))
	defer unwatch()
	p.active.set(a)
	defer p.active.set(nil)
	return a.Run(ctx, alarm, hints)
}

// open takes hold of the pair and builds its agent.
func (p *clientPair) open() (agent.Store, *agent.Agent, error) {
	// Each pair has users and a group of its own, who may enter and see nothing.
	above := filepath.Dir(p.pair.Pair.Dir)
	if err := errors.Join(disk.MakeDir(above), os.Chmod(above, 0o711)); err != nil {
		return nil, nil, fmt.Errorf("directory of the pairs: %w", err)
	}
	store, err := pair.Open(p.pair.Pair)
	if err != nil {
		return nil, nil, err
	}
	o, err := p.d.options(p.c, p.pair.Name)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	o.Store, o.Names, o.Client, o.Instance = store, p.pair.Names, usage(p.pair.Usages), p.pair.Name
	o.Log, o.Board, o.Tally = p.log, p.board, p.d.pairs.tally(p.pair.Name)
	o.Successor = true
	o.Attempts, o.RootsBook = attempts(p.c, p.pair.Pair.Dir), rootsBook(p.pair.Pair.Dir)
	o.Servers = []agent.Server{{Name: p.pair.Name, Redis: p.change(store), NoServer: true}}
	return store, agent.New(o), nil
}

// prefixed puts a text before each message.
type prefixed struct {
	slog.Handler
	prefix string
}

func (h prefixed) Handle(ctx context.Context, r slog.Record) error {
	r.Message = h.prefix + r.Message
	return h.Handler.Handle(ctx, r)
}

func (h prefixed) WithAttrs(attrs []slog.Attr) slog.Handler {
	return prefixed{h.Handler.WithAttrs(attrs), h.prefix}
}

func (h prefixed) WithGroup(name string) slog.Handler {
	return prefixed{h.Handler.WithGroup(name), h.prefix}
}
