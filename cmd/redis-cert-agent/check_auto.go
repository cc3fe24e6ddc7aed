package main

import (
	"context"
	"fmt"
	"slices"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/discover"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/reload"
)

// sourced are the servers that auto and the paths of a redis.conf lead to: those whose
// file names the pair, and where that is closed those that show its leaf.
func (o *checkOptions) sourced(ctx context.Context, c *config.Config, pair string) (servers []reload.Server, err error) {
	for _, source := range c.Sources {
		found := []discover.Server{}
		if source.Conf == "" {
			found = o.places.Find().Servers
		} else if s, err := o.places.File(source.Conf); err != nil {
			return nil, fmt.Errorf("servers: %w", err)
		} else {
			found = append(found, s)
		}
		for _, f := range found {
			s := source.Server
			s.Timeout = o.timeout
			if s.Address = f.Address(); source.Conf == "" && !disk.SameFile(f.Cert, pair) {
				s.Address = o.shows(ctx, f, pair)
			}
			known := func(k reload.Server) bool { return k.Address == s.Address }
			if s.Address != "" && !slices.ContainsFunc(slices.Concat(c.Servers, servers), known) {
				servers = append(servers, s)
			}
		}
	}
	return servers, nil
}

// shows returns where a server whose file is not known shows the leaf of pair; empty:
// nowhere.
func (o *checkOptions) shows(ctx context.Context, f discover.Server, pair string) string {
	if f.Cert != "" || f.Running == nil || f.Running.Elsewhere {
		return ""
	}
	text, _, err := disk.ReadInTime(pair, maxPEM)
	if err != nil {
		return "" // the pair's own target says why
	}
	chain, err := cert.ParseChain(text)
	if err != nil || len(chain) == 0 {
		return ""
	}
	for _, address := range f.Candidates() {
		served, err := reload.New(reload.Server{Address: address, Timeout: o.timeout}).Served(ctx, reload.Trust{})
		if err == nil && len(served.Chain) > 0 && served.Chain[0].Equal(chain[0]) {
			return address
		}
	}
	return ""
}
