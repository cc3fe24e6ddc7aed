package agent

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The simulation runs the whole loop for years of virtual time while everything around
// it fails as a seed says. Each seed is one agent: how long its certificates last, how
// many authorities and servers it has, whether an existing redis.conf names its files,
// and what happens to it and when. The same seed gives the same life:
//
//	make simulate                   # 100,000 agent-days under a new seed, which is printed
//	make simulate SEED=17           # the life of agent 17, told line by line
//	make simulate SEED=17 DAYS=500  # agents 17, 18, … until they have lived 500 days
//
// What is real: the agent with its plan and its gate, the pair on disk (package pair),
// certificates and their verification. What stands in: authorities, redis-servers, the
// clock's synchronisation, the operator, other programs that write to the files, and a
// disk that is full, cannot be read, or fails in the middle of a step.
//
// At the end of each round of the loop, after each change on disk, and at each tick of
// the simulation, these are checked (simulation_check_test.go):
//
//   - certificate and key that a redis-server would read match, unless another program
//     has just seen to it that they do not;
//   - a client that trusts the authorities is never refused while an authority, the
//     server, the disk and the clock have been well for some minutes;
//   - a pair is renewed when it is due, and every server shows the newest one;
//   - no certificate is issued without a need, an authority that is down or that sent
//     Retry-After is not asked more often than the plan promises, and the loop does not
//     spin;
//   - Status.Problems is empty some time after the last fault ended, and `renew` says so;
//   - generations, copies in found, goroutines and what the Tally keeps stay few.
//
// What is not checked here: steps of the clock, since the clock of a bubble cannot be set
// (agent_test.go runs on the clock of the kernel, and plan_test.go sets its own); SIGKILL
// inside an operation on the disk (pair/kill_test.go); inotify, in whose place the
// simulation sends hints; TLS, the wire to Redis and to the authorities, and everything
// above the loop, which the tests of reload, agent/ca and cmd run against the real ones.

var (
	simulateSeed = flag.Uint64("seed", 1, "the first seed of TestSimulation; 0: a new one")
	simulateDays = flag.Float64("days", 1000, "how many agent-days TestSimulation runs; 0: one agent, told line by line")
	simulateOnly = flag.String("only", "", "a regular expression: of the faults in simFaults, only those whose names match")
)

func TestSimulation(t *testing.T) {
	seed, budget := *simulateSeed, *simulateDays
	if seed == 0 {
		seed = 1 + rand.Uint64N(1<<32)
	}
	if underRace {
		budget /= 10
	}
	t.Logf("seed %d", seed)
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	var next, failures atomic.Uint64
	var lived census
	start := time.Now()
	t.Run("agents", func(t *testing.T) {
		workers := runtime.GOMAXPROCS(0)
		if budget == 0 {
			workers = 1
		}
		for w := range workers {
			t.Run(fmt.Sprint(w), func(t *testing.T) {
				t.Parallel()
				dir := fastDir(t)
				for more := true; more && failures.Load() < maxFailures; more = lived.days() < budget {
					if !live(t, seed+next.Add(1)-1, dir, &lived) {
						failures.Add(1)
					}
				}
			})
		}
	})
	t.Logf("in %s, %s", time.Since(start).Round(time.Millisecond), &lived)
}

// maxFailures is how many agents may fail until it is enough.
const maxFailures = 5

// live runs the agent of one seed in a bubble of its own, and says whether nothing failed.
func live(t *testing.T, seed uint64, dir string, lived *census) (well bool) {
	dir = filepath.Join(dir, fmt.Sprint(seed))
	defer os.RemoveAll(dir)
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, seed, dir)
		defer s.tellIfFailed()
		s.live()
		lived.add(s.census)
		well = !t.Failed()
	})
	return well
}

// TestSimulationReplays: a seed that found something finds it again.
func TestSimulationReplays(t *testing.T) {
	dir := fastDir(t)
	for seed := range uint64(2) {
		var told [2][]string
		for i := range told {
			synctest.Test(t, func(t *testing.T) {
				s := newSimulation(t, seed, filepath.Join(dir, fmt.Sprint(seed, i)))
				defer s.tellIfFailed()
				s.trace.whole = true
				s.live()
				told[i] = s.trace.lines
			})
		}
		for n := range min(len(told[0]), len(told[1])) {
			// What happens at the same instant of a bubble may end a millisecond apart.
			if told[0][n][len(traceTime):] != told[1][n][len(traceTime):] {
				t.Errorf("seed %d tells two stories, from line %d on:\n%s\n%s", seed, n, told[0][n], told[1][n])
				break
			}
		}
	}
}

// fastDir returns a directory in memory, where the host has such a file system: what
// fsync(2) promises is the concern of package pair.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "redis-cert-agent-simulation-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A census counts what agents have lived through.
type census struct {
	agents, faults, rounds, issued, requests, loads atomic.Int64
	time                                            atomic.Int64 // nanoseconds

	mu    sync.Mutex
	kinds map[string]int // of faults
}

// fault counts one of a kind.
func (c *census) fault(kind string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kinds == nil {
		c.kinds = map[string]int{}
	}
	c.kinds[kind] += n
	c.faults.Add(int64(n))
}

func (c *census) days() float64 { return time.Duration(c.time.Load()).Hours() / 24 }

func (c *census) add(o *census) {
	c.agents.Add(1)
	for kind, n := range o.kinds {
		c.fault(kind, n)
	}
	c.rounds.Add(o.rounds.Load())
	c.issued.Add(o.issued.Load())
	c.requests.Add(o.requests.Load())
	c.loads.Add(o.loads.Load())
	c.time.Add(o.time.Load())
}

func (c *census) String() string {
	var kinds strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(c.kinds)) {
		fmt.Fprintf(&kinds, "\n%5d  %s", c.kinds[kind], kind)
	}
	return fmt.Sprintf("%.0f agent-days of %d agents: %d faults, %d rounds, %d certificates in %d requests, %d reloads%s",
		c.days(), c.agents.Load(), c.faults.Load(), c.rounds.Load(), c.issued.Load(), c.requests.Load(), c.loads.Load(), &kinds)
}
