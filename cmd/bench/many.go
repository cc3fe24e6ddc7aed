package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"redis-cert-agent/cmd/internal/testbed"
)

// A crowd is one agent with many servers, some of which hang.
type crowd struct {
	Servers, Frozen int
	One, All        time.Duration // until one server, and until all, were proven
	Healthy         time.Duration // until all that do not hang were proven, with some that do
	Bare            time.Duration // of as many bare reloads, each with a handshake after it, at once
}

const (
	crowdServers = 64
	crowdFrozen  = 8
)

func (b *bench) measureCrowd(ctx context.Context) (c crowd, err error) {
	c.Servers, c.Frozen = crowdServers, crowdFrozen
	one, err := b.startHost(ctx, "one", testbed.HostOptions{})
	if err != nil {
		return c, err
	}
	defer one.Stop()
	all, err := b.startHost(ctx, "all", testbed.HostOptions{Servers: crowdServers})
	if err != nil {
		return c, err
	}
	defer all.Stop()
	x, err := b.newBare(all)
	if err != nil {
		return c, err
	}
	say("%d rotations of one server and of %d", b.opts.crowd, crowdServers)
	var ones, alls, healthy, bares []time.Duration
	for n := range 2 + b.opts.crowd {
		single, err := timed(ctx, one.rotate)
		if err != nil {
			return c, err
		}
		whole, err := all.rotateUntilProven(ctx, crowdServers)
		if err != nil {
			return c, err
		}
		bare, err := timed(ctx, func(ctx context.Context) error { return x.reloadAll(ctx, all) })
		if err != nil {
			return c, err
		}
		if n >= 2 {
			ones, alls, bares = append(ones, single), append(alls, whole), append(bares, bare)
		}
	}
	say("%d rotations of %d servers of which %d hang", b.opts.frozen, crowdServers, crowdFrozen)
	for range b.opts.frozen {
		took, err := all.rotateFrozen(ctx)
		if err != nil {
			return c, err
		}
		healthy = append(healthy, took)
	}
	c.One, c.All, c.Healthy, c.Bare = median(ones, itself), median(alls, itself), median(healthy, itself), median(bares, itself)
	return c, nil
}

// reloadAll makes every server of h load its files and shakes hands with it, all at once.
func (x *bare) reloadAll(ctx context.Context, h *host) error {
	addresses := []string{h.Address}
	for _, server := range h.More {
		addresses = append(addresses, server.Address)
	}
	ended := make(chan error, len(addresses))
	for _, address := range addresses {
		one := *x
		one.address = address
		go func() {
			err := one.configSet(ctx)
			if err == nil {
				err = one.handshake(ctx)
			}
			ended <- err
		}()
	}
	var failed error
	for range addresses {
		failed = errors.Join(failed, <-ended)
	}
	return failed
}

// rotateUntilProven has the agent rotate and returns how long it took until so many
// servers were proven, as its log tells.
func (h *host) rotateUntilProven(ctx context.Context, servers int) (time.Duration, error) {
	log, err := os.Open(h.Agent.Log)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	if _, err := log.Seek(0, 2); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	start := time.Now()
	go func() { _, err := h.control.Renew(ctx, true); done <- err }()
	proven, text := 0, make([]byte, 1<<20)
	for proven < servers {
		n, _ := log.Read(text) // at the end of the file there is more later
		proven += strings.Count(string(text[:n]), "proven by a handshake")
		if time.Since(start) > time.Minute {
			return 0, fmt.Errorf("%d of %d servers are proven after a minute; see %s", proven, servers, h.Agent.Log)
		}
		if err := testbed.Sleep(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
	took := time.Since(start)
	if err := <-done; err != nil && servers == crowdServers {
		return 0, err
	}
	return took, nil
}

// rotateFrozen has the agent rotate while some servers are stopped, lets those go on,
// and waits until they are proven as well.
func (h *host) rotateFrozen(ctx context.Context) (time.Duration, error) {
	frozen := h.More[:crowdFrozen]
	signal := func(s syscall.Signal) error {
		for _, server := range frozen {
			if err := syscall.Kill(server.Redis.PID(), s); err != nil {
				return err
			}
		}
		return nil
	}
	if err := signal(syscall.SIGSTOP); err != nil {
		return 0, err
	}
	took, err := h.rotateUntilProven(ctx, crowdServers-crowdFrozen)
	if err := signal(syscall.SIGCONT); err != nil {
		return 0, err
	}
	if err != nil {
		return 0, err
	}
	_, err = h.control.Renew(ctx, false)
	return took, err
}
