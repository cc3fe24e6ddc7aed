package config

import (
	"strings"

	"redis-cert-agent/agent/option"
	"redis-cert-agent/reload"
)

// Auto stands for the servers of this host that load the pair, in the place of an
// address.
const Auto = "auto"

// A Source is an element of servers: that names no address. The servers that it leads to
// come and go.
type Source struct {
	Conf   string        // a redis.conf; empty: all of this host
	Server reload.Server // what holds for each server, but for its address
}

// String is what the configuration says.
func (s Source) String() string {
	if s.Conf != "" {
		return s.Conf
	}
	return Auto
}

// isSource says whether an address leads to servers by another way.
func isSource(address string) bool {
	return address == Auto || strings.HasPrefix(address, "/") && strings.HasSuffix(address, ".conf")
}

// sourceFaults are those of an element that names no address: its own, and the rest as
// of any server.
func sourceFaults(s reload.Server, r option.Report) {
	if r.Given("control") {
		r.Fault("control", "it belongs to one server, and %s may lead to several: leave it out, or write an element with the address", option.Quote(s.Address))
		s.Control = ""
	}
	if r.Given("restart") {
		r.Fault("restart", "it belongs to one Sentinel, and %s may lead to several: write an element with the address", option.Quote(s.Address))
		s.Restart = ""
	}
	s.Address = "127.0.0.1:6379" // as good as what will be found
	s.Faults(r)
}

// part parts the servers that are named by their address from the sources of others.
func (c *Config) part() {
	var servers []reload.Server
	for _, s := range c.Servers {
		if !isSource(s.Address) {
			servers = append(servers, s)
			continue
		}
		from := Source{Server: s}
		if s.Address != Auto {
			from.Conf = s.Address
		}
		from.Server.Address = ""
		c.Sources = append(c.Sources, from)
	}
	c.Servers = servers
}
