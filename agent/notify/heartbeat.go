package notify

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"redis-cert-agent/agent/report"
)

// A Heartbeat is a URL that is fetched while all is well. Who waits for it
// notices a host that is dead, and an agent that hangs.
type Heartbeat struct {
	Service
	Every time.Duration // not more often than that
}

// heartbeat is what the log calls it.
const heartbeat = "heartbeat"

// A pulse fetches the URL of a heartbeat.
type pulse struct {
	*Notifier
	fetch  func(ctx context.Context) error
	every  time.Duration
	streak streak
}

// run fetches the URL once for a round, when nothing critical is wrong and every
// has passed, until ctx ends. It is the round that vouches for the host, not
// this goroutine: without another one there is no other heartbeat.
func (p *pulse) run(ctx context.Context, inbox <-chan report.Status) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var round report.Status
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

// beat fetches the URL once and says whether it was heard. A failure is tried
// again with the next round.
func (p *pulse) beat(ctx context.Context) bool {
	err := p.fetch(ctx)
	if err != nil {
		if ctx.Err() == nil {
			p.failed(ctx, heartbeat, &p.streak, err)
		}
		return false
	}
	if p.streak.failed > 0 {
		report.Notified.Log(ctx, p.Log, fmt.Sprintf("the heartbeat is heard again, after %d failures", p.streak.failed), slog.String(report.KeyTarget, heartbeat))
	}
	p.streak = streak{}
	return true
}

func (h *Heartbeat) fetch(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return inTime(within, h.do(within, http.MethodGet, nil, nil))
}
