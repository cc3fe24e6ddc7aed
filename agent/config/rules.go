package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/option"
	"redis-cert-agent/agent/secret"
	"redis-cert-agent/reload"
)

// faults notes everything that cannot work. The rules of a value are those of
// the package that uses it; here are those of this package's own, and those that
// need to know the values of two packages.
func (c *Config) faults(d *document) {
	const signs = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@"
	if c.Instance == "" || strings.Trim(c.Instance, signs) != "" || c.Instance[0] == '.' {
		d.Fault("instance", "%s is not a name for an instance; use letters, digits and - _ . (without this key it is the name of the file)", option.Quote(c.Instance))
	}
	option.Absolute(d, "control", c.Control)
	if len(c.Control) > option.MaxSocketPath {
		d.Fault("control", "the path of a unix socket has at most %d bytes, and this has %d; write a shorter one", option.MaxSocketPath, len(c.Control))
	}
	c.issuerFaults(d)
	c.nameFaults(d)
	if c.KeyType != "" || d.Given("key.type") {
		option.OneOf(d, "key.type", c.KeyType, cert.KeyTypes)
	}
	c.serverFaults(d)
	if c.External {
		c.Pair.External().Faults(d)
	} else {
		c.Pair.Faults(d)
	}
	for _, f := range []struct{ field, path string }{{"paths.cert", c.Pair.Paths.Cert}, {"paths.key", c.Pair.Paths.Key}, {"paths.ca", c.Pair.Paths.CA}} {
		if rel, err := filepath.Rel(c.Pair.Dir, f.path); err == nil && filepath.IsLocal(rel) {
			d.Fault(f.field, "%s is inside of %s; leave paths out: redis.conf may name current/redis.crt, redis.key and ca.crt there as they are", option.Quote(f.path), c.Pair.Dir)
		}
	}
	option.AbsoluteOrNone(d, "roots.file", c.Roots.File)
	if c.External && c.Pair.Paths.Cert+c.Pair.Paths.Key != "" && c.Pair.Paths.CA == "" && c.Roots.File == "" {
		d.Fault("roots.file", "missing; without paths.ca nothing tells which CA clients trust: write the root's PEM file, for a public CA like /etc/ssl/certs/ca-certificates.crt, or the tls-ca-cert-file of redis.conf as paths.ca")
	}
	if c.Roots.Grace < 0 || c.Roots.Grace == 0 && d.Given("roots.grace") {
		d.Fault("roots.grace", "%s would take a root from clients that still use it; write a time like 30d, or leave it out", c.Roots.Grace)
	}
	for i, u := range c.Usages {
		option.OneOf(d, fmt.Sprintf("usages[%d]", i), u, []string{"server", "client"})
	}
	if c.Usages != nil && !slices.Contains(c.Usages, "server") {
		d.Fault("usages", "a Redis certificate needs the usage server; write auto, [server] or [server, client]")
	}
	c.clientPairFaults(d)
	c.Policy.Faults(d)
	if c.ClockWait < 0 {
		d.Fault("clock_wait", "%s is negative; write 0s or more", c.ClockWait)
	}
	c.watchFaults(d)
}

func (c *Config) issuerFaults(d *document) {
	if len(c.Issuers) == 0 && !c.External {
		d.Fault("issuer", "no certificate authority is given; write step: or acme: under it")
	}
	for i, issuer := range c.Issuers {
		field := c.issuerField(d, i)
		if issuer.Step != nil {
			issuer.Step.Faults(option.Under(d, field+".step"))
		}
		if issuer.ACME != nil {
			c.acmeFaults(d, field+".acme", issuer)
		}
		switch {
		case issuer.Step == nil && issuer.ACME == nil:
			d.Fault(field, "no certificate authority is given; write step: or acme: under it")
		case issuer.Step != nil && issuer.ACME != nil:
			d.Fault(field, "step and acme are in one mapping, which tells no order; write them as a list, the one to ask first at its head, like [{step: {…}}, {acme: {…}}]")
		}
	}
}

func (c *Config) acmeFaults(d *document, field string, issuer Issuer) {
	a, key := issuer.ACME, issuer.ACME.AccountKeyFile
	// The default follows directory, which has its own fault when it has one.
	if d.Given(field+".account_key") || filepath.IsAbs(c.Pair.Dir) {
		c.accountKeyFaults(d, field+".account_key", key)
	} else {
		d.broken[field+".account_key"] = true
	}
	a.Faults(option.Under(d, field))
	if a.Challenge != nil {
		if err := a.Provable(c.Names); err != nil {
			d.Fault(field+".challenge", "%v", err)
		}
	}
}

// accountKeyFaults keeps the key, which is reused for ever, from the places where
// the agent puts, replaces and removes other files.
func (c *Config) accountKeyFaults(d *document, field, path string) {
	p := c.Pair.Paths
	for _, other := range []string{p.Cert, p.Key, p.CA} {
		if other != "" && filepath.Clean(other) == filepath.Clean(path) {
			d.Fault(field, "%s is already among paths; the account has a key of its own, so name another file", option.Quote(path))
		}
	}
	if filepath.IsAbs(path) && c.Pair.Owns(path) {
		d.Fault(field, "%s is a place of the certificates; write a file beside, like %s", option.Quote(path), filepath.Join(c.Pair.Dir, "acme-account.key"))
	}
}

func (c *Config) nameFaults(d *document) {
	if len(c.Names) == 0 {
		d.Fault("names", "missing; write the names that clients connect to, like names: [redis1.internal, 10.0.0.5]")
	}
	for i, n := range c.Names {
		if j := slices.Index(c.Names, n); j < i {
			d.Fault(fmt.Sprintf("names[%d]", i), "%s is already names[%d]; keep one of them", option.Quote(n), j)
		}
	}
}

func (c *Config) serverFaults(d *document) {
	if len(c.Servers) == 0 {
		d.Fault("servers", "missing; write the TLS address of Redis, like servers: [127.0.0.1:6379]")
	}
	for i, s := range c.Servers {
		field := fmt.Sprintf("servers[%d]", i)
		same := func(o reload.Server) bool { return o.Address == s.Address }
		if j := slices.IndexFunc(c.Servers, same); j < i && s.Address != "" {
			d.Fault(field+".address", "%s is already servers[%d]; keep one of them", option.Quote(s.Address), j)
		}
		if isSource(s.Address) {
			sourceFaults(s, option.Under(d, field))
		} else {
			s.Faults(option.Under(d, field))
		}
		// A broken list of names has its own faults.
		if s.Name != "" && len(c.Names) > 0 && !slices.Contains(c.Names, "") && !covered(s.Name, c.Names) {
			d.Fault(field+".name", "%s is not among names, so no certificate will have it; add it to names, or write one of %s", option.Quote(s.Name), strings.Join(c.Names, ", "))
		}
	}
}

// covered says whether a certificate with names is good for name.
func covered(name string, names []string) bool {
	_, rest, _ := strings.Cut(name, ".")
	return slices.ContainsFunc(names, func(n string) bool {
		suffix, wildcard := strings.CutPrefix(n, "*.")
		return n == name || wildcard && rest == suffix
	})
}

func (c *Config) watchFaults(d *document) {
	for i, path := range c.Monitor.Files {
		field := fmt.Sprintf("monitor.files[%d]", i)
		option.Absolute(d, field, path)
		if j := slices.Index(c.Monitor.Files, path); j < i {
			d.Fault(field, "%s is already monitor.files[%d]; keep one of them", option.Quote(path), j)
		}
	}
	c.Monitor.Margins.Faults(option.Under(d, "monitor"))
	c.Metrics.Faults(option.Under(d, "metrics"))
	for i, t := range c.Notify {
		t.Faults(option.Under(d, fmt.Sprintf("notify[%d]", i)))
	}
	if c.Heartbeat != nil {
		c.Heartbeat.Faults(option.Under(d, "heartbeat"))
	}
}

// getsByItself says whether a file is that of one of pairs, which is there when the agent has
// asked for it.
func (c *Config) getsByItself(path string) bool {
	return slices.ContainsFunc(c.ClientPairs, func(p ClientPair) bool { return p.Pair.Named().Cert == path })
}

// fileFaults looks at the files and secrets that the configuration names.
func (c *Config) fileFaults(d *document) {
	for i, issuer := range c.Issuers {
		if field := c.issuerField(d, i); issuer.Step != nil {
			issuer.Step.FileFaults(option.Under(d, field+".step"))
		}
		if field := c.issuerField(d, i); issuer.ACME != nil {
			issuer.ACME.FileFaults(option.Under(d, field+".acme"))
		}
	}
	for i, s := range c.Servers {
		if c.getsByItself(s.ClientCert) {
			s.ClientCert, s.ClientKey = "", secret.Secret{}
		}
		s.FileFaults(option.Under(d, fmt.Sprintf("servers[%d]", i)))
	}
	c.Pair.FileFaults(d, "key.passphrase_file")
	for i, p := range c.ClientPairs {
		p.Pair.FileFaults(d, fmt.Sprintf("pairs[%d].passphrase_file", i))
		p.Command.FileFaults(option.Under(d, fmt.Sprintf("pairs[%d].command", i)))
	}
	option.Certificates(d, "roots.file", c.Roots.File)
	for i, t := range c.Notify {
		t.FileFaults(option.Under(d, fmt.Sprintf("notify[%d]", i)))
	}
	if c.Heartbeat != nil {
		c.Heartbeat.FileFaults(option.Under(d, "heartbeat"))
	}
}
