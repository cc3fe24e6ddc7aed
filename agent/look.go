package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"redis-cert-agent/agent/pair"
	"redis-cert-agent/reload"
)

// An observation is what one look saw on disk, and what follows from it alone.
type observation struct {
	now  time.Time
	disk pair.State
	err  error // why the disk could not be read

	newest  *pair.Generation // the newest sound pair; nil when there is none
	unfit   error            // why newest does not satisfy the configuration
	adopt   bool             // disk.Foreign is good and newer
	files   *pair.Generation // what another program put there, with a pair.External
	settle  time.Time        // until when another program may not have finished with its files
	clock   error            // why the time cannot be believed
	recheck time.Time        // when to look at the clock again

	added, left []*x509.Certificate // roots that are to join the bundle of the newest pair, and to leave it
}

// look reads the disk and the clock. It changes nothing, and asks nobody.
func (a *Agent) look() observation {
	seen := observation{now: now()}
	seen.disk, seen.err = a.opt.Store.Load()
	if seen.err != nil {
		return seen
	}
	if seen.err = a.unread(seen); seen.err != nil {
		return seen
	}
	for _, g := range seen.disk.All {
		if g.Sound() {
			seen.newest = g
		}
	}
	if a.external != nil {
		a.lookExternal(&seen)
	} else if seen.newest != nil {
		seen.unfit = a.fits(seen)
	}
	seen.recheck, seen.clock = a.clock(seen)
	return seen
}

// patience is how long a pair that cannot be read now is not held to be broken.
const patience = 5 * time.Minute

// unread returns why the newest pair, or the current one, could not be read now: that is
// tried again before another certificate is asked for. After a while it is as good as
// broken, since the disk may never give it back.
func (a *Agent) unread(seen observation) error {
	all := seen.disk.All
	for i, g := range all {
		if i < len(all)-1 && g != seen.disk.Current || !pair.Unread(g.Err) {
			continue
		}
		if a.process.unread.IsZero() {
			a.process.unread = seen.now
		}
		if seen.now.Sub(a.process.unread).Abs() < patience {
			return g.Err
		}
		return nil
	}
	a.process.unread = time.Time{}
	return nil
}

// notice takes note of what a look saw: what was remembered of a pair that is not the
// newest any more is forgotten, and what another program put there is judged.
func (a *Agent) notice(ctx context.Context, seen *observation) {
	if seen.err != nil {
		return
	}
	if g := seen.newest; g != nil && g.Pair.Fingerprint() != a.newest.leaf {
		a.forget(g.Pair.Fingerprint())
	}
	if !a.process.looked && a.opt.Attempts != "" && !a.opt.Successor {
		a.recall()
	}
	a.process.looked = true
	if a.external != nil {
		a.noticeExternal(ctx, seen)
		return
	}
	a.watchRival(ctx, *seen)
	a.judgeForeign(ctx, seen)
	a.noticeRoots(ctx, seen)
}

// handshakes asks every server what it shows, all at the same time, and proves those
// that show the newest leaf although this process has not made them: they started after
// the pair was written, or the agent did. What a server has shown in this round still
// holds, unless something was done to it since.
func (a *Agent) handshakes(ctx context.Context, seen observation) {
	trust := a.trust(seen)
	shown, proven := make([][]*x509.Certificate, len(a.servers)), make([]bool, len(a.servers))
	work := func(i int) error {
		s, leaf := a.opt.Servers[i], a.servers[i].leaf()
		if !a.servers[i].fresh {
			served, err := s.Served(ctx, trust)
			if err != nil || len(served.Chain) == 0 {
				return err
			}
			shown[i], leaf = served.Chain, served.Chain[0]
		}
		if seen.newest != nil && leaf != nil && !a.newest.servers[i].proven && seen.newest.Pair.Leaf().Equal(leaf) {
			proven[i] = s.Prove(ctx, trust, leaf) == nil
		}
		return nil
	}
	a.sideBySide(a.all(), work, func(i int, err error) {
		if ctx.Err() != nil {
			return // what a handshake showed that was broken off says nothing
		}
		if s := &a.servers[i]; !s.fresh {
			s.shown, s.seen, s.fresh = shown[i], true, true
			s.answers = errors.Is(err, reload.ErrRefused)
			if s.shown == nil { // it may come back with other settings, and other files
				a.newest.servers[i].undone, a.newest.servers[i].proven = false, false
				s.inspected = time.Time{}
			}
		}
		if proven[i] {
			a.process.prune = true
			behind := a.newest.servers[i].behind // a handshake does not show CA certificates
			a.succeed(ctx, seen, i)
			a.newest.servers[i].behind = behind
		}
	})
}

// sideBySide does work for servers at the same time, so that one that hangs costs the
// others nothing. Each(i, err) is called in the caller's goroutine as soon as the work for
// server i has ended; a panic is that server's error.
func (a *Agent) sideBySide(servers []int, work func(i int) error, each func(i int, err error)) {
	type result struct {
		i   int
		err error
	}
	results := make(chan result)
	for _, i := range servers {
		go func() { results <- result{i, a.guarded(i, work)} }()
	}
	ticks, stop := a.ticks()
	defer stop()
	for left := len(servers); left > 0; {
		select {
		case r := <-results:
			left--
			each(r.i, r.err)
		case <-ticks:
		}
		a.alive()
	}
}

// guarded turns a panic into an error: what a peer sends must not end the process.
func (a *Agent) guarded(i int, work func(i int) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: this program cannot cope with its answer: %v; please report it", a.opt.Servers[i].Name, p)
		}
	}()
	return work(i)
}

// all returns the indexes of all servers.
func (a *Agent) all() []int {
	list := make([]int, len(a.servers))
	for i := range list {
		list[i] = i
	}
	return list
}
