package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/metrics"
	"redis-cert-agent/agent/status"
)

// freshness bounds the age of the metrics at an address or in a file, and the delay
// before notify sees a problem.
const freshness = 5 * time.Minute

// lookEvery returns the longest time between two looks that c asks for; zero: as
// the plan says.
func lookEvery(c *config.Config) time.Duration {
	var every time.Duration
	if c.Heartbeat != nil {
		every = c.Heartbeat.Every
	}
	if (c.Metrics != (metrics.Outlets{}) || len(c.Notify) > 0) && (every == 0 || every > freshness) {
		every = freshness
	}
	return every
}

// An exposure is the metrics of this process, and where they are to be had
// beside the control socket.
type exposure struct {
	*metrics.Metrics
	log *slog.Logger

	now         metrics.Outlets // what is open
	stopServing func()
	stopWriting func()
}

func newExposure(instance, version string, board *status.Board, log *slog.Logger) *exposure {
	return &exposure{
		Metrics:     metrics.New(metrics.Options{Agent: instance, Version: version, Started: time.Now(), Board: board}),
		log:         log,
		stopServing: nothing, stopWriting: nothing,
	}
}

// change opens what c names and closes what it does not. After an error nothing
// listens; a change back to the configuration before makes it good.
func (e *exposure) change(c *config.Config) error {
	if c.Metrics.Listen != e.now.Listen {
		if err := e.listen(c.Metrics.Listen); err != nil {
			return err
		}
	}
	if c.Metrics.Textfile != e.now.Textfile {
		e.write(c.Metrics.Textfile)
	}
	var servers, targets []string
	for _, s := range c.Servers {
		servers = append(servers, s.Address)
	}
	for _, t := range c.Notify {
		targets = append(targets, t.Name)
	}
	if c.Heartbeat != nil {
		targets = append(targets, "heartbeat")
	}
	e.Expect(servers, targets)
	return nil
}

// listen serves at address, if that is one, and nowhere else.
func (e *exposure) listen(address string) error {
	e.stopServing()
	e.now.Listen, e.stopServing = "", nothing
	if address == "" {
		return nil
	}
	l, err := metrics.Listen(address)
	if err != nil {
		return err
	}
	e.now.Listen = address
	s := service{func() (net.Listener, error) { return metrics.Listen(address) }, e.Serve}
	e.stopServing = background(func(ctx context.Context) { s.keep(ctx, l, e.log) })
	return nil
}

// write keeps the file at path, if that is one, and removes the one before,
// which would stay as it is for ever.
func (e *exposure) write(path string) {
	e.stopWriting()
	if old := e.now.Textfile; old != "" {
		if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			e.log.Warn(fmt.Sprintf("metrics.textfile: the file before stays: %v", err))
		}
	}
	e.now.Textfile, e.stopWriting = path, nothing
	if path != "" {
		e.stopWriting = background(func(ctx context.Context) { e.Keep(ctx, path, e.log) })
	}
}

func (e *exposure) close() {
	e.stopServing()
	e.stopWriting()
}

func nothing() {}

// background runs f until stop is called, which waits for its end.
func background(f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}
