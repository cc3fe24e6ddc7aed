package notify

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/status"
)

// A Heartbeat is a URL that is fetched while all is well. The service that waits
// for it notices a host that is dead, and an agent that hangs.
type Heartbeat struct {
	Service
	Every time.Duration // the shortest time between two fetches
}

// heartbeat is what the log calls it.
const heartbeat = "heartbeat"

// A pinger fetches the URL of a heartbeat.
type pinger struct {
	*Notifier
	fetch  func(ctx context.Context) error
	every  time.Duration
	streak streak
}

// run fetches the URL until ctx ends: once after each round in which nothing
// critical is wrong, and not before every has passed. The round vouches for the
// host and not this goroutine, so that a loop that hangs ends the heartbeat.
func (p *pinger) run(ctx context.Context, inbox <-chan status.Status) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var round status.Status
	var fresh bool // no heartbeat was tried for this round
	var next time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-inbox:
			fresh = fresh || !s.Looked.Equal(round.Looked)
			round = s
			timer.Reset(time.Until(next))
		case now := <-timer.C:
			if !fresh || now.Before(next) {
				continue
			}
			fresh = false
			round.Now = now
			if round.Healthy() && p.beat(ctx) {
				next = now.Add(p.every)
			}
		}
	}
}

// beat fetches the URL once and says whether that succeeded. A failure is tried
// again with the next round.
func (p *pinger) beat(ctx context.Context) bool {
	err := p.fetch(ctx)
	if err != nil {
		if ctx.Err() == nil {
			p.failed(ctx, heartbeat, &p.streak, err)
		}
		return false
	}
	if p.streak.failed > 0 {
		journal.Notified.Log(ctx, p.Log, fmt.Sprintf("the heartbeat is heard again, after %d failures", p.streak.failed), slog.String(journal.KeyTarget, heartbeat))
	}
	p.streak = streak{}
	return true
}

func (h Heartbeat) fetch(ctx context.Context, version string) error {
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return inTime(within, h.do(within, version, http.MethodGet, nil))
}
