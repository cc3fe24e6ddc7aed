package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/status"
)

// A recorder is a target that keeps what it is told.
type recorder struct {
	mu     sync.Mutex
	took   []Message
	asked  int
	answer func(ctx context.Context, m Message) error // nil: takes everything
}

func (r *recorder) Send(ctx context.Context, m Message) error {
	r.mu.Lock()
	r.asked++
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, m); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took = append(r.took, m)
	return nil
}

// set changes what it answers.
func (r *recorder) set(answer func(ctx context.Context, m Message) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// news returns what it was told since the last call: the servers, with ! for the
// critical and - in front of what is over.
func (r *recorder) news() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var words []string
	for _, m := range r.took {
		word := m.Problem.Subject
		if m.Problem.Severity == status.Critical {
			word += "!"
		}
		if m.Status == Resolved {
			word = "-" + word
		}
		words = append(words, word)
	}
	r.took = nil
	return strings.Join(words, " ")
}

func (r *recorder) requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func down(context.Context, Message) error { return errors.New("connection refused") }

func hang(ctx context.Context, _ Message) error {
	<-ctx.Done()
	return ctx.Err()
}

// A host is an agent's board, and who is told what is on it. It lives in a bubble
// of synctest.
type host struct {
	t       *testing.T
	board   status.Board
	changes <-chan struct{}
	log     bytes.Buffer
	file    string
}

func newHost(t *testing.T) *host {
	h := &host{t: t, file: filepath.Join(t.TempDir(), "notify.json")}
	h.changes = h.board.Watch()
	return h
}

func (h *host) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(&h.log, nil))
}

// start runs a notifier and returns what stops it.
func (h *host) start(targets ...Target) (stop func()) {
	n := &Notifier{Instance: "default", Host: "redis1", Version: "1", Targets: targets, File: h.file, Board: &h.board, Log: h.logger()}
	return h.run(n)
}

func (h *host) run(n *Notifier) (stop func()) {
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Run(ctx, h.changes)
	}()
	return func() {
		cancel()
		<-done
	}
}

// are puts a round on the board that found these servers unreachable, or with a
// ! failing.
func (h *host) are(servers string) { h.board.Set(found(servers)) }

func found(servers string) status.Status {
	s := status.Status{
		Looked: time.Now(),
		Pair:   &status.Leaf{Serial: "7e22", NotAfter: start.AddDate(1, 0, 0)},
		Next:   status.Next{Action: "renewal", At: time.Now().Add(time.Hour)},
	}
	for word := range strings.FieldsSeq(servers) {
		name, failing := strings.CutSuffix(word, "!")
		state := status.Unreachable
		if failing {
			state = status.Failing
		}
		s.Servers = append(s.Servers, status.Server{Address: name, State: state, Error: "it says no"})
	}
	return s
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func (h *host) told(r *recorder, want string) {
	h.t.Helper()
	synctest.Wait()
	if got := r.news(); got != want {
		h.t.Errorf("told %q, want %q", got, want)
	}
}

func minute(r *recorder) Target {
	return Target{Name: "test", ID: "test", After: time.Minute, Repeat: 24 * time.Hour, Sender: r}
}

func TestNotifierTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t), new(recorder)
		defer h.start(minute(r))()
		h.told(r, "") // there was no round yet
		h.are("a b!")
		pass(59 * time.Second)
		h.told(r, "")
		pass(time.Second)
		h.told(r, "b! a")
		h.are("a")
		pass(30 * time.Second)
		h.are("a c")
		pass(30 * time.Second)
		h.told(r, "-b!")
		pass(time.Minute)
		h.told(r, "c")
		pass(22 * time.Hour)
		h.told(r, "")
		pass(2 * time.Hour)
		h.told(r, "a c")
		h.are("")
		pass(time.Hour)
		h.told(r, "-a -c")
		pass(100 * time.Hour)
		h.told(r, "")
	})
}

// A problem that comes with the time alone is told although the loop is busy.
func TestNotifierTellsWhatTimeBrings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t), new(recorder)
		defer h.start(minute(r))()
		s := found("")
		end := time.Now().Add(time.Hour)
		s.Certificates = []status.Certificate{{Role: status.RoleCA, Where: status.SeenOnDisk, Subject: "CN=root", Serial: "1",
			NotAfter: end, WarnAt: end.Add(-30 * time.Minute), CritAt: end.Add(-10 * time.Minute)}}
		h.board.Set(s)
		for _, want := range []struct {
			at   time.Duration
			told string
		}{{31*time.Minute - 1, ""}, {31 * time.Minute, "CN=root"}, {51*time.Minute - 1, ""}, {51 * time.Minute, "CN=root!"}, {61*time.Minute - 1, ""}, {61 * time.Minute, "CN=root!"}, {3 * time.Hour, ""}} {
			pass(time.Until(end.Add(want.at - time.Hour)))
			h.told(r, want.told)
		}
	})
}

// In the middle of a round a server may be about to load what it does not show.
func TestNotifierWaitsForTheEndOfARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t), new(recorder)
		target := minute(r)
		target.After = 0
		defer h.start(target)()
		s := found("a")
		s.Next = status.Next{Action: "load"}
		h.board.Set(s)
		pass(time.Hour)
		h.told(r, "")
		s.Next = status.Next{} // nothing to do, ever
		h.board.Set(s)
		h.told(r, "a")
	})
}

func TestNotifierRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r, other := newHost(t), new(recorder), new(recorder)
		gone := Target{Name: "gone", ID: "gone", Sender: new(recorder)}
		stop := h.start(minute(r), gone)
		h.are("a b")
		pass(time.Hour)
		h.told(r, "a b")
		stop()
		info, err := os.Stat(h.file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", info, err)
		}

		// It knows what it told, another target does not.
		h.are("a c")
		target := minute(other)
		target.ID = "other"
		stop = h.start(target, minute(r))
		pass(time.Hour)
		h.told(r, "c -b")
		h.told(other, "a c")
		if all, err := Read(h.file); err != nil || len(all) != 2 || len(all["test"]) != 2 || len(all["other"]) != 2 {
			t.Errorf("%v, %v", all, err)
		}
		h.are("")
		pass(30 * time.Second)
		stop() // before it is told

		stop = h.start(minute(r))
		pass(22*time.Hour - time.Minute)
		h.told(r, "-a -c")
		stop()
		if all, err := Read(h.file); err != nil || len(all) != 1 || len(all["test"]) != 0 {
			t.Errorf("%v, %v", all, err)
		}
	})
}

// The time of a repeat goes on over a restart.
func TestNotifierRepeatsAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t), new(recorder)
		h.are("a")
		stop := h.start(minute(r))
		pass(20 * time.Hour)
		h.told(r, "a")
		stop()
		defer h.start(minute(r))()
		pass(4 * time.Hour)
		h.told(r, "")
		pass(2 * time.Minute)
		h.told(r, "a")
	})
}

// Whatever is in the file, it is told and written anew.
func TestNotifierWithDamagedMemory(t *testing.T) {
	for _, text := range []string{"", "{", "[1]", `{"test": 3}`, `{"test": {"x": {"at": "now"}}}`} {
		synctest.Test(t, func(t *testing.T) {
			h, r := newHost(t), new(recorder)
			if err := os.WriteFile(h.file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			h.are("a")
			stop := h.start(minute(r))
			pass(time.Hour)
			h.told(r, "a")
			stop()
			if all, err := Read(h.file); err != nil || len(all["test"]) != 1 {
				t.Errorf("%q: %v, %v", text, all, err)
			}
		})
	}
}

// A file that cannot be written is logged, and nothing is told twice in this run.
func TestNotifierWithoutMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t), new(recorder)
		h.file = filepath.Join(h.file, "missing", "notify.json")
		h.are("a")
		stop := h.start(minute(r))
		pass(time.Hour)
		h.told(r, "a")
		stop()
		if n := strings.Count(h.log.String(), "after a restart it may be told again"); n != 1 {
			t.Errorf("%d times in\n%s", n, &h.log)
		}
	})
}

func TestNotifierTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t), new(recorder)
		r.set(down)
		stop := h.start(minute(r))
		h.are("a")
		pass(10 * time.Minute)
		if n := r.requests(); n < 6 || n > 8 { // at 1:00, :05, :15, :35, 2:15, 3:35, 6:15
			t.Errorf("%d attempts", n)
		}
		h.are("a b")
		pass(10 * time.Minute)
		h.are("b") // a is over, and nobody was told of it
		pass(10 * time.Minute)
		r.set(nil)
		pass(12 * time.Minute)
		h.told(r, "b")
		stop()
		log := h.log.String()
		if strings.Count(log, "test could not be told: connection refused") != 1 || strings.Count(log, "told test: [WARNING] redis1: b is not reached") != 1 {
			t.Errorf("logged\n%s", log)
		}
	})
}

// A long failure is logged once an hour, and the next streak from its start.
func TestNotifierLogsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t), new(recorder)
		r.set(down)
		unlogged := 0
		stop := h.run(&Notifier{Targets: []Target{minute(r)}, File: h.file, Board: &h.board, Log: h.logger(), Unlogged: func(string) { unlogged++ }})
		h.are("a")
		pass(5*time.Hour + 30*time.Minute)
		synctest.Wait()
		if logged := strings.Count(h.log.String(), "could not be told"); unlogged+logged != r.requests() || unlogged < 20 {
			t.Errorf("%d failures logged and %d more counted, of %d", logged, unlogged, r.requests())
		}
		r.set(nil)
		pass(time.Hour)
		h.told(r, "a")
		r.set(down)
		h.are("")
		pass(10 * time.Minute)
		stop()
		if n := strings.Count(h.log.String(), "could not be told"); n < 5+1 || n > 6+1 {
			t.Errorf("%d failures in\n%s", n, &h.log)
		}
		if n := strings.Count(h.log.String(), "target=test error=\"connection refused\" attempt=1 next="); n != 2 {
			t.Errorf("%d streaks in\n%s", n, &h.log)
		}
	})
}

func TestNotifierHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t), new(recorder)
		r.set(func(context.Context, Message) error { return &Failure{Text: "busy", After: 30 * time.Minute} })
		defer h.start(minute(r))()
		h.are("a")
		pass(time.Minute)
		r.set(nil)
		pass(30*time.Minute - 1)
		h.told(r, "")
		pass(4 * time.Minute)
		h.told(r, "a")
	})
}

// What a target refuses is tried again slowly, and does not stand in the way of
// the rest.
func TestNotifierRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t), new(recorder)
		r.set(func(_ context.Context, m Message) error {
			if m.Problem.Subject == "a" {
				return &Failure{Text: "400", Lasting: true}
			}
			return nil
		})
		defer h.start(minute(r))()
		h.are("a! b! c")
		pass(time.Minute)
		h.told(r, "")
		pass(12 * time.Minute) // ten, and up to a fifth more
		h.told(r, "b! c")
		before := r.requests()
		pass(2 * time.Hour)
		h.told(r, "")
		if n := r.requests() - before; n < 9 || n > 12 {
			t.Errorf("%d attempts in two hours", n)
		}
	})
}

// A target that hangs holds up neither the others nor the end, and to be stopped
// is no failure.
func TestNotifierHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, stuck, r := newHost(t), new(recorder), new(recorder)
		left := false
		stuck.set(func(ctx context.Context, _ Message) error {
			<-ctx.Done()
			time.Sleep(time.Millisecond)
			left = true
			return ctx.Err()
		})
		first, second := minute(stuck), minute(r)
		first.ID, first.Name, first.After, second.After = "stuck", "stuck", 0, 0
		stop := h.start(first, second)
		h.are("a")
		h.told(r, "a")
		for range 4 { // within the burst
			h.are("a b")
			h.told(r, "b")
			h.are("a")
			h.told(r, "-b")
		}
		pass(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > time.Millisecond || !left || h.log.Len() == 0 || strings.Contains(h.log.String(), "could not") {
			t.Errorf("the end took %s, all has ended: %v, logged\n%s", took, left, &h.log)
		}

		stop = h.start(first)
		pass(time.Minute)
		stop()
		if n := strings.Count(h.log.String(), "stuck could not be told: no answer within 10s"); n != 1 {
			t.Errorf("logged %d times\n%s", n, &h.log)
		}
	})
}

// While a message is on its way the world goes on.
func TestNotifierSlow(t *testing.T) {
	for range 20 { // what is ready at the same time is taken in any order
		synctest.Test(t, func(t *testing.T) {
			h, r := newHost(t), new(recorder)
			r.set(func(context.Context, Message) error {
				time.Sleep(8 * time.Second)
				return nil
			})
			target := minute(r)
			target.After = 0
			stop := h.start(target)
			h.are("a b c")
			pass(time.Second)
			h.are("a c d!") // b is over before it was told
			pass(time.Minute)
			h.told(r, "a d! c")
			r.set(hang)
			h.are("")
			pass(12 * time.Second) // it waits before it tries again
			r.set(nil)
			h.are("a c d! e")
			pass(8 * time.Second)
			h.told(r, "e")
			stop()
		})
	}
}

// However fast a server comes and goes, a target gets its share, and at the end
// what holds.
func TestNotifierIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t), new(recorder)
		target := minute(r)
		target.After = 0
		defer h.start(target)()
		for i := range 10 * 60 * 60 / 10 { // ten hours
			h.are([]string{"a", ""}[i%2])
			pass(10 * time.Second)
		}
		words := strings.Fields(r.news())
		if n := len(words); n < burst+90 || n > burst+101 {
			t.Errorf("%d messages in ten hours", n)
		}
		h.are("a b! c")
		pass(time.Hour)
		words = append(words, strings.Fields(r.news())...)
		knows := map[string]bool{}
		for i, w := range words {
			subject, over := strings.CutPrefix(w, "-")
			if knows[subject] != over {
				t.Fatalf("message %d is %s, which it knew", i, w)
			}
			knows[subject] = !over
		}
		if !knows["a"] || !knows["b!"] || !knows["c"] {
			t.Errorf("it knows of %v", knows)
		}
	})
}

// What comes many at once is bounded too, the worst first.
func TestNotifierManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, r := newHost(t), new(recorder)
		defer h.start(minute(r))()
		var servers []string
		for i := range 14 {
			servers = append(servers, fmt.Sprintf("s%02d", i))
		}
		h.are(strings.Join(servers, " ") + " z!")
		pass(2 * time.Minute)
		h.told(r, "z! s00 s01 s02 s03 s04 s05 s06 s07 s08")
		h.are("s00") // the rest need not be told any more
		pass(24 * time.Hour)
		h.told(r, "-z! -s01 -s02 -s03 -s04 -s05 -s06 -s07 -s08 s00")
	})
}

func TestNotifierTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad, slow := new(recorder), new(recorder), new(recorder)
		bad.set(down)
		slow.set(hang)
		h := newHost(t)
		n := &Notifier{Instance: "default", Host: "redis1", Board: &h.board, Targets: []Target{
			{Name: "good", Sender: good}, {Name: "bad", Sender: bad}, {Name: "slow", Sender: slow}}}
		got := n.Test(t.Context())
		want := []Result{{Target: "good"}, {Target: "bad", Error: "connection refused"}, {Target: "slow", Error: "no answer within 10s", Took: timeout}}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v", got)
		}
		if len(good.took) != 2 || good.took[0].Status != Firing || good.took[1].Status != Resolved || !good.took[0].Test || !good.took[1].Test ||
			good.took[0].Problem.Key != good.took[1].Problem.Key {
			t.Errorf("told %+v", good.took)
		}
	})
}
