package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/discover"
	"redis-cert-agent/reload"
)

// findEvery is how often servers are looked for where the configuration says auto, or
// names a redis.conf. Nothing tells when a server starts.
const findEvery = time.Minute

// A resolution is a configuration with the servers that its sources have led to. Those
// that were found once stay, until the configuration is read again: one that went away
// is told, and not forgotten.
type resolution struct {
	base    *config.Config
	found   []reload.Server
	missing string // why a source leads to no server; empty: each does
}

// config is the configuration with every server.
func (r resolution) config() *config.Config {
	full := *r.base
	full.Servers = slices.Concat(full.Servers, r.found)
	return &full
}

// equal says whether the same agent does for both.
func (r resolution) equal(o resolution) bool {
	same := func(a, b reload.Server) bool { return a.Address == b.Address }
	return r.base == o.base && r.missing == o.missing && slices.EqualFunc(r.found, o.found, same)
}

// find looks for the servers of r's sources. The store is that of its configuration.
func (r resolution) find(ctx context.Context, places discover.Places, store agent.Store) resolution {
	next := resolution{base: r.base, found: slices.Clone(r.found)}
	var missing []string
	for _, source := range r.base.Sources {
		servers, fault := r.follow(ctx, source, places, store)
		for _, s := range servers {
			known := func(o reload.Server) bool { return o.Address == s.Address }
			if !slices.ContainsFunc(next.found, known) && !slices.ContainsFunc(r.base.Servers, known) {
				next.found = append(next.found, s)
			}
		}
		if fault != "" {
			missing = append(missing, fmt.Sprintf("servers: %s %s", source, fault))
		}
	}
	next.missing = strings.Join(missing, "; ")
	return next
}

// follow returns the servers that one source leads to now.
func (r resolution) follow(ctx context.Context, source config.Source, places discover.Places, store agent.Store) (servers []reload.Server, fault string) {
	with := func(address string) reload.Server {
		s := source.Server
		s.Address = address
		return s
	}
	if source.Conf != "" {
		s, err := places.File(source.Conf)
		switch {
		case err != nil:
			return nil, fmt.Sprintf("cannot be read: %v: write the address of the server instead, like servers: [127.0.0.1:6379], or %s", err, r.open())
		case s.Address() == "":
			return nil, "has no tls-port: " + strings.Join(append(s.Warnings, "set it, and tls-cert-file "+store.CertPath()), "; ")
		}
		return []reload.Server{with(s.Address())}, ""
	}
	found := places.Find()
	ours := newOwner(r.base, store)
	addresses := make([]string, len(found.Servers))
	var asking sync.WaitGroup
	for i, s := range found.Servers {
		asking.Go(func() { addresses[i] = ours.address(ctx, s, source.Server, r.found) })
	}
	asking.Wait()
	for _, address := range addresses {
		if address != "" {
			servers = append(servers, with(address))
		}
	}
	if len(servers) > 0 || len(r.found) > 0 {
		return servers, ""
	}
	fault = fmt.Sprintf("finds no redis-server on this host that loads %s", store.CertPath())
	if len(found.Hidden) > 0 {
		fault += fmt.Sprintf(", and may not see %s: write its address, like servers: [127.0.0.1:6379], or %s", strings.Join(found.Hidden, ", "), r.open())
	}
	return nil, fault
}

// open tells how the unit is opened for a look at what runs.
func (r resolution) open() string {
	unit := r.base.Unit()
	return fmt.Sprintf("open the unit for it: install -D -m 0644 /usr/share/doc/redis-cert-agent/examples/auto.conf /etc/systemd/system/%s.service.d/auto.conf && systemctl daemon-reload && systemctl restart %[1]s", unit)
}

// An owner tells the servers that load one pair from all others.
type owner struct {
	serves func(path string) bool
	leaves []cert.Fingerprint // that a server may show
}

func newOwner(c *config.Config, store agent.Store) owner {
	o := owner{serves: func(path string) bool {
		return store.Serves(path) || c.Pair.Paths.Cert != "" && filepath.Clean(path) == c.Pair.Paths.Cert // it may not be a link yet
	}}
	if state, err := readStore(c); err == nil {
		o.leaves = state.Known
	}
	return o
}

// address returns where a server that loads the pair serves TLS; empty where it loads
// another one, or none. Where its file is closed, what it shows decides, but for those
// that are known.
func (o owner) address(ctx context.Context, s discover.Server, how reload.Server, known []reload.Server) string {
	if s.Running != nil && s.Running.Elsewhere {
		return ""
	}
	if s.Cert != "" {
		if o.serves(s.Cert) {
			return s.Address()
		}
		return ""
	}
	for _, address := range s.Candidates() {
		how.Address = address
		if slices.ContainsFunc(known, func(k reload.Server) bool { return k.Address == address }) {
			return address
		}
		served, err := reload.New(how).Served(ctx, reload.Trust{})
		if err == nil && len(served.Chain) > 0 && slices.Contains(o.leaves, cert.FingerprintOf(served.Chain[0])) {
			return address
		}
	}
	return ""
}
