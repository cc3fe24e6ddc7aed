package daemon

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/unit"
	"redis-cert-agent/reload"
)

// openStore takes hold of the pair of c.
func openStore(c *config.Config) (agent.Store, error) {
	if c.External {
		return pair.OpenExternal(c.Pair.External())
	}
	return pair.Open(c.Pair)
}

// readStore reads the pair of c without taking hold of it.
func readStore(c *config.Config) (pair.State, error) {
	if c.External {
		return pair.ReadExternal(c.Pair.External())
	}
	return pair.Read(c.Pair)
}

// build returns the agent of r. The store is that of its configuration too.
func (d *Daemon) build(r resolution, store agent.Store) (*agent.Agent, error) {
	c := r.config()
	o, err := d.options(c, "")
	if err != nil {
		return nil, err
	}
	if names := cert.OpenSSLRefuses(c.Names); len(names) > 0 {
		d.log.Warn(fmt.Sprintf("names: clients with OpenSSL (redis-cli, and most others) refuse a wildcard directly below a top-level name, as %s is: "+
			"write the hosts' names, or have a wildcard one level further down", strings.Join(names, ", ")))
	}
	o.Store, o.Names, o.Client, o.Instance = store, c.Names, usage(c.Usages), c.Instance
	o.Log, o.Board, o.Tally = d.log, d.board, d.tally
	o.Successor, o.Missing = d.successor, r.missing
	o.Encrypted = c.Pair.Passphrase.Set()
	o.Watched, o.Attempts, o.Needs = watched(c), attempts(c, c.Pair.Dir), needs(c)
	o.RootsBook = rootsBook(c.Pair.Dir)
	for _, s := range c.Servers {
		s.Warn = agent.Relaxed(d.log, s.Address, s.InsecureSkipVerify)
		server := agent.Server{Name: s.Address, Redis: reload.New(s)}
		if s.Restart != "" {
			server.Unit = unit.New(s.Restart)
		}
		o.Servers = append(o.Servers, server)
	}
	return agent.New(o), nil
}

// options returns what the agents of all pairs of c have in common: that of the servers,
// and those of clients beside it. The name is that of a client's pair; empty: the servers'.
func (d *Daemon) options(c *config.Config, client string) (agent.Options, error) {
	roots, err := cert.ReadCertificates(c.Roots.File)
	if err != nil {
		return agent.Options{}, fmt.Errorf("roots.file: %w", err)
	}
	o := agent.Options{
		KeyType:    c.KeyType,
		ReuseKey:   c.ReuseKey,
		Roots:      roots,
		ExactRoots: c.Roots.Exact,
		Grace:      c.Roots.Grace,
		Shared:     &d.roots,
		Policy:     c.Policy,
		Warn:       c.Monitor.Warn,
		Crit:       c.Monitor.Crit,
		Clock:      agent.KernelClock(c.ClockWait),
		Version:    d.version,
		LookEvery:  lookEvery(c),
		Beside:     client != "",
	}
	for _, i := range c.Issuers {
		o.Authorities = append(o.Authorities, d.authorityOf(i, roots, client))
	}
	return o, nil
}

// attempts returns the file in dir that counts failed orders; empty where nobody else does.
func attempts(c *config.Config, dir string) string {
	if slices.ContainsFunc(c.Issuers, func(i config.Issuer) bool { return i.ACME != nil }) {
		return filepath.Join(dir, "attempts.json")
	}
	return ""
}

// rootsBook returns the file in dir that remembers roots.
func rootsBook(dir string) string { return filepath.Join(dir, "roots.json") }

// watched returns the certificates of others that c names.
func watched(c *config.Config) []agent.File {
	var files []agent.File
	for _, s := range c.Servers {
		if s.ClientCert != "" {
			files = append(files, agent.File{Path: s.ClientCert, Server: s.Address})
		}
	}
	for _, path := range c.Monitor.Files {
		files = append(files, agent.File{Path: path})
	}
	return files
}

func usage(usages []string) agent.Usage {
	if usages == nil {
		return agent.Auto
	}
	server, client := slices.Contains(usages, "server"), slices.Contains(usages, "client")
	switch {
	case server && client:
		return agent.ServerAndClient
	case client:
		return agent.ClientOnly
	}
	return agent.ServerOnly
}
