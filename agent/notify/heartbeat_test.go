package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/status"
)

// A monitor notes when it was fetched, in minutes after its start.
type monitor struct {
	start time.Time
	at    []string
	err   error

	unlogged int
}

func (m *monitor) fetch(context.Context) error {
	m.at = append(m.at, fmt.Sprintf("%g", time.Since(m.start).Minutes()))
	return m.err
}

// beats starts a pinger of five minutes, and returns what gives it a round and
// what stops it.
func (m *monitor) beats(t *testing.T, h *host) (inbox chan status.Status, stop func()) {
	m.start = time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	inbox = make(chan status.Status)
	go func() {
		defer close(done)
		(&pinger{Notifier: &Notifier{Log: h.logger(), Unlogged: func(string) { m.unlogged++ }}, fetch: m.fetch, every: 5 * time.Minute}).run(ctx, inbox)
	}()
	return inbox, func() {
		cancel()
		<-done
	}
}

func TestHeartbeat(t *testing.T) {
	for name, c := range map[string]struct {
		rounds string // minutes at which there was one, with what was found
		want   string
	}{
		"after every healthy round":               {"0 5 10 15.5", "0 5 10 15.5"},
		"not more often than it should":           {"0 1 2 3 4 5 6 9", "0 5 10"},
		"a loop that hangs stops it":              {"0 4", "0 5"},
		"and when it goes on, it goes on":         {"0 4 60", "0 5 60"},
		"not while something critical is wrong":   {"0 5:a! 10:a! 12 13", "0 12 17"},
		"a warning is no reason":                  {"0:a 5:a", "0 5"},
		"what becomes critical before it is time": {"0 4 4.5:a!", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var m monitor
				inbox, stop := m.beats(t, newHost(t))
				for round := range strings.FieldsSeq(c.rounds) {
					when, what, _ := strings.Cut(round, ":")
					minutes, err := time.ParseDuration(when + "m")
					if err != nil {
						t.Fatal(err)
					}
					pass(time.Until(m.start.Add(minutes)))
					inbox <- found(what)
				}
				pass(24 * time.Hour)
				stop()
				if got := strings.Join(m.at, " "); got != c.want {
					t.Errorf("fetched at %s, want %s", got, c.want)
				}
			})
		})
	}
}

// The same round that is shown again is none.
func TestHeartbeatNeedsALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m monitor
		inbox, stop := m.beats(t, newHost(t))
		s := found("")
		for range 10 {
			inbox <- s
			pass(10 * time.Minute)
		}
		stop()
		if got := strings.Join(m.at, " "); got != "0" {
			t.Errorf("fetched at %s", got)
		}
	})
}

// A certificate that expires after the round is not vouched for.
func TestHeartbeatKnowsTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m monitor
		inbox, stop := m.beats(t, newHost(t))
		inbox <- found("")
		pass(time.Minute)
		s := found("")
		s.Certificates = []status.Certificate{{Serial: "1", NotAfter: time.Now().Add(2 * time.Minute)}}
		inbox <- s
		pass(time.Hour)
		stop()
		if got := strings.Join(m.at, " "); got != "0" {
			t.Errorf("fetched at %s", got)
		}
	})
}

// A failure is tried again with the next round, and logged once; that it is over
// is logged too.
func TestHeartbeatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		m := monitor{err: errors.New("connection refused")}
		inbox, stop := m.beats(t, h)
		for range 4 {
			inbox <- found("")
			pass(time.Minute)
		}
		m.err = nil
		for range 7 {
			inbox <- found("")
			pass(time.Minute)
		}
		stop()
		if got := strings.Join(m.at, " "); got != "0 1 2 3 4 9" {
			t.Errorf("fetched at %s", got)
		}
		if m.unlogged != 3 {
			t.Errorf("%d more failures were counted", m.unlogged)
		}
		log := h.log.String()
		if strings.Count(log, "\n") != 2 || strings.Count(log, "heartbeat could not be told: connection refused") != 1 || strings.Count(log, "the heartbeat is heard again, after 4 failures") != 1 {
			t.Errorf("logged\n%s", log)
		}
	})
}
