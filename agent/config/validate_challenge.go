package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

func validateChallenge(a *ACME, field string, names []string, d *document) {
	c, set := a.Challenge, 0
	if c.HTTP01 != nil {
		set++
		validateListen(c.HTTP01.Listen, field+".http-01.listen", ":80", d)
	}
	if c.TLSALPN01 != nil {
		set++
		validateListen(c.TLSALPN01.Listen, field+".tls-alpn-01.listen", ":443", d)
	}
	if c.DNS01 != nil {
		set++
		validateWait(a, field+".dns-01.wait", d)
		validateDNS01(c.DNS01, field+".dns-01", d)
	}
	switch {
	case set == 0:
		d.fault(field, "no challenge is given; write one of %s", strings.Join(ChallengeTypes, ", "))
	case set > 1:
		d.fault(field, "more than one challenge is given, and an order uses one; keep one of them")
	default:
		validateProvable(c, field, names, d)
	}
}

// validateProvable checks that the challenge can prove every name. RFC 8555
// leaves wildcards to the CA, and CAs accept dns-01 only, as no other
// challenge shows control of a whole domain (CA/Browser Forum BR, 3.2.2.4).
// RFC 8738, 7: dns-01 must not be used for IP identifiers.
func validateProvable(c Challenge, field string, names []string, d *document) {
	isIP := func(n string) bool { _, err := netip.ParseAddr(n); return err == nil }
	isWildcard := func(n string) bool { return strings.HasPrefix(n, "*.") }
	ip, wildcard := slices.IndexFunc(names, isIP), slices.IndexFunc(names, isWildcard)
	switch {
	case ip >= 0 && wildcard >= 0:
		d.fault(field, "no challenge proves both %s and %s: wildcards need dns-01, and IP addresses any other; leave one of them out of names", quote(names[wildcard]), quote(names[ip]))
	case wildcard >= 0 && c.DNS01 == nil:
		d.fault(field, "only dns-01 proves a wildcard, and names has %s; write dns-01 with server or command, or name the hosts one by one", quote(names[wildcard]))
	case ip >= 0 && c.DNS01 != nil:
		d.fault(field, "dns-01 proves no IP address (RFC 8738), and names has %s; write http-01 or tls-alpn-01, or leave the address out of names", quote(names[ip]))
	}
}

// validateListen checks an address to listen at, whose host may be empty.
func validateListen(listen, field, example string, d *document) {
	address := listen
	if strings.HasPrefix(listen, ":") {
		address = "0.0.0.0" + listen
	}
	if _, fault := splitAddress(address, "write it like \""+example+"\" or 10.0.0.5"+example); fault != "" {
		d.fault(field, "%s %s", quote(listen), fault)
	}
}

func validateDNS01(c *DNS01, field string, d *document) {
	server := c.Server != "" || d.has(field+".server")
	command := c.Command != nil || d.has(field+".command")
	switch {
	case server && command:
		validateServerDNS(c, field, d)
		validateCommand(c.Command, field+".command", d)
		d.fault(field, "server and command are both given; keep server for dynamic updates (RFC 2136), or command for a program that sets the record")
	case server:
		validateServerDNS(c, field, d)
	case command:
		validateCommand(c.Command, field+".command", d)
		for _, key := range []string{"zone", "tsig_name", "tsig_algorithm", "tsig_secret_file", "ttl"} {
			if d.has(field + "." + key) {
				d.fault(field+"."+key, "this belongs to server, and command is given; leave it out, or hand it to the program as an argument")
			}
		}
	default:
		d.fault(field, "neither server nor command is given; write server and zone for dynamic updates (RFC 2136), or command for a program that sets the record")
	}
}

func validateWait(a *ACME, field string, d *document) {
	wait := a.Challenge.DNS01.Wait
	if wait < 0 {
		d.fault(field, "%s is negative; write 0s or more", wait)
	}
	// The default gives way to a short timeout silently: the order ends anyway.
	if d.has(field) && a.Timeout > 0 && wait >= a.Timeout {
		d.fault(field, "%s is not less than the timeout of the whole order, %s; write less, or a longer timeout", wait, a.Timeout)
	}
}

// validateServerDNS checks what belongs to dynamic updates.
func validateServerDNS(c *DNS01, field string, d *document) {
	if _, fault := splitAddress(c.Server, `write it like 10.0.0.53:53 or "[::1]:53"`); fault != "" {
		d.fault(field+".server", "%s %s", quote(c.Server), fault)
	}
	if c.Zone == "" && !d.has(field+".zone") {
		d.fault(field+".zone", "missing; write the zone of the server that the records go to, like internal or example.com")
	} else if normal, err := normalZone(c.Zone); err != nil {
		d.fault(field+".zone", "%s %v", quote(c.Zone), err)
	} else if normal != c.Zone {
		d.fault(field+".zone", "%s is not in lower case without the last dot", quote(c.Zone))
	}
	validateTSIG(c, field, d)
	if c.TTL < 0 || c.TTL > 24*time.Hour || c.TTL%time.Second != 0 {
		d.fault(field+".ttl", "%s is not a sane TTL for a record that lives for minutes; write whole seconds, like 60s", c.TTL)
	}
}

func validateTSIG(c *DNS01, field string, d *document) {
	name := c.TSIGName != "" || d.has(field+".tsig_name")
	secret := c.TSIGSecret.Set() || d.has(field+".tsig_secret_file")
	if (secret || d.has(field+".tsig_algorithm")) && !name {
		d.fault(field+".tsig_name", "missing; write the name of the TSIG key, as the name server knows it")
	}
	if (name || d.has(field+".tsig_algorithm")) && !secret {
		d.fault(field+".tsig_secret_file", "missing; write the path of the file that holds the secret of the TSIG key, or credential:NAME")
	}
	if name {
		if normal, err := normalKeyName(c.TSIGName); err != nil {
			d.fault(field+".tsig_name", "%s %v", quote(c.TSIGName), err)
		} else if normal != c.TSIGName {
			d.fault(field+".tsig_name", "%s is not in lower case without the last dot", quote(c.TSIGName))
		}
	}
	oneOf(d, field+".tsig_algorithm", c.TSIGAlgorithm, TSIGAlgorithms)
}

func validateCommand(command []string, field string, d *document) {
	if len(command) == 0 {
		d.fault(field, "this is empty; write the program and its arguments, like [/usr/local/bin/dns-hook, --zone, internal]")
		return
	}
	absolute(d, field+"[0]", command[0])
	if i := slices.IndexFunc(command, func(s string) bool { return strings.ContainsRune(s, 0) }); i > 0 {
		d.fault(field, "argument %d has a zero byte, which no program can be given; leave it out", i)
	}
}
