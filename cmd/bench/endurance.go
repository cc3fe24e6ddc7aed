package main

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"redis-cert-agent/cmd/internal/testbed"
)

// endurance is many rotations while clients use the server.
type endurance struct {
	Load                  testbed.LoadOptions
	Counts                testbed.Counts
	Early, Late           growing
	EarlyAfter, LateAfter int // rotations
}

// growing is what must not grow with the number of rotations.
type growing struct {
	vitals
	Goroutines, Pairs int64
}

var load = testbed.LoadOptions{Kept: 8, Every: 2 * time.Millisecond, NewEvery: 20 * time.Millisecond}

// measureEndurance forces rotations without a pause, and compares the agent after
// all of them with the agent after a tenth.
func (b *bench) measureEndurance(ctx context.Context) (e endurance, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	e.Load, e.EarlyAfter, e.LateAfter = load, max(b.opts.rotations/10, 1), b.opts.rotations
	h, err := b.startHost(ctx, "endurance", testbed.HostOptions{})
	if err != nil {
		return e, err
	}
	defer h.Stop()
	l := h.StartLoad(ctx, load)
	defer l.Stop()
	for n := 1; n <= e.LateAfter; n++ {
		if err := h.rotate(ctx); err != nil {
			return e, err
		}
		if n%100 == 0 {
			say("%d of %d rotations under load", n, e.LateAfter)
		}
		if n == e.EarlyAfter {
			if e.Early, err = h.readGrowing(ctx); err != nil {
				return e, err
			}
		}
	}
	if e.Late, err = h.readGrowing(ctx); err != nil {
		return e, err
	}
	l.Stop()
	e.Counts = l.Counts()
	return e, nil
}

// readGrowing waits until the agent is at rest.
func (h *host) readGrowing(ctx context.Context) (g growing, err error) {
	if err := awaitIdle(ctx, h.Agent, atRest); err != nil {
		return g, err
	}
	if g.vitals, err = readVitals(h.Agent.PID()); err != nil {
		return g, err
	}
	pairs, err := os.ReadDir(h.Path("pair/generations"))
	if err != nil {
		return g, err
	}
	g.Pairs = int64(len(pairs))
	g.Goroutines, err = h.goroutines(ctx)
	return g, err
}

// goroutines reads their number from the agent's metrics.
func (h *host) goroutines(ctx context.Context) (int64, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", h.Path("control.sock"))
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if n, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			return strconv.ParseInt(n, 10, 64)
		}
	}
	return 0, errors.Join(errors.New("the agent's metrics have no go_goroutines"), lines.Err())
}
