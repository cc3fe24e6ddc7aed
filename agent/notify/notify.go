package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"redis-cert-agent/agent/report"
)

// timeout bounds one message to one target, and one heartbeat.
const timeout = 10 * time.Second

// A Sender brings a message to a service or a program. An error says what
// happened and what to do, in one line and without any secret; a *Failure among
// its causes tells more. Send may be called from several goroutines.
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

// A Target is one place that is told.
type Target struct {
	Name   string        // for people
	ID     string        // the same as long as it is the same place; names its part of the memory
	After  time.Duration // how long a problem must last, and be gone, before that is told
	Repeat time.Duration // how often one that lasts is told again; 0: once
	Sender
}

// A Notifier tells targets what is wrong, and what is over.
type Notifier struct {
	Instance, Host, Version string

	Targets   []Target
	Heartbeat *Heartbeat // nil: none
	File      string     // the memory of what was told

	Board *report.Board
	Log   *slog.Logger

	// Unlogged is told of a failure that the log leaves out, because it has the
	// first of the streak, for who counts them. It must not block; nil: nobody
	// counts.
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
	attrs := []slog.Attr{slog.String(report.KeyTarget, name), slog.String(report.KeyError, err.Error()), slog.Int(report.KeyAttempt, s.failed)}
	if name != heartbeat { // which waits for the next round
		attrs = append(attrs, slog.Time(report.KeyNext, s.until))
	}
	report.NotifyFailed.Log(ctx, n.Log, fmt.Sprintf("%s could not be told: %v", name, err), attrs...)
}

// Run tells until ctx ends, and returns when nothing of it runs any more.
// Changes gets a signal when there is another status on the board.
func (n *Notifier) Run(ctx context.Context, changes <-chan struct{}) {
	var running sync.WaitGroup
	defer running.Wait()
	var inboxes []chan report.Status
	start := func(run func(context.Context, <-chan report.Status)) {
		inbox := make(chan report.Status, 1)
		inboxes = append(inboxes, inbox)
		running.Go(func() { run(ctx, inbox) })
	}
	m := recall(n.File, n.Targets)
	for _, t := range n.Targets {
		start((&teller{Notifier: n, Target: t, book: newBook(m.targets[t.ID]), memory: m}).run)
	}
	if h := n.Heartbeat; h != nil {
		start((&pulse{Notifier: n, fetch: h.fetch, every: h.Every}).run)
	}
	for {
		if s := n.Board.Get(); ended(s) {
			for _, inbox := range inboxes {
				select {
				case <-inbox: // nobody has looked at the one before
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
func ended(s report.Status) bool {
	return !s.Looked.IsZero() && (s.Next.Action == "" || !s.Next.At.IsZero())
}

// Test sends a marked message to each target, and that it is over. It waits for
// all of them, which takes no longer than twice the time for one message.
func (n *Notifier) Test(ctx context.Context) []report.Trial {
	all := make([]report.Trial, len(n.Targets))
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
	test := news{Firing, report.Problem{
		Key: "test", Kind: "test", Severity: report.Warning, Text: "this is a test of redis-cert-agent; nothing is wrong",
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

func (n *Notifier) message(s report.Status, what news, now time.Time) Message {
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

// inTime tells an error that comes from the time limit in plain words.
func inTime(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", timeout)
	}
	return err
}
