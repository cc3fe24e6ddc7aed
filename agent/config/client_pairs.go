package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/option"
	"redis-cert-agent/agent/pair"
)

// A ClientPair is a further certificate of the same authorities, mostly for a client.
type ClientPair struct {
	Name    string // of its directory, and for people
	Pair    pair.Options
	Names   []string
	Usages  []string       // "server", "client"
	Command notify.Command // what to run after a change; without arguments: nothing
}

// maxPairName keeps the name of a directory and of a label readable.
const maxPairName = 40

func (c *Config) clientPairs(d *document, field string, n ast.Node) {
	d.sequence(field, n, "write a list, like pairs: [{name: exporter, names: [exporter.internal]}]", func(d *document, field string, n ast.Node) {
		p := ClientPair{Pair: pair.DefaultOptions(), Usages: []string{"client"}}
		d.mapping(field, n, clientPairKeys(&p))
		c.ClientPairs = append(c.ClientPairs, p)
	})
}

func clientPairKeys(p *ClientPair) []key {
	return []key{
		{name: "name", example: "exporter", take: text(&p.Name),
			meaning: "names the pair in its directory, pairs/NAME in directory, and in the log; its files are current/redis.crt, current/redis.key and current/ca.crt there"},
		{name: "names", example: "[exporter.internal]", take: list(&p.Names, parseName),
			meaning: "the DNS names and IP addresses in this certificate; a step-ca makes the first its common name, by which tls-auth-clients-user knows the user of Redis"},
		{name: "usages", without: "[client]", example: "[server, client]", take: usages(&p.Usages),
			meaning: "the extended key usages that this certificate must have: [client], [server], or both"},
		{name: "paths", below: pathKeys(&p.Pair.Paths, "that a program names already; it becomes a symlink")},
		{name: "files", below: p.fileKeys()},
		{name: "passphrase_file", without: "none; the key is not encrypted", example: "credential:exporter-passphrase", take: secretIn(&p.Pair.Passphrase),
			meaning: "the passphrase with which the key of this pair is encrypted, as a file or credential:NAME; for one that Redis presents it is tls-client-key-file-pass"},
		{name: "command", without: "none", example: "[/usr/local/bin/exporter-reload]", take: command(&p.Command.Args),
			meaning: "the program to run after each change, and its arguments, without a shell; it has a minute, and is run again while it fails; in the sandbox of the unit this needs the drop-in command.conf"},
	}
}

func pathKeys(p *pair.Paths, what string) []key {
	return []key{
		{name: "cert", without: "none", example: "/etc/exporter/client.crt", take: text(&p.Cert), meaning: "a file with the certificate " + what},
		{name: "key", without: "none", example: "/etc/exporter/client.key", take: text(&p.Key), meaning: "the same with the key; cert and key go together"},
		{name: "ca", without: "none", example: "/etc/exporter/ca.crt", take: text(&p.CA), meaning: "the same with the CA certificates"},
	}
}

func (p *ClientPair) fileKeys() []key {
	return []key{
		{name: "owner", without: "the user of the agent", example: "root", take: account(&p.Pair.UID, accounts.user),
			meaning: "the user that owns the files, by name or number"},
		{name: "group", without: "that of the files of the servers", example: "root", take: account(&p.Pair.GID, accounts.group),
			meaning: "the group that may read the files, by name or number; in the sandbox of the unit this needs the drop-in pair-group.conf"},
		{name: "mode", without: `"0640"`, example: `"0640"`, take: into(&p.Pair.Mode, parseMode),
			meaning: "the mode of the files; others never get access"},
	}
}

// derivePairs fills in what follows from other keys.
func (c *Config) derivePairs(d *document) {
	for i := range c.ClientPairs {
		p := &c.ClientPairs[i]
		p.Pair.Dir, p.Pair.Keep = filepath.Join(c.Pair.Dir, "pairs", p.Name), c.Pair.Keep
		if !d.Given(fmt.Sprintf("pairs[%d].files.group", i)) {
			p.Pair.GID = c.Pair.GID
		}
	}
}

func (c *Config) clientPairFaults(d *document) {
	if c.External && d.Given("pairs") {
		d.Fault("pairs", "without an issuer there is nobody to ask for further certificates; leave pairs out")
	}
	for i, p := range c.ClientPairs {
		field := fmt.Sprintf("pairs[%d]", i)
		r := option.Under(d, field)
		const signs = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
		switch {
		case p.Name == "":
			r.Fault("name", "missing; write a word that tells it from other pairs, like exporter")
		case strings.Trim(p.Name, signs) != "" || p.Name[0] == '.' || len(p.Name) > maxPairName:
			r.Fault("name", "%s is not a name for a pair; use at most %d letters, digits and - _ .", option.Quote(p.Name), maxPairName)
		}
		if j := slices.IndexFunc(c.ClientPairs, func(o ClientPair) bool { return o.Name == p.Name }); j < i && p.Name != "" {
			r.Fault("name", "%s is already pairs[%d]; give it another name", option.Quote(p.Name), j)
		}
		if len(p.Names) == 0 {
			r.Fault("names", "missing; write the names that the certificate is to carry, like names: [exporter.internal]")
		}
		for k, n := range p.Names {
			if j := slices.Index(p.Names, n); j < k {
				r.Fault(fmt.Sprintf("names[%d]", k), "%s is already names[%d]; keep one of them", option.Quote(n), j)
			}
		}
		for k, u := range p.Usages {
			option.OneOf(r, fmt.Sprintf("usages[%d]", k), u, []string{"server", "client"})
		}
		if len(p.Usages) == 0 {
			r.Fault("usages", "a certificate that is for nothing is of no use; write [client], [server], or both")
		}
		if r.Given("command") {
			p.Command.Faults(option.Under(r, "command"))
		}
		p.Pair.Faults(pairReport{r})
		c.pairPathFaults(r, i)
	}
}

// pairReport leaves out what the directory of the servers' pair says already.
type pairReport struct{ option.Report }

func (r pairReport) Fault(field, format string, args ...any) {
	if field != "directory" {
		r.Report.Fault(field, format, args...)
	}
}

// pairPathFaults keeps the plain files of pair i from those of the other pairs, and out of
// the agent's directory.
func (c *Config) pairPathFaults(r option.Report, i int) {
	taken := map[string]string{}
	note := func(where string, p pair.Paths) {
		for _, path := range []string{p.Cert, p.Key, p.CA} {
			if path != "" {
				taken[filepath.Clean(path)] = where
			}
		}
	}
	note("among paths", c.Pair.Paths)
	for j, p := range c.ClientPairs[:i] {
		note(fmt.Sprintf("in pairs[%d].paths", j), p.Pair.Paths)
	}
	own := c.ClientPairs[i].Pair.Paths
	for _, f := range []struct{ field, path string }{{"paths.cert", own.Cert}, {"paths.key", own.Key}, {"paths.ca", own.CA}} {
		if where, ok := taken[filepath.Clean(f.path)]; ok && f.path != "" {
			r.Fault(f.field, "%s is already %s; each pair has files of its own", option.Quote(f.path), where)
		}
		if rel, err := filepath.Rel(c.Pair.Dir, f.path); err == nil && filepath.IsLocal(rel) {
			r.Fault(f.field, "%s is inside of %s; leave it out: programs may name pairs/NAME/current/redis.crt, redis.key and ca.crt there as they are", option.Quote(f.path), c.Pair.Dir)
		}
	}
}
