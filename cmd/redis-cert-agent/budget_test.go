package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"redis-cert-agent/agent/control"
	"redis-cert-agent/reload/redistest"
)

// budgetFile says what a rotation may cost: one line for each count, with its limit
// and the reason. None of them depends on how fast the machine is.
const budgetFile = "testdata/budget"

// counts are what was counted of one rotation, by the names in budgetFile.
type counts map[string]int

// TestBudget counts what a rotation costs the kernel, the disk, Redis and the
// authority, and holds it against the budget. It is not parallel: the authority that
// tests share must count the requests of this agent alone.
func TestBudget(t *testing.T) {
	limits := readBudget(t)
	w := newWitness(t)
	const warm, counted = 2, 5
	all := map[string][]int{}
	for n := range warm + counted {
		for name, count := range w.rotate() {
			if n >= warm {
				all[name] = append(all[name], count)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		limit, ok := limits[name]
		got := median(all[name])
		if limit.least < limit.most {
			got = slices.Min(all[name]) // the rest is what a busy machine adds now and then
		}
		delete(limits, name)
		switch {
		case !ok:
			t.Errorf("%s has no line for %q: a rotation takes %d", budgetFile, name, got)
		case got > limit.most:
			t.Errorf("a rotation takes %d %s %v, more than %d: %s", got, name, all[name], limit.most, limit.why)
		case got < limit.least:
			t.Errorf("a rotation takes %d %s %v, fewer than %d: lower the limit, so that it stays so", got, name, all[name], limit.least)
		default:
			t.Logf("%6d of %6d %s", got, limit.most, name)
		}
	}
	for name := range limits {
		t.Errorf("%s limits %q, which nobody counts", budgetFile, name)
	}
	if t.Failed() {
		t.Logf("what the agent asked of the kernel in the last rotation:\n%s", w.profile)
	}
}

func median(of []int) int {
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}

// A limit is one line of the budget. Counts that cannot differ from run to run have a
// least that is the most.
type limit struct {
	least, most int
	why         string
}

// readBudget reads lines like "fsyncs = 9 reason" and "opens <= 60 reason".
func readBudget(t *testing.T) map[string]limit {
	text, err := os.ReadFile(budgetFile)
	if err != nil {
		t.Fatal(err)
	}
	limits := map[string]limit{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := regexp.MustCompile(`^(.+?)\s+(=|<=)\s+(\d+)\s{2,}(\S.*)$`).FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("%s: want `count = 7  reason` or `count <= 7  reason`: %s", budgetFile, line)
		}
		most, _ := strconv.Atoi(m[3])
		l := limit{most: most, why: m[4]}
		if m[2] == "=" {
			l.least = most
		} else {
			l.least = most / 3
		}
		limits[m[1]] = l
	}
	return limits
}

// A witness runs the agent as it is released, under strace, with a Redis.
type witness struct {
	*host
	traced  string   // what strace writes, not where the agent watches its directory
	trace   *os.File // the same
	text    []byte   // what was read of it since the last rotation
	client  *redis.Client
	control *control.Client
	metrics string
	profile string // the system calls of the last rotation
}

func newWitness(t *testing.T) *witness {
	s := newPlainHost(t, "budget.internal")
	w := &witness{host: s, traced: filepath.Join(t.TempDir(), "strace"),
		control: control.Dial(s.path("control.sock")), metrics: reserve(t)}
	config, err := os.ReadFile(s.path("agent.yaml"))
	s.must(err)
	s.must(os.WriteFile(s.path("agent.yaml"), fmt.Appendf(config, "metrics: {listen: %q}\n", w.metrics), 0o600))
	s.must(w.startTraced(releasedBinary(t)))
	s.must(s.until("a pair", func() bool { return s.pairOnDisk() == nil }))
	files := redistest.Files{Cert: s.path("pair/current/redis.crt"), Key: s.path("pair/current/redis.key"), CA: s.path("pair/current/ca.crt")}
	s.redis = redistest.Start(t, redistest.Options{Addr: s.addr, Password: secret, Files: files})
	w.trace, err = os.Open(w.traced)
	s.must(err)
	t.Cleanup(func() { w.trace.Close() })
	w.client = redis.NewClient(&redis.Options{Addr: s.addr, Password: secret, MaxRetries: -1, PoolSize: 1, Dialer: s.dialRedis})
	t.Cleanup(func() { w.client.Close() })
	_, err = w.control.Renew(t.Context(), false)
	s.must(err)
	return w
}

// startTraced starts the agent below strace, which passes a SIGTERM on.
func (w *witness) startTraced(binary string) error {
	log, err := os.Create(w.path("agent.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	p := &process{done: make(chan struct{})}
	p.cmd = exec.Command("strace", "-f", "-I", "2", "-qq", "-s", "0", "-e", "signal=none", "-o", w.traced, binary, "run", "--config", "agent.yaml")
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = w.dir, log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("%w: install it (apt install strace, dnf install strace)", err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // ProcessState tells
	}()
	w.agent = p
	w.t.Cleanup(func() {
		_ = p.signal(syscall.SIGTERM) // it may have ended
		<-p.done
		w.agent = nil
	})
	return nil
}

// rotate has the agent rotate and returns what that cost, up to the history that is
// written a second later.
func (w *witness) rotate() counts {
	w.t.Helper()
	requests, commands, allocated := w.ca.requests(), w.commands(), w.allocated()
	w.calls() // those of the scrape do not count
	_, err := w.control.Renew(w.t.Context(), true)
	w.must(err)
	w.must(w.until("the history on disk", func() bool { w.readTrace(); return historyWritten.Match(w.text) }))
	c := w.calls()
	once := w.allocated()
	scrape := w.allocated() - once
	c["allocations"] = once - allocated - scrape
	c["requests to the CA"] = w.ca.requests() - requests
	for name, n := range w.commands() {
		if n -= commands[name]; name == "config|set" {
			c["CONFIG SET"] = n
		} else if name != "info" {
			c["other commands to redis"] += n
		} else {
			c["other commands to redis"] += n - 1 // this question
		}
	}
	return c
}

// historyWritten is the end of a rotation: the new history was renamed into place, and that
// is on disk.
var historyWritten = regexp.MustCompile(`(?s)\brename\w*\([^\n]*/history\.json".*\bfsync\b[^\n]* = 0\n`)

// readTrace reads what strace has written since the last time.
func (w *witness) readTrace() {
	text, err := io.ReadAll(w.trace)
	w.must(err)
	w.text = append(w.text, text...)
}

// commands returns how often each command was sent to Redis.
func (w *witness) commands() map[string]int {
	text, err := w.client.Info(w.t.Context(), "commandstats").Result()
	w.must(err)
	stats := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^cmdstat_(\S+?):calls=(\d+)`).FindAllStringSubmatch(text, -1) {
		stats[m[1]], _ = strconv.Atoi(m[2])
	}
	return stats
}

// allocated returns the objects that the agent has allocated since its start.
func (w *witness) allocated() int {
	ctx, cancel := context.WithTimeout(w.t.Context(), waitLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.metrics+"/metrics", nil)
	w.must(err)
	resp, err := http.DefaultClient.Do(req)
	w.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	w.must(err)
	m := regexp.MustCompile(`(?m)^go_memstats_mallocs_total (\S+)$`).FindSubmatch(body)
	if m == nil {
		w.t.Fatalf("no go_memstats_mallocs_total in %s", body)
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	w.must(err)
	return int(n)
}

// scheduling are the calls by which the Go runtime runs goroutines and collects
// garbage. How many there are is a matter of time.
var scheduling = []string{
	"futex", "epoll_wait", "epoll_pwait", "nanosleep", "clock_nanosleep", "sched_yield", "madvise", "mmap", "munmap", "mprotect", "prctl",
	"clone", "clone3", "gettid", "getpid", "tgkill", "sigaltstack", "rt_sigprocmask", "rt_sigreturn", "rt_sigaction", "restart_syscall",
	"rseq", "set_robust_list", "timer_create", "timer_settime", "timer_delete", "set_tid_address", "exit",
}

var callOf = regexp.MustCompile(`^\d+ +([a-z_0-9]+)\((.*)`)

// calls counts the system calls since the last time.
func (w *witness) calls() counts {
	w.readTrace()
	text := w.text
	w.text = nil
	_, redisPort, _ := net.SplitHostPort(w.addr)
	_, caPort, _ := net.SplitHostPort(w.caRelay.Addr)
	c := counts{"connections to redis": 0, "connections to the CA": 0}
	names := map[string]int{}
	for line := range strings.Lines(string(text)) {
		m := callOf.FindStringSubmatch(line)
		if m == nil || slices.Contains(scheduling, m[1]) {
			continue // the rest of a call, or none that counts
		}
		name := m[1]
		names[name]++
		c["system calls"]++
		switch {
		case name == "openat":
			c["opens"]++
		case name == "fsync", name == "fdatasync":
			c["fsyncs"]++
		case strings.HasPrefix(name, "rename"):
			c["renames"]++
		case name == "connect" && strings.Contains(m[2], "htons("+redisPort+")"):
			c["connections to redis"]++
		case name == "connect" && strings.Contains(m[2], "htons("+caPort+")"):
			c["connections to the CA"]++
		}
	}
	w.profile = ""
	for _, name := range slices.Sorted(maps.Keys(names)) {
		w.profile += fmt.Sprintf("%6d %s\n", names[name], name)
	}
	return c
}
