package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/report"
	"redis-cert-agent/reload"
)

// storeOptions returns where the pair of c lies.
func storeOptions(c *config.Config) pair.Options {
	return pair.Options{
		Dir:   c.Directory,
		Paths: pair.Paths(c.Paths),
		UID:   c.Files.UID, GID: c.Files.GID, Mode: c.Files.Mode,
		Keep: c.Keep, Theirs: c.MonitorOnly,
	}
}

// A base is what outlives a change of the configuration.
type base struct {
	log    *slog.Logger
	board  *report.Board
	notify report.Notifier

	successor bool // agents that are built from now on follow another
}

// build puts an agent together for c. The store is c's.
func (b base) build(c *config.Config, store *pair.Store) (*agent.Agent, error) {
	roots, err := readRoots("roots.file", c.Roots.File)
	if err != nil {
		return nil, err
	}
	o := agent.Options{
		Store:       store,
		MonitorOnly: c.MonitorOnly,
		Names:       c.Names,
		KeyType:     cert.KeyType(c.Key.Type),
		ReuseKey:    c.Key.Reuse,
		Client:      usage(c.Usages),
		Roots:       roots,
		ExactRoots:  c.Roots.Policy == "exact",
		Policy:      plan.Policy{Jitter: c.Jitter},
		Watched:     watched(c),
		Warn:        cert.Margin(c.Monitor.Warn),
		Crit:        cert.Margin(c.Monitor.Crit),
		Log:         b.log,
		Board:       b.board,
		Notify:      b.notify,
		Clock:       agent.KernelClock(c.ClockWait),
		Instance:    c.Instance,
		Version:     releaseVersion(),
		Successor:   b.successor,
		LookEvery:   lookEvery(c),
	}
	for _, i := range c.Issuers {
		if i.ACME != nil {
			o.Attempts = filepath.Join(c.Directory, "attempts.json")
		}
		authority, err := b.authorityOf(i, roots)
		if err != nil {
			return nil, err
		}
		o.Authorities = append(o.Authorities, authority)
	}
	for _, s := range c.Servers {
		o.Servers = append(o.Servers, b.server(s))
	}
	return agent.New(o), nil
}

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
	for _, u := range usages {
		if u == "client" {
			return agent.ServerAndClient
		}
	}
	return agent.ServerOnly
}

// server returns the redis that s describes.
func (b base) server(s config.Server) agent.Server {
	o := reload.Server{
		Address: s.Address, Name: s.Name, Control: s.Control, User: s.User,
		ConfigCommand: s.ConfigCommand, InsecureSkipVerify: s.InsecureSkipVerify, Timeout: s.Timeout,
		Warn: agent.Relaxed(b.log, s.Address, s.InsecureSkipVerify),
	}
	if s.Password.Set() {
		o.Password = func() (string, error) {
			p, err := s.Password.Read()
			return string(p), err
		}
	}
	if s.ClientCert != "" {
		o.Client = func() (*tls.Certificate, error) { return clientPair(s) }
	}
	return agent.Server{Name: s.Address, Redis: reload.New(o)}
}

// clientPair reads the client certificate that s presents, at each use: someone
// else renews it.
func clientPair(s config.Server) (*tls.Certificate, error) {
	chain, err := os.ReadFile(s.ClientCert)
	if err != nil {
		return nil, fmt.Errorf("client_cert: %w", err)
	}
	key, err := s.ClientKey.Read()
	if err != nil {
		return nil, fmt.Errorf("client_key: %w", err)
	}
	p, err := cert.Parse(chain, key, nil)
	if err != nil {
		return nil, fmt.Errorf("client_cert %s and client_key %s: %w; name a certificate and its own key", s.ClientCert, s.ClientKey, err)
	}
	c := p.TLS()
	return &c, nil
}

// readRoots reads the certificates in the file that field names; none when path
// is empty.
func readRoots(field, path string) ([]*x509.Certificate, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	roots, err := cert.ParseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w; name a PEM file of root certificates", field, path, err)
	}
	return roots, nil
}
