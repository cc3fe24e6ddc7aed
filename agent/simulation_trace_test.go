package agent

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// A simAlarm wakes the loop, which sets it at the end of each round.
type simAlarm struct {
	bubbleAlarm
	s *simulation
}

func newSimAlarm(s *simulation) *simAlarm { return &simAlarm{*newBubbleAlarm(), s} }

func (a *simAlarm) Set(t time.Time) error {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.s.census.rounds.Add(1)
	a.s.checkPair("at the end of a round")
	a.s.checkTakenBack()
	return a.bubbleAlarm.Set(t)
}

// A simTrace keeps what happened last.
type simTrace struct {
	mu    sync.Mutex
	lines []string
	whole bool // keep all
	told  bool // print each line
	dir   string
}

const traceLength = 150

const traceTime = "2006-01-02 15:04:05.000 " // begins each line

// Write takes a line of the agent's log.
func (s *simulation) Write(line []byte) (int, error) {
	s.note("    %s", strings.TrimSpace(string(line)))
	return len(line), nil
}

func (s *simulation) note(format string, args ...any) {
	tr := &s.trace
	tr.mu.Lock()
	defer tr.mu.Unlock()
	line := time.Now().UTC().Format(traceTime) + strings.ReplaceAll(fmt.Sprintf(format, args...), tr.dir, "…")
	if tr.lines = append(tr.lines, line); len(tr.lines) > 2*traceLength && !tr.whole {
		tr.lines = slices.Delete(tr.lines, 0, traceLength)
	}
	if tr.told {
		fmt.Println(line)
	}
}

func messageOnly(_ []string, a slog.Attr) slog.Attr {
	if a.Key != slog.MessageKey {
		return slog.Attr{}
	}
	return a
}

func (s *simulation) must(err error) {
	if err != nil {
		s.fail("%v", err)
	}
}

func (s *simulation) fail(format string, args ...any) {
	s.note("FAILED: "+format, args...)
	s.t.Errorf("%s: "+format, append([]any{time.Now().UTC().Format("2006-01-02 15:04:05")}, args...)...)
}

// tellIfFailed prints what happened last.
func (s *simulation) tellIfFailed() {
	if s.t.Failed() {
		s.t.Logf("make simulate SEED=%d replays this; it ended so:\n%s", s.seed, strings.Join(s.trace.lines, "\n"))
	}
}
