package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"redis-cert-agent/agent/journal"
)

// relisten is the pause before a listener that ended is made anew.
const relisten = time.Second

// A service answers at a listener: the control socket, or the metrics.
type service struct {
	listen func() (net.Listener, error)
	serve  func(context.Context, net.Listener) error // until ctx ends, or the listener fails
}

// keep serves at l, and at a new listener whenever one fails, until ctx ends. A renewal
// does not need it, so that a failure is a line in the log and no more.
func (s service) keep(ctx context.Context, l net.Listener, log *slog.Logger) {
	told := ""
	for {
		err := error(nil)
		if l != nil {
			err = s.serve(ctx, l)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			log.Warn(fmt.Sprintf("%v; it is opened again", err), journal.KeyError, err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(relisten):
		}
		if l, err = s.listen(); err != nil && err.Error() != told {
			told = err.Error()
			log.Warn(fmt.Sprintf("not opened again yet: %v", err), journal.KeyError, told)
		}
	}
}
