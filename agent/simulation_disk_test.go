package agent

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"syscall"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
)

// A simDisk is the real pair on disk, each step of which can fail, or be the last of the
// process.
type simDisk struct {
	*pair.Store
	s    *simulation
	dead bool // the process was killed: nothing reaches the disk any more

	loaded simLoad
}

// A simLoad is what was read last. Most looks find the disk as it was; to read it anew
// each time would take half of the simulation.
type simLoad struct {
	state   pair.State
	changes int64 // before that
	times   int   // that it is still believed
}

// diskState is what ails the disk, under s.mu.
type diskState struct {
	resource
	full   bool // no new pair fits
	sick   bool // nothing can be written
	unread bool // nothing can be read
}

// step is called before each operation. It says why that fails.
func (d *simDisk) step(op string, fails func(*diskState) bool) error {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if d.s.killIn--; d.s.killIn == 0 && !d.dead {
		d.s.note("killed before %s", op)
		d.dead = true
		d.s.process.mark(+1)
		d.s.cancel()
		d.s.killed <- struct{}{}
	}
	switch {
	case d.dead:
		return context.Canceled
	case fails(&d.s.disk) && d.s.disk.full:
		return &os.PathError{Op: op, Path: "pair", Err: syscall.ENOSPC}
	case fails(&d.s.disk):
		return &os.PathError{Op: op, Path: "pair", Err: syscall.EIO}
	}
	return nil
}

// done holds the files against each other after an operation.
func (d *simDisk) done(op string, err error) error {
	d.s.changes.Add(1)
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	d.s.checkPair("after " + op)
	return err
}

func writes(d *diskState) bool  { return d.full || d.sick }
func renames(d *diskState) bool { return d.sick }

func (d *simDisk) Load() (pair.State, error) {
	if err := d.step("load", func(d *diskState) bool { return d.unread }); err != nil {
		return pair.State{}, err
	}
	d.s.checkSpin()
	if c := &d.loaded; c.changes == d.s.changes.Load() && c.times > 0 {
		c.times--
		return c.state, nil
	}
	changes := d.s.changes.Load()
	state, err := d.Store.Load()
	if d.loaded = (simLoad{state, changes, 200}); err != nil {
		d.loaded.times = 0
	}
	return state, err
}

func (d *simDisk) Put(p *cert.Pair, o pair.Origin) (*pair.Generation, error) {
	if err := d.step("put", writes); err != nil {
		return nil, err
	}
	g, err := d.Store.Put(p, o)
	if err == nil {
		d.s.arrived(p, false)
	}
	return g, d.done("put", err)
}

func (d *simDisk) Adopt(f *pair.Foreign, o pair.Origin) (*pair.Generation, error) {
	if err := d.step("adopt", writes); err != nil {
		return nil, err
	}
	g, err := d.Store.Adopt(f, o)
	if err == nil {
		d.s.arrived(g.Pair, true)
	}
	return g, d.done("adopt", err)
}

func (d *simDisk) Switch(id int) error {
	if err := d.step("switch", renames); err != nil {
		return err
	}
	return d.done("switch", d.Store.Switch(id))
}

func (d *simDisk) Link(seen pair.State) error {
	if err := d.step("link", renames); err != nil {
		return err
	}
	return d.done("link", d.Store.Link(seen))
}

func (d *simDisk) Remember() error {
	if err := d.step("remember", writes); err != nil {
		return err
	}
	return d.Store.Remember() // which is nothing that Load or a redis-server reads
}

func (d *simDisk) Prune(keep ...int) error {
	if err := d.step("prune", renames); err != nil {
		return err
	}
	return d.done("prune", d.Store.Prune(keep...))
}

// paths are the files that redis.conf names.
func (s *simulation) paths() [3]string {
	dir := filepath.Join(s.dir, "pair", "current")
	if s.opt.paths {
		dir = filepath.Join(s.dir, "etc")
	}
	return [3]string{filepath.Join(dir, "redis.crt"), filepath.Join(dir, "redis.key"), filepath.Join(dir, "ca.crt")}
}

func (s *simulation) certPath() string { return s.paths()[0] }

// readPair reads what a redis-server that starts now reads.
func (s *simulation) readPair() (*cert.Pair, error) {
	if s.lastRead.pair != nil && s.lastRead.changes == s.changes.Load() {
		return s.lastRead.pair, nil
	}
	var texts [3][]byte
	changes := s.changes.Load()
	for i, path := range s.paths() {
		var err error
		if texts[i], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	if last := &s.lastRead; last.pair != nil && bytes.Equal(texts[0], last.texts[0]) && bytes.Equal(texts[1], last.texts[1]) && bytes.Equal(texts[2], last.texts[2]) {
		last.changes = changes
		return last.pair, nil
	}
	p, err := cert.Parse(texts[0], texts[1], texts[2])
	if err == nil {
		s.lastRead.texts, s.lastRead.pair, s.lastRead.changes = texts, p, changes
	}
	return p, err
}
