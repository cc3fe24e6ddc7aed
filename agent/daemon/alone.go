package daemon

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/status"
)

// RenewOnce does what a running daemon does when it is asked to renew, without one: it
// takes hold of the pair and looks once. It opens no port and tells nobody.
func (d *Daemon) RenewOnce(ctx context.Context, force bool) (control.Outcome, error) {
	store, a, err := d.open(ctx, &resolution{base: d.first})
	if err != nil {
		return control.Outcome{}, err
	}
	defer store.Close()
	defer d.openHistory()()
	before, err := DiskStatus(d.first, d.version)
	if err != nil {
		return control.Outcome{}, err
	}
	err = a.Once(ctx, force)
	return control.OutcomeOf(before, d.board.Get()), err
}

// TestNotify sends a test message to every target of the configuration, without a
// running daemon.
func (d *Daemon) TestNotify(ctx context.Context) []notify.Result {
	return d.notifier.Load().Test(ctx)
}

// DiskStatus returns what can be told of the pair of c without an agent.
func DiskStatus(c *config.Config, version string) (status.Status, error) {
	disk, err := readStore(c)
	if err != nil {
		return status.Status{}, err
	}
	s := status.Status{
		Instance: c.Instance, Version: version, Now: time.Now().UTC(),
		Degraded: true, MonitorOnly: c.External,
	}
	if g := disk.Current; g != nil && g.Err == nil {
		s.Pair = agent.Describe(g)
	}
	for _, p := range c.ClientPairs {
		s.Pairs = append(s.Pairs, diskStatusOf(p, s))
	}
	for _, i := range c.Issuers {
		s.CAs = append(s.CAs, describe(i))
	}
	for _, server := range c.Servers {
		s.Servers = append(s.Servers, status.Server{Address: server.Address, State: status.Unknown})
	}
	return s, nil
}

// diskStatusOf returns what can be told of a client's pair without an agent.
func diskStatusOf(p config.ClientPair, above status.Status) status.Status {
	s := status.Status{Instance: p.Name, Version: above.Version, Now: above.Now, Degraded: true, Path: p.Pair.Named().Cert}
	disk, err := pair.Read(p.Pair)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was never begun
	case err != nil:
		s.DiskError = err.Error()
	case disk.Current != nil && disk.Current.Err == nil:
		s.Pair = agent.Describe(disk.Current)
	}
	return s
}
