package agent

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/status"
)

// A simulation is the life of one agent. What its goroutines share is under mu, which
// nobody holds while time passes.
type simulation struct {
	t    *testing.T
	seed uint64
	rand *rand.Rand     // of the operator, the faults, and other programs
	only *regexp.Regexp // of simFaults
	life time.Duration
	dir  string
	opt  simOptions

	mu                    sync.Mutex
	cas                   []*simCA
	redis                 []*simRedis
	disk                  diskState
	clock, files, process resource

	agent  *Agent
	store  *simDisk
	tally  *Tally
	board  *status.Board
	alarm  *simAlarm
	cancel context.CancelFunc
	done   chan error
	hints  chan struct{}
	asking sync.WaitGroup // people who wait for an answer
	killed chan struct{}
	killIn int        // the process is killed before that many more operations on the disk
	events []simEvent // by time
	ended  bool

	simRecord
	trace  simTrace
	census *census
}

// simOptions is the configuration of the agent.
type simOptions struct {
	attempts  bool // failed attempts are kept in a file, as with ACME
	paths     bool // redis.conf names files of its own
	keep      int  // previous generations that stay
	lookEvery time.Duration
	names     []string
	key       cert.KeyType
}

// A resource is something that can fail, and since when it does not.
type resource struct {
	faults int
	since  time.Time
}

// mark begins a fault (+1), ends one (-1), or notes one that is over at once (0).
func (r *resource) mark(faults int) { r.faults, r.since = r.faults+faults, time.Now() }

// well is how long there has been no fault.
func (r *resource) well() time.Duration {
	if r.faults > 0 {
		return 0
	}
	return time.Since(r.since)
}

// resources are all that can fail.
func (s *simulation) resources() []*resource {
	all := []*resource{&s.process, &s.files, &s.disk.resource, &s.clock}
	for _, c := range s.cas {
		all = append(all, &c.resource)
	}
	for _, r := range s.redis {
		all = append(all, &r.resource)
	}
	return all
}

type simEvent struct {
	at time.Time
	do func()
}

func newSimulation(t *testing.T, seed uint64, dir string) *simulation {
	s := &simulation{t: t, seed: seed, dir: dir, tally: new(Tally), board: new(status.Board), hints: make(chan struct{}, 1), killed: make(chan struct{}, 1), census: new(census)}
	s.trace = simTrace{dir: dir, told: *simulateDays == 0}
	s.rand, s.only = s.stream(0), regexp.MustCompile(*simulateOnly)
	const day = 24 * time.Hour
	s.life = pick(s.rand, time.Hour, day, day, 7*day, 7*day, 30*day, 30*day, 90*day, 90*day, 90*day)
	s.opt = simOptions{attempts: s.rand.IntN(3) == 0, paths: s.rand.IntN(2) == 0, keep: pick(s.rand, 0, 1, 1, 3), key: cert.P256, names: []string{"redis.internal", "127.0.0.1"}}
	if s.rand.IntN(4) == 0 {
		s.opt.lookEvery = s.life / 50
	}
	s.must(os.MkdirAll(filepath.Join(dir, "etc"), 0o755))
	for i := range 1 + s.rand.IntN(3) {
		s.cas = append(s.cas, newSimCA(s, i))
	}
	for i := range 1 + s.rand.IntN(4) {
		s.redis = append(s.redis, newSimRedis(s, i))
	}
	for _, r := range s.resources() {
		r.mark(0)
	}
	s.renewals.since = time.Now().AddDate(-1, 0, 0) // none has been refused
	return s
}

// stream returns random numbers of one of those that act at the same time, so that who
// comes first changes nothing.
func (s *simulation) stream(i uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, i)) }

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// between returns a time from low to high, as often in each order of magnitude.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return time.Duration(float64(low) * math.Exp(r.Float64()*math.Log(float64(high)/float64(low))))
}

// latency is how long something takes that works.
func (s *simulation) latency(r *rand.Rand) time.Duration {
	return between(r, 10*time.Microsecond, 100*time.Millisecond)
}

// live is the whole life: incidents, with quiet times between them.
func (s *simulation) live() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note("certificates of %s, %d authorities, %d servers, %+v", s.life, len(s.cas), len(s.redis), s.opt)
	start := time.Now()
	s.startAgent(false)
	for _, r := range s.redis {
		r.start()
	}
	for range 8 {
		if s.t.Failed() {
			break
		}
		s.incident()
		s.run()
		s.calm()
	}
	s.ended = true
	s.stopAgent()
	s.census.time.Add(int64(time.Since(start)))
	s.mu.Unlock()
	s.asking.Wait()
	s.mu.Lock()
}

// run lets time pass until nothing more is to happen.
func (s *simulation) run() {
	for len(s.events) > 0 && !s.t.Failed() {
		e := s.events[0]
		s.pass(e.at)
		s.events = slices.Delete(s.events, 0, 1)
		e.do()
	}
}

// calm lets time pass until nothing has failed for long, and then some more.
func (s *simulation) calm() {
	for n := 0; !s.t.Failed() && !s.allWell(s.patience()); n++ {
		if n > 5000 {
			s.fail("the simulation never comes to rest")
		}
		s.pass(time.Now().Add(s.patience() / 4))
		s.run()
	}
	s.note("--- all has been well")
	s.pass(time.Now().Add(time.Duration(s.rand.Int64N(int64(3 * s.life)))))
}

// after has something happen later.
func (s *simulation) after(d time.Duration, do func()) {
	e := simEvent{time.Now().Add(d), do}
	i, _ := slices.BinarySearchFunc(s.events, e, func(a, b simEvent) int { return a.at.Compare(b.at) })
	s.events = slices.Insert(s.events, i, e)
}

// pass lets time pass, with a look at everything whenever something could show.
func (s *simulation) pass(until time.Time) {
	for !s.t.Failed() {
		next := s.nextCheck()
		if next.After(until) {
			next = until
		}
		s.mu.Unlock()
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
			synctest.Wait()
			s.mu.Lock()
			s.check()
		case <-s.killed: // systemd runs it again
			time.Sleep(time.Second)
			s.mu.Lock()
			s.process.mark(-1)
			s.restart()
			continue
		}
		if !next.Before(until) {
			return
		}
	}
}

// startAgent begins a process, or, as a successor, its agent for another configuration.
func (s *simulation) startAgent(successor bool) {
	o := pair.Options{Dir: filepath.Join(s.dir, "pair"), UID: -1, GID: -1, Mode: 0o640, Keep: s.opt.keep}
	if p := s.paths(); s.opt.paths {
		o.Paths = pair.Paths{Cert: p[0], Key: p[1], CA: p[2]}
	}
	store, err := pair.Open(o)
	s.must(err)
	if !successor {
		s.tally, s.board = new(Tally), new(status.Board)
	}
	s.store = &simDisk{Store: store, s: s}
	s.agent = New(s.options(successor))
	s.process.mark(0)
	s.kept = nil
	s.forgive(s.opt.attempts)
	s.unrivalled()
	ctx, cancel := context.WithCancel(context.Background())
	s.alarm, s.cancel, s.done = newSimAlarm(s), cancel, make(chan error, 1)
	go func(a *Agent, done chan error) { done <- a.Run(ctx, s.alarm, s.hints) }(s.agent, s.done)
}

func (s *simulation) options(successor bool) Options {
	o := Options{
		Store: s.store, Names: s.opt.names, KeyType: s.opt.key, Policy: plan.DefaultPolicy(), LookEvery: s.opt.lookEvery,
		Warn: cert.Margin{Share: 0.25, Time: 21 * 24 * time.Hour}, Crit: cert.Margin{Share: 0.1, Time: 7 * 24 * time.Hour},
		Successor: successor, Tally: s.tally, Board: s.board, Clock: s.believe,
		Log: slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{ReplaceAttr: messageOnly})),
	}
	if s.opt.attempts {
		o.Attempts = filepath.Join(s.dir, "attempts.json")
	}
	for _, c := range s.cas {
		o.Authorities = append(o.Authorities, Authority{CA: status.CA{Kind: "step", URL: c.url}, Issuer: c})
	}
	for _, r := range s.redis {
		o.Servers = append(o.Servers, Server{Name: r.name, Redis: r})
	}
	return o
}

// stopAgent ends the process, whatever it is doing.
func (s *simulation) stopAgent() {
	if s.done == nil {
		return
	}
	s.cancel()
	s.mu.Unlock()
	err := <-s.done
	s.mu.Lock()
	s.done = nil
	s.must(err)
	s.alarm.timer.Stop()
	s.must(s.store.Close())
	s.killIn = 0
}

// believe is the Clock of the agent.
func (s *simulation) believe(now time.Time) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clock.faults > 0 {
		return now.Add(5 * time.Minute), fmt.Errorf("it is not synchronised yet")
	}
	return time.Time{}, nil
}

func (s *simulation) hint() {
	select {
	case s.hints <- struct{}{}:
	default:
	}
}
