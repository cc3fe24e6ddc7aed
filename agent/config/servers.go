package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

func validateServers(c *Config, d *document) {
	if len(c.Servers) == 0 {
		d.fault("servers", "missing; write the TLS address of Redis, like servers: [127.0.0.1:6379]")
	}
	for i, s := range c.Servers {
		field := fmt.Sprintf("servers[%d]", i)
		validateAddress(s, field, d)
		same := func(o Server) bool { return o.Address == s.Address }
		if j := slices.IndexFunc(c.Servers, same); j < i && s.Address != "" {
			d.fault(field+".address", "%s is already servers[%d]; keep one of them", quote(s.Address), j)
		}
		validateServerName(s.Name, field+".name", c.Names, d)
		validateControl(s.Control, field+".control", d)
		if s.User != "" && strings.ContainsAny(s.User, " \t\r\n\x00") {
			d.fault(field+".user", "%s is not the name of a Redis user; it has no spaces", quote(s.User))
		}
		validateClient(s, field, d)
		if s.ConfigCommand == "" || strings.ContainsAny(s.ConfigCommand, " \t\r\n\x00") {
			d.fault(field+".config_command", "%s is not a command; write the name that rename-command gives to CONFIG", quote(s.ConfigCommand))
		}
		positive(d, field+".timeout", s.Timeout)
	}
}

func validateAddress(s Server, field string, d *document) {
	if s.Address == "" && !d.has(field+".address") {
		d.fault(field+".address", "missing; write the TLS address of Redis, like 127.0.0.1:6379")
		return
	}
	if strings.HasPrefix(s.Address, "unix:") || strings.HasPrefix(s.Address, "/") {
		d.fault(field+".address", "%s is a unix socket, and Redis speaks no TLS there; write the TLS address here and the socket under control:", quote(s.Address))
		return
	}
	host, fault := splitAddress(s.Address, `write it like 127.0.0.1:6379 or "[::1]:6379"`)
	if fault != "" {
		d.fault(field+".address", "%s %s", quote(s.Address), fault)
		return
	}
	if s.InsecureSkipVerify && !isLoopback(host) {
		d.fault(field+".insecure_skip_verify", "%s is not a loopback address, so its certificate must be verified; leave this out, or write the address as 127.0.0.1", quote(s.Address))
	}
}

// validateServerName checks that the proof asks for a name which the
// certificate will have.
func validateServerName(name, field string, names []string, d *document) {
	if name == "" && !d.has(field) {
		return
	}
	normal, err := normalName(name)
	if err != nil {
		d.fault(field, "%s %v", quote(name), err)
		return
	}
	covered := func(n string) bool {
		suffix, wildcard := strings.CutPrefix(n, "*")
		_, rest, _ := strings.Cut(normal, ".")
		return n == normal || wildcard && "."+rest == suffix
	}
	// A broken list of names has its own faults.
	if len(names) > 0 && !slices.Contains(names, "") && !slices.ContainsFunc(names, covered) {
		d.fault(field, "%s is not among names, so no certificate will have it; add it to names, or write one of %s", quote(name), strings.Join(names, ", "))
	}
}

func validateControl(control, field string, d *document) {
	if control == "" && !d.has(field) {
		return
	}
	path, unix := strings.CutPrefix(control, "unix:")
	address, plain := strings.CutPrefix(control, "plain:")
	switch {
	case unix:
		if !filepath.IsAbs(path) || len(path) > maxSocketPath {
			d.fault(field, "%s does not name a unix socket; write it like unix:/run/redis/redis.sock", quote(control))
		}
	case plain:
		host, fault := splitAddress(address, `write it like plain:127.0.0.1:6390 or "plain:[::1]:6390"`)
		if fault != "" {
			d.fault(field, "%s %s", quote(control), fault)
		} else if !isLoopback(host) {
			d.fault(field, "%s would send the password unencrypted over the network; write plain:127.0.0.1:PORT, or leave it out to use TLS", quote(control))
		}
	default:
		d.fault(field, "%s is neither unix:/path nor plain:127.0.0.1:PORT; write one of these, or leave it out to use the TLS address", quote(control))
	}
}

func validateClient(s Server, field string, d *document) {
	cert := s.ClientCert != "" || d.has(field+".client_cert")
	key := s.ClientKey.Set() || d.has(field+".client_key")
	if cert {
		absolute(d, field+".client_cert", s.ClientCert)
	}
	if cert && !key {
		d.fault(field+".client_key", "missing; client_cert and client_key go together: write the path of the key, or credential:NAME")
	}
	if key && !cert {
		d.fault(field+".client_cert", "missing; client_cert and client_key go together: write the path of the certificate")
	}
}
