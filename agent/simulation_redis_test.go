package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload"
)

// A simRedis loads what is on disk when it starts and when it is told to, and fails as
// it is told.
type simRedis struct {
	resource
	s    *simulation
	name string
	rand *rand.Rand

	serves *cert.Pair       // in memory; nil while it does not run
	usable cert.Fingerprint // the leaf that a brittle one can shake hands with

	judged cert.Fingerprint // the leaf that it was told to load, and refused or cannot use
	spoilt bool             // a reload took it from its clients, and nothing gave it back

	unseen bool // it was restarted, and nobody can know that it can use the newest pair now

	// Faults, under s.mu.
	down     bool
	frozen   bool  // takes connections and never answers
	says     error // to CONFIG SET instead of OK
	lies     bool  // says OK and loads nothing
	brittle  bool  // cannot shake hands with any other pair than that of now
	foreseen bool  // and its settings tell that before it is tried
	vague    bool  // breaks the connection before it has answered
	panics   bool  // sends what no program copes with
}

func newSimRedis(s *simulation, i int) *simRedis {
	return &simRedis{s: s, name: fmt.Sprintf("127.0.0.1:%d", 6379+i), rand: s.stream(uint64(200 + i))}
}

// start starts it as its supervisor does: again and again until it runs.
func (r *simRedis) start() {
	if r.down || r.s.ended || r.serves != nil {
		return
	}
	if err := r.read(); err != nil {
		if r.s.filesWell() {
			r.s.fail("%s does not start: %v", r.name, err)
		}
		r.mark(+1)
		time.AfterFunc(10*time.Second+r.s.latency(r.rand), func() {
			r.s.mu.Lock()
			defer r.s.mu.Unlock()
			r.mark(-1)
			r.start()
		})
		return
	}
	r.s.note("%s started with %s", r.name, cert.Serial(r.serves.Leaf()))
}

// stop ends its process.
func (r *simRedis) stop() { r.serves, r.spoilt, r.judged = nil, false, cert.Fingerprint{} }

func (r *simRedis) read() error {
	p, err := r.s.readPair()
	if err == nil {
		r.serves = p
	}
	return err
}

func (r *simRedis) fingerprint() cert.Fingerprint {
	if r.serves == nil {
		return cert.Fingerprint{}
	}
	return r.serves.Fingerprint()
}

// unseen says that a server was restarted unseen.
func (s *simulation) unseen() bool {
	return slices.ContainsFunc(s.redis, func(r *simRedis) bool { return r.unseen })
}

// broken says that no client can shake hands.
func (r *simRedis) broken() bool {
	return r.brittle && r.fingerprint() != r.usable
}

// connect lets time pass, and fails as a connection does.
func (r *simRedis) connect(ctx context.Context) error {
	r.s.mu.Lock()
	wait := r.s.latency(r.rand)
	if r.frozen && r.serves != nil {
		wait += 5 * time.Second
	}
	r.s.mu.Unlock()
	if err := sleep(ctx, wait); err != nil {
		return err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	switch {
	case r.serves == nil:
		return errors.Join(reload.ErrUnreachable, syscall.ECONNREFUSED)
	case r.frozen:
		return errors.Join(reload.ErrUnreachable, os.ErrDeadlineExceeded)
	case r.broken():
		return errNoHandshake
	}
	return nil
}

func (r *simRedis) Served(ctx context.Context, _ reload.Trust) (reload.Served, error) {
	if err := r.connect(ctx); err != nil {
		return reload.Served{}, err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.serves == nil {
		return reload.Served{}, reload.ErrUnreachable
	}
	return reload.Served{Chain: r.serves.Chain}, nil
}

func (r *simRedis) Reload(ctx context.Context, t reload.Trust, l reload.Load) (reload.Reloaded, error) {
	if err := r.login(ctx, t); err != nil {
		return reload.Reloaded{}, err
	}
	r.s.mu.Lock()
	unfit := r.brittle && r.foreseen && l.Pair != nil && l.Pair.Fingerprint() != r.usable
	r.s.mu.Unlock()
	if unfit {
		return reload.Reloaded{}, errors.Join(reload.ErrRefused, reload.ErrUnfit)
	}
	if l.Ready != nil {
		if err := l.Ready(reload.Settings{}); err != nil {
			return reload.Reloaded{}, err
		}
	}
	if err := r.configSet(); err != nil {
		return reload.Reloaded{}, err
	}
	return reload.Reloaded{Again: func(context.Context) error { return r.configSet() }}, nil
}

// login connects, and talks to no peer that the agent cannot recognise.
func (r *simRedis) login(ctx context.Context, t reload.Trust) error {
	if err := r.connect(ctx); err != nil {
		return err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	switch {
	case r.serves == nil:
		return reload.ErrUnreachable
	case r.panics:
		panic("makeslice: len out of range")
	case !t.Known(r.serves.Leaf()) && verify(r.serves, t, t.Now()) != nil &&
		verify(r.serves, t, within(r.serves.Chain, t.Now())) != nil:
		return reload.ErrUnrecognised
	}
	return nil
}

func (r *simRedis) configSet() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	switch {
	case r.serves == nil:
		return reload.ErrUnreachable
	case r.says != nil:
		if p, err := r.s.readPair(); err == nil && errors.Is(r.says, reload.ErrRefused) {
			r.judged = p.Fingerprint()
		}
		return r.says
	case r.lies:
		return nil
	case r.vague:
		if r.rand.IntN(2) == 0 {
			_ = r.read()
		}
		return errors.Join(reload.ErrUnreachable, reload.ErrUncertain)
	}
	r.s.census.loads.Add(1)
	if err := r.read(); err != nil {
		return errors.Join(reload.ErrRefused, err)
	}
	if r.spoilt = r.broken(); r.spoilt {
		r.judged = r.fingerprint()
	}
	r.s.note("%s loaded %s", r.name, cert.Serial(r.serves.Leaf()))
	return nil
}

func (r *simRedis) Prove(ctx context.Context, t reload.Trust, leaf *x509.Certificate) error {
	if err := r.connect(ctx); err != nil {
		return err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	switch {
	case r.serves == nil:
		return reload.ErrUnreachable
	case !r.serves.Leaf().Equal(leaf):
		return errors.Join(reload.ErrRefused, reload.ErrOtherLeaf)
	}
	if err := verify(r.serves, t, t.Now()); err != nil {
		return errors.Join(reload.ErrRefused, err)
	}
	return nil
}

func (r *simRedis) Settings(ctx context.Context, t reload.Trust) (reload.Settings, error) {
	if err := r.login(ctx, t); err != nil {
		return reload.Settings{}, err
	}
	return reload.Settings{Cert: r.s.certPath(), ClientAuth: true}, nil
}

// verify does what package reload does with a chain.
func verify(p *cert.Pair, t reload.Trust, at time.Time) error {
	if t.Roots == nil {
		return errors.New("no roots")
	}
	return cert.Need{Names: t.Names, Roots: t.Roots}.Check(p, at)
}
