package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxSocketPath is what fits into sun_path with its closing zero (unix(7)).
const maxSocketPath = 107

// Validate tells everything that is wrong with a configuration, as a *Faults,
// and changes nothing. It looks at no file.
func (c *Config) Validate() error {
	d := newDocument(c.Path)
	d.lines[""] = 0
	validate(c, d)
	return d.err()
}

func validate(c *Config, d *document) {
	if c.Instance == "" || strings.Trim(c.Instance, letters+digits+"-_.@") != "" || c.Instance[0] == '.' {
		d.fault("instance", "%s is not a name for an instance; use letters, digits and - _ . (without this key it is the name of the file)", quote(c.Instance))
	}
	absolute(d, "directory", c.Directory)
	absolute(d, "control", c.Control)
	if len(c.Control) > maxSocketPath {
		d.fault("control", "the path of a unix socket has at most %d bytes, and this has %d; write a shorter one", maxSocketPath, len(c.Control))
	}
	validateIssuers(c, d)
	validateNames(c.Names, d)
	oneOf(d, "key.type", c.Key.Type, KeyTypes)
	validateServers(c, d)
	validatePaths(c, d)
	validateMode(c.Files, d)
	if c.Roots.File != "" || d.has("roots.file") {
		absolute(d, "roots.file", c.Roots.File)
	}
	oneOf(d, "roots.policy", c.Roots.Policy, []string{"merge", "exact"})
	validateUsages(c.Usages, d)
	if c.Keep < 1 {
		d.fault("keep", "%d previous generations leave nothing to roll back to; write 1 or more", c.Keep)
	}
	if c.Jitter < 0 || c.Jitter > 0.25 {
		d.fault("jitter", "%g%% is not between 0%% and 25%%; write it like 5%%", c.Jitter*100)
	}
	if c.ClockWait < 0 {
		d.fault("clock_wait", "%s is negative; write 0s or more", c.ClockWait)
	}
	validateMonitor(c.Monitor, d)
	validateMetrics(c.Metrics, d)
	validateNotify(c, d)
}

func validateNames(names []string, d *document) {
	if len(names) == 0 {
		d.fault("names", "missing; write the names that clients connect to, like names: [redis1.internal, 10.0.0.5]")
	}
	for i, n := range names {
		field := fmt.Sprintf("names[%d]", i)
		if normal, err := normalName(n); err != nil {
			d.fault(field, "%s %v", quote(n), err)
		} else if j := slices.Index(names, normal); j >= 0 && j < i {
			d.fault(field, "%s is already names[%d]; keep one of them", quote(n), j)
		}
	}
}

func validatePaths(c *Config, d *document) {
	p := c.Paths
	given := func(value, key string) bool { return value != "" || d.has("paths."+key) }
	cert, key, ca := given(p.Cert, "cert"), given(p.Key, "key"), given(p.CA, "ca")
	if (key || ca) && !cert {
		d.fault("paths.cert", "missing; certificate and key go together: write the tls-cert-file of redis.conf")
	}
	if (cert || ca) && !key {
		d.fault("paths.key", "missing; certificate and key go together: write the tls-key-file of redis.conf")
	}
	seen := map[string]string{}
	for _, f := range []struct{ key, path string }{{"cert", p.Cert}, {"key", p.Key}, {"ca", p.CA}} {
		field := "paths." + f.key
		if f.path == "" && !d.has(field) {
			continue
		}
		absolute(d, field, f.path)
		if other, ok := seen[filepath.Clean(f.path)]; ok && !c.MonitorOnly { // where it only reads, one file may hold all
			d.fault(field, "%s is already %s; the agent writes each into a file of its own", quote(f.path), other)
		}
		seen[filepath.Clean(f.path)] = field
		if rel, err := filepath.Rel(c.Directory, f.path); err == nil && filepath.IsLocal(rel) {
			d.fault(field, "%s is inside of %s; leave paths out: redis.conf may name current/redis.crt, redis.key and ca.crt there as they are", quote(f.path), c.Directory)
		}
	}
}

func validateMode(f Files, d *document) {
	const field = "files.mode"
	switch m := f.Mode; {
	case m&0o007 != 0:
		d.fault(field, "\"%04o\" lets everybody read the private key; write \"0640\" or \"0600\"", m)
	case m&^0o660 != 0:
		d.fault(field, "\"%04o\" makes a key executable; write \"0640\" or \"0600\"", m)
	case m&0o400 == 0:
		d.fault(field, "\"%04o\" keeps the agent itself from reading; write \"0640\" or \"0600\"", m)
	}
}

func validateUsages(usages []string, d *document) {
	for i, u := range usages {
		oneOf(d, fmt.Sprintf("usages[%d]", i), u, []string{"server", "client"})
	}
	if (usages != nil || d.has("usages") && d.texts["usages"] != "auto") && !slices.Contains(usages, "server") {
		d.fault("usages", "a Redis certificate needs the usage server; write auto, [server] or [server, client]")
	}
}

func absolute(d *document, field, path string) {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		d.fault(field, "%s is not an absolute path; begin it with /", quote(path))
	}
}

func positive(d *document, field string, v time.Duration) {
	if v <= 0 {
		d.fault(field, "%s is not a time to wait; write it like 5s", v)
	}
}

func oneOf(d *document, field, value string, known []string) {
	if !slices.Contains(known, value) {
		d.fault(field, "%s is not known; %s", quote(value), meant(value, known))
	}
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// splitAddress returns the host, or what is wrong with host and port; the
// hint ends what it says.
func splitAddress(address, hint string) (host, fault string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil && !strings.HasSuffix(address, "]") && strings.Count(address, ":") > 1 {
		return "", "is an IPv6 address without brackets; " + hint
	}
	if err != nil {
		return "", "has no port; " + hint
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "has no port between 1 and 65535; " + hint
	}
	if _, err := netip.ParseAddr(host); err != nil && dnsFault(strings.ToLower(host)) != "" {
		return "", "does not name a host; " + hint
	}
	return host, ""
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
