package main

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/check"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/reload"
)

// configured are the targets that the configuration names. Secrets that only
// the agent gets are not asked for.
func (o *checkOptions) configured() ([]check.Target, error) {
	c, err := config.LoadWithoutSecrets(o.config)
	if errors.Is(err, fs.ErrNotExist) && !o.given {
		return nil, usageError{errors.New("nothing to check: name a server as HOST:PORT, a certificate with --file, or write " + o.config)}
	}
	if err != nil {
		return nil, err
	}
	warn, crit, err := o.margins(c.Monitor)
	if err != nil {
		return nil, err
	}
	files := filesOf(c)
	trust, err := o.configuredTrust(c, files.CA)
	if err != nil {
		return nil, err
	}
	want := check.Want{Warn: warn, Crit: crit, Trust: trust, Renews: !c.MonitorOnly, Loads: true}
	var targets []check.Target
	for _, s := range c.Servers {
		targets = append(targets, o.configuredServer(s, files, want))
	}
	targets = append(targets, pairTarget(c, files, want))
	if c.Paths.CA != "" || !c.MonitorOnly { // who renews by hand may have none
		targets = append(targets, check.Target{Kind: check.CA, Path: files.CA, Want: want})
	}
	return append(targets, othersOf(c, files, want)...), nil
}

// filesOf are the files that redis.conf names.
func filesOf(c *config.Config) config.Paths {
	current := filepath.Join(c.Directory, "current")
	p := config.Paths{Cert: filepath.Join(current, "redis.crt"), Key: filepath.Join(current, "redis.key"), CA: filepath.Join(current, "ca.crt")}
	if c.Paths.Cert != "" {
		p.Cert, p.Key = c.Paths.Cert, c.Paths.Key
	}
	if c.Paths.CA != "" {
		p.CA = c.Paths.CA
	}
	return p
}

// configuredTrust is what clients trust: --ca, or ca.crt, which is theirs as
// well, with roots.file. What is wrong with ca.crt, its own target says.
func (o *checkOptions) configuredTrust(c *config.Config, ca string) (check.Trust, error) {
	if len(o.cas) > 0 {
		return o.trust()
	}
	roots, err := readRoots("roots.file", c.Roots.File)
	if err != nil {
		return check.Trust{}, err
	}
	if text, err := os.ReadFile(ca); err == nil {
		own, _ := cert.ParseCertificates(text)
		roots = cert.Merge(own, roots)
	}
	if len(roots) == 0 {
		return check.SystemTrust()
	}
	return check.NewTrust(roots), nil
}

func (o *checkOptions) configuredServer(s config.Server, files config.Paths, want check.Want) check.Target {
	want.Role = check.ServerRole
	if s.Name != "" {
		want.Names = []string{s.Name}
	}
	t := check.Target{
		Kind: check.Server, Disk: files.Cert, Want: want,
		Peer: reload.Server{Address: s.Address, Name: s.Name, Timeout: o.timeout},
	}
	if s.ClientCert != "" {
		if own, err := clientPair(s); err == nil { // else its own target says why
			t.Peer.Client = func() (*tls.Certificate, error) { return own, nil }
		}
		return t
	}
	if own, err := tls.LoadX509KeyPair(files.Cert, files.Key); err == nil {
		t.Pair = &reload.Trust{Client: &own}
	}
	return t
}

func pairTarget(c *config.Config, files config.Paths, want check.Want) check.Target {
	want.Role, want.Names = check.ServerRole, c.Names
	group := -1
	if c.Files.Mode&0o040 != 0 && !c.MonitorOnly {
		group = c.Files.GID
	}
	return check.Target{Kind: check.File, Path: files.Cert, Key: check.Keys{Path: files.Key, Group: group}, Want: want}
}

// othersOf are the certificates that others renew: of clients, mostly.
func othersOf(c *config.Config, files config.Paths, want check.Want) []check.Target {
	want.Renews, want.Loads, want.AnyCA = false, false, true
	var targets []check.Target
	seen := map[string]bool{files.Cert: true, files.CA: true}
	add := func(path string, key config.Secret, role check.Role) {
		if seen[path] {
			return
		}
		seen[path] = true
		own := want
		own.Role = role
		t := check.Target{Kind: check.File, Path: path, Key: check.Keys{Group: -1}, Want: own}
		if key.Set() && !strings.HasPrefix(key.String(), "credential:") {
			t.Key.Path = key.String()
		}
		targets = append(targets, t)
	}
	for _, s := range c.Servers {
		if s.ClientCert != "" {
			add(s.ClientCert, s.ClientKey, check.ClientRole)
		}
	}
	for _, path := range c.Monitor.Files {
		add(path, config.Secret{}, check.AnyRole)
	}
	return targets
}
