package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/check"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/reload"
)

// configured are the targets that the configuration names. Secrets that only
// the agent gets are not asked for.
func (o *checkOptions) configured(ctx context.Context, talk io.Writer) ([]check.Target, error) {
	c, err := config.LoadWithoutSecrets(o.config)
	if errors.Is(err, fs.ErrNotExist) && !o.given {
		return o.host(ctx, talk)
	}
	if err != nil {
		return nil, err
	}
	warn, crit, err := o.margins(c.Monitor.Margins)
	if err != nil {
		return nil, err
	}
	files := c.Pair.Named()
	trust, err := o.configuredTrust(c, files.CA)
	if err != nil {
		return nil, err
	}
	want := check.Want{Warn: warn, Crit: crit, Trust: trust, Renews: !c.External, Loads: true}
	var targets []check.Target
	more, err := o.sourced(ctx, c, files.Cert)
	if err != nil {
		return nil, err
	}
	here := o.places.Find().Servers
	for _, s := range slices.Concat(c.Servers, more) {
		t := o.configuredServer(s, files, want)
		if h := at(s.Address, here); h != nil {
			t.Links = o.links(o.ask(ctx, *h).Server)
		}
		targets = append(targets, t)
	}
	targets = append(targets, pairTarget(c, files, want))
	if c.Pair.Paths.CA != "" || !c.External { // who renews by hand may have none
		targets = append(targets, check.Target{Kind: check.CA, Path: files.CA, Want: want})
	}
	for _, p := range c.ClientPairs {
		targets = append(targets, clientPairTarget(p, want))
	}
	return append(targets, othersOf(c, files, want)...), nil
}

// configuredTrust is what clients trust: --ca, or ca.crt, which is theirs as
// well, with roots.file. What is wrong with ca.crt, its own target says.
func (o *checkOptions) configuredTrust(c *config.Config, ca string) (check.Trust, error) {
	if len(o.cas) > 0 {
		return o.trust()
	}
	roots, err := cert.ReadCertificates(c.Roots.File)
	if err != nil {
		return check.Trust{}, fmt.Errorf("roots.file: %w", err)
	}
	if text, _, err := disk.ReadInTime(ca, maxPEM); err == nil {
		own, _ := cert.ParseCertificates(text)
		roots = cert.Merge(own, roots)
	}
	if len(roots) == 0 {
		return check.SystemTrust()
	}
	return check.NewTrust(roots), nil
}

func (o *checkOptions) configuredServer(s reload.Server, files pair.Paths, want check.Want) check.Target {
	want.Role = check.ServerRole
	if s.Name != "" {
		want.Names = []string{s.Name}
	}
	t := check.Target{
		Kind: check.Server, Disk: files.Cert, Want: want,
		Peer: reload.Server{Address: s.Address, Name: s.Name, Timeout: o.timeout},
	}
	if s.ClientCert != "" {
		if own, err := s.ClientPair(); err == nil { // else its own target says why
			t.Peer.Client = func() (*tls.Certificate, error) { return own, nil }
		}
		return t
	}
	if own, err := readPair(files); err == nil { // else its own target says why
		t.Pair = &reload.Trust{Client: own}
	}
	return t
}

func readPair(files pair.Paths) (*tls.Certificate, error) {
	chain, _, err := disk.ReadInTime(files.Cert, maxPEM)
	if err != nil {
		return nil, err
	}
	key, _, err := disk.ReadInTime(files.Key, maxPEM)
	if err != nil {
		return nil, err
	}
	own, err := tls.X509KeyPair(chain, key)
	return &own, err
}

func pairTarget(c *config.Config, files pair.Paths, want check.Want) check.Target {
	want.Role, want.Names = check.ServerRole, c.Names
	group := -1
	if c.Pair.Mode&0o040 != 0 && !c.External {
		group = c.Pair.GID
	}
	return check.Target{Kind: check.File, Path: files.Cert, Key: check.Keys{Path: files.Key, Group: group}, Want: want}
}

// clientPairTarget is the pair of a client that the agent renews.
func clientPairTarget(p config.ClientPair, want check.Want) check.Target {
	files := p.Pair.Named()
	want.Role, want.Loads = check.ClientRole, false
	if slices.Contains(p.Usages, "server") {
		want.Role, want.Names = check.ServerRole, p.Names
	}
	group := -1
	if p.Pair.Mode&0o040 != 0 {
		group = p.Pair.GID
	}
	return check.Target{Kind: check.File, Path: files.Cert, Key: check.Keys{Path: files.Key, Group: group}, Want: want}
}

// othersOf are the certificates that others renew: of clients, mostly.
func othersOf(c *config.Config, files pair.Paths, want check.Want) []check.Target {
	want.Renews, want.Loads, want.AnyCA = false, false, true
	var targets []check.Target
	seen := map[string]bool{files.Cert: true, files.CA: true}
	add := func(path, key string, role check.Role) {
		if seen[path] {
			return
		}
		seen[path] = true
		own := want
		own.Role = role
		targets = append(targets, check.Target{Kind: check.File, Path: path, Key: check.Keys{Path: key, Group: -1}, Want: own})
	}
	for _, s := range c.Servers {
		if s.ClientCert != "" {
			add(s.ClientCert, s.ClientKey.Path(), check.ClientRole)
		}
	}
	for _, path := range c.Monitor.Files {
		add(path, "", check.AnyRole)
	}
	return targets
}
