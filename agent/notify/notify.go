package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/status"
)

// timeout bounds one message to one target, and one heartbeat.
const timeout = 10 * time.Second

// A Sender brings a message to a service or a program. An error says what
// happened and what to do, in one line and without any secret; a *Failure among
// its causes says when to try again. Send may be called from several goroutines.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// A Failure is what a service answered when it took no message.
type Failure struct {
	Text    string
	After   time.Duration // how long it wants to be left alone (Retry-After); 0: it did not say
	Lasting bool          // it refused: the same will not succeed until a person mends something
}

func (f *Failure) Error() string { return f.Text }

// A Result is how a test message fared at one target.
type Result struct {
	Target string        `json:"target"`
	Took   time.Duration `json:"took"` // nanoseconds
	Error  string        `json:"error,omitempty"`
}

// A Notifier sends targets what is wrong, and what is resolved.
type Notifier struct {
	Instance, Host, Version string

	Targets   []Target
	Heartbeat *Heartbeat // nil: none
	File      string     // keeps what each target was sent over a restart

	Board *status.Board
	Log   *slog.Logger

	// Unlogged is called for each failure that the log leaves out, which has the
	// first of a streak and one an hour, so that metrics can count them all. It
	// must not block, and may be nil.
	Unlogged func(target string)
}

// failed takes in a failure of the target that is called name.
func (n *Notifier) failed(ctx context.Context, name string, s *streak, err error) {
	if !s.fail(time.Now(), err) {
		if n.Unlogged != nil {
			n.Unlogged(name)
		}
		return
	}
	attrs := []slog.Attr{slog.String(journal.KeyTarget, name), slog.String(journal.KeyError, err.Error()), slog.Int(journal.KeyAttempt, s.failed)}
	if name != heartbeat { // the heartbeat waits for the next round
		attrs = append(attrs, slog.Time(journal.KeyNext, s.until))
	}
	journal.NotifyFailed.Log(ctx, n.Log, fmt.Sprintf("%s could not be told: %v", name, err), attrs...)
}

// Run sends messages until ctx ends, and returns when none of its goroutines runs
// any more. Changes gets a signal when there is another status on the board.
func (n *Notifier) Run(ctx context.Context, changes <-chan struct{}) {
	var running sync.WaitGroup
	defer running.Wait()
	var inboxes []chan status.Status
	start := func(run func(context.Context, <-chan status.Status)) {
		inbox := make(chan status.Status, 1)
		inboxes = append(inboxes, inbox)
		running.Go(func() { run(ctx, inbox) })
	}
	file := openFile(n.File, n.Targets)
	for _, t := range n.Targets {
		start((&dispatcher{Notifier: n, Target: t, tracker: newTracker(file.targets[t.ID]), file: file}).run)
	}
	if h := n.Heartbeat; h != nil {
		start((&pinger{Notifier: n, fetch: func(ctx context.Context) error { return h.fetch(ctx, n.Version) }, every: h.Every}).run)
	}
	for {
		if s := n.Board.Get(); ended(s) {
			for _, inbox := range inboxes {
				select {
				case <-inbox: // drops a status that was not read yet
				default:
				}
				inbox <- s
			}
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return
		}
	}
}

// ended says whether s is the end of a round, where the loop has nothing to do
// but wait. In the middle of one a server shows another certificate than the
// newest because it is about to load it, and after a start no attempt at a
// certificate has failed yet.
func ended(s status.Status) bool {
	return !s.Looked.IsZero() && (s.Next.Action == "" || !s.Next.At.IsZero())
}

// Test sends a marked message to each target, and that it is over. It waits for
// all of them, which takes no longer than twice the time for one message.
func (n *Notifier) Test(ctx context.Context) []Result {
	all := make([]Result, len(n.Targets))
	var running sync.WaitGroup
	for i, t := range n.Targets {
		running.Go(func() {
			start := time.Now()
			all[i].Target = t.Name
			if err := n.try(ctx, t); err != nil {
				all[i].Error = err.Error()
			}
			all[i].Took = time.Since(start)
		})
	}
	running.Wait()
	return all
}

func (n *Notifier) try(ctx context.Context, t Target) error {
	test := notification{Firing, status.Problem{
		Key: "test", Kind: "test", Severity: status.Warning, Text: "this is a test of redis-cert-agent; nothing is wrong",
	}, time.Now()}
	for _, status := range []string{Firing, Resolved} {
		test.status = status
		m := n.message(n.Board.Get(), test, time.Now())
		m.Test = true
		if err := send(ctx, t, m); err != nil {
			return err
		}
	}
	return nil
}

func (n *Notifier) message(s status.Status, what notification, now time.Time) Message {
	m := Message{
		Status: what.status, Instance: n.Instance, Host: n.Host, Version: n.Version,
		Problem: what.problem, Since: second(what.since), Now: second(now),
	}
	if s.Pair != nil {
		m.Pair = &Pair{s.Pair.Serial, s.Pair.NotAfter}
	}
	return m
}

// send brings one message to t, in bounded time.
func send(ctx context.Context, t Sender, m Message) error {
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return inTime(within, t.Send(within, m))
}

// inTime puts an error that comes from the time limit in plain words.
func inTime(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", timeout)
	}
	return err
}
