package config

import (
	"github.com/goccy/go-yaml/ast"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/option"
	"redis-cert-agent/reload"
)

// A key is one row of the table that the file is decoded by, and that the manual
// is made of: whatever is to be said about a key stands in its row.
type key struct {
	name    string
	without string // what holds without it, in words or as YAML; empty: it is required within its mapping
	example string // a value, as YAML
	meaning string // without a full stop; empty for a mapping that only holds others
	restart bool   // a change needs a restart; else a reload takes it

	take  decoder // nil: the value is a mapping with the keys below
	below []key
	list  bool // the value is a list, and below are the keys of its elements
}

func (c *Config) keys() []key {
	keys := []key{
		{name: "instance", without: `the name of the file without its ending; "default" for config.yaml`, example: "cache", restart: true, take: text(&c.Instance),
			meaning: "names this agent in its directories and in the log"},
		{name: "directory", without: "/var/lib/redis-cert-agent/INSTANCE", example: "/var/lib/redis-cert-agent/cache", restart: true, take: text(&c.Pair.Dir),
			meaning: "holds the certificates; redis.conf names current/redis.crt, current/redis.key and current/ca.crt in it"},
		{name: "control", without: "/run/redis-cert-agent/INSTANCE/control.sock", example: "/run/redis-cert-agent/cache/control.sock", restart: true, take: text(&c.Control),
			meaning: "the unix socket on which the running agent answers status and renew"},
		{name: "issuer", example: "[{step: {url: https://ca.internal:9000, fingerprint: 0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3, provisioner: redis}}, {acme: {directory: https://ca.internal:9000/acme/acme/directory}}]",
			take: c.issuers, below: new(Issuer).keys(),
			meaning: "a mapping with one kind of CA, step or acme; or a list of such mappings, of which the second is asked when the first fails; or none, where another program renews the pair at paths and the agent only watches, loads and proves it"},
		{name: "names", example: "[redis1.internal, 10.0.0.5]", take: list(&c.Names, parseName),
			meaning: "the DNS names and IP addresses in the certificate; a wildcard may stand for the first label, and is refused by clients with OpenSSL directly below a top-level name (*.internal); in quotes, %H stands for the name of the host and %l for the part before its first dot, so that one file is for all hosts: \"%l.redis.internal\""},
		{name: "key", below: []key{
			{name: "type", without: "that of the pair before, ec-p256 for the first", example: "ec-p256", take: text(&c.KeyType),
				meaning: "the type of the private key: ec-p256, ec-p384, rsa-2048, rsa-3072, rsa-4096 or ed25519"},
			{name: "reuse", without: "false", example: "true", take: into(&c.ReuseKey, parseBool),
				meaning: "keeps the private key at a renewal, for clients that pin it"},
			{name: "passphrase_file", without: "none; keys are not encrypted", example: "credential:key-passphrase", take: secretIn(&c.Pair.Passphrase),
				meaning: "the passphrase with which the key is encrypted on disk, as a file or credential:NAME; it is the tls-key-file-pass of redis.conf, which has to be set there first; a key that is there already is encrypted at the next renewal"},
		}},
		{name: "servers", take: c.servers, list: true, below: serverKeys(new(reload.Server))},
		{name: "pairs", take: c.clientPairs, list: true, below: clientPairKeys(new(ClientPair))},
	}
	keys = append(keys, c.fileKeys()...)
	return append(keys, c.watchKeys()...)
}

// servers decodes a list whose elements are an address or a mapping.
func (c *Config) servers(d *document, field string, n ast.Node) {
	d.sequence(field, n, "write a list, like servers: [127.0.0.1:6379]", func(d *document, field string, n ast.Node) {
		s := reload.DefaultServer()
		if kind(n) == "a single value" {
			d.lines[field+".address"] = d.lines[field]
			text(&s.Address)(d, field, n)
		} else {
			d.mapping(field, n, serverKeys(&s))
		}
		c.Servers = append(c.Servers, s)
	})
}

func serverKeys(s *reload.Server) []key {
	return []key{
		{name: "address", example: "127.0.0.1:6379", take: text(&s.Address),
			meaning: "the TLS address of a Redis on this host; or auto, for all servers of this host that load the pair; or the path of a redis.conf, for the server that it is about; an element that has only this may be just that"},
		{name: "name", without: "the first of names", example: "10.0.0.5", take: into(&s.Name, option.ParseName),
			meaning: "the name that the served certificate is verified against"},
		{name: "control", without: "the TLS address", example: "unix:/run/redis/redis.sock", take: text(&s.Control),
			meaning: "where commands are sent: unix:/path, or plain:HOST:PORT on loopback"},
		{name: "user", without: "the default user of Redis", example: "agent", take: text(&s.User),
			meaning: "the ACL user; it needs +config|get +config|set +info +ping"},
		{name: "password_file", without: "credential:redis-password where there is one, else no password", example: "credential:redis-password", take: secretIn(&s.Password),
			meaning: "the password for Redis, as a file or credential:NAME"},
		{name: "client_cert", without: "the certificate of the server itself", example: "/etc/redis-cert-agent/client.crt", take: text(&s.ClientCert),
			meaning: "the certificate to present when Redis asks for one"},
		{name: "client_key", without: "the key of the server itself", example: "credential:redis-client-key", take: secretIn(&s.ClientKey),
			meaning: "the key of client_cert, as a file or credential:NAME; the two go together"},
		{name: "config_command", without: "CONFIG", example: "CONFIG_7f2a", take: text(&s.ConfigCommand),
			meaning: "the name that rename-command gives to CONFIG"},
		{name: "insecure_skip_verify", without: "false", example: "true", take: into(&s.InsecureSkipVerify, parseBool),
			meaning: "talks to a Redis on loopback whatever certificate it shows; logged as a warning at every use"},
		{name: "restart", without: "none", example: "redis-sentinel.service", take: text(&s.Restart),
			meaning: "the unit that runs a Sentinel, which reads its certificate only when it starts: it is restarted after a renewal when its group can spare it; that takes a rule of polkit (docs/sentinel.md)"},
		{name: "timeout", without: "5s", example: "5s", take: into(&s.Timeout, option.ParseDuration),
			meaning: "bounds one exchange with Redis"},
	}
}

// fileKeys are about what is on disk, and when it is renewed.
func (c *Config) fileKeys() []key {
	return []key{
		{name: "paths", below: []key{
			{name: "cert", without: "none", example: "/etc/redis/tls/redis.crt", take: text(&c.Pair.Paths.Cert),
				meaning: "the tls-cert-file of an existing redis.conf; it becomes a symlink into directory, or with issuer: none is only read"},
			{name: "key", without: "none", example: "/etc/redis/tls/redis.key", take: text(&c.Pair.Paths.Key),
				meaning: "the tls-key-file of an existing redis.conf; cert and key go together"},
			{name: "ca", without: "none", example: "/etc/redis/tls/ca.crt", take: text(&c.Pair.Paths.CA),
				meaning: "the tls-ca-cert-file of an existing redis.conf"},
		}},
		{name: "files", below: []key{
			{name: "owner", without: "the user of the agent", example: "root", take: account(&c.Pair.UID, accounts.user),
				meaning: "the user that owns the files, by name or number"},
			{name: "group", without: "redis if there is this group and the agent may use it, else the group of the agent", example: "root", take: account(&c.Pair.GID, accounts.group),
				meaning: "the group that may read the files, by name or number"},
			{name: "mode", without: `"0640"`, example: `"0640"`, take: into(&c.Pair.Mode, parseMode),
				meaning: "the mode of the files; others never get access"},
			{name: "open_parent", without: "false", example: "true", take: into(&c.Pair.OpenParent, parseBool),
				meaning: "lets directory lie in one that others can write to, as an emptyDir of Kubernetes is: only for volumes that no container but the agent's mounts for writing, since who can write there can replace the key"},
		}},
		{name: "roots", below: []key{
			{name: "file", without: "none", example: "/etc/redis-cert-agent/roots.pem", take: text(&c.Roots.File),
				meaning: "more root certificates, in PEM, that go into ca.crt"},
			{name: "policy", without: "merge", example: "exact", take: into(&c.Roots.Exact, parsePolicy),
				meaning: "merge keeps what ca.crt holds; exact takes only the roots of the CA and of file"},
			{name: "grace", without: "the longer of 30 days and the longest lifetime of a certificate that was seen", example: "45d", take: into(&c.Roots.Grace, option.ParseDuration),
				meaning: "how long a root stays in ca.crt that the CA named once and names no more, after nothing that the agent knows needs it; with exact it goes with the next certificate"},
		}},
		{name: "usages", without: "auto", example: "[server, client]", take: usages(&c.Usages),
			meaning: "the extended key usages the certificate must have: auto finds out whether Redis presents it as a client, or [server], or [server, client]"},
		{name: "keep", without: "3", example: "3", take: into(&c.Pair.Keep, parseInt),
			meaning: "how many previous certificates are kept to roll back to"},
		{name: "jitter", without: "5%", example: "5%", take: into(&c.Policy.Jitter, option.ParsePercent),
			meaning: "spreads renewals over this share of the lifetime, 0% to 25%; a host always gets the same share. With 0% each certificate is due at two-thirds exactly, the first one of a host and one that came out of turn too"},
		{name: "clock_wait", without: "2m", example: "2m", take: into(&c.ClockWait, option.ParseDuration),
			meaning: "how long after boot a clock that is not synchronised yet holds back renewals"},
	}
}

// usages decodes auto, or a list.
func usages(dst *[]string) decoder {
	return func(d *document, field string, n ast.Node) {
		if text, ok := scalar(n); !ok {
			list(dst, plain)(d, field, n)
		} else if text != "auto" {
			d.Fault(field, "%s is not a list; write auto, [server] or [server, client]", option.Quote(text))
		}
	}
}

// watchKeys are about who sees what the agent does.
func (c *Config) watchKeys() []key {
	return []key{
		{name: "monitor", below: []key{
			{name: "files", without: "none", example: "[/etc/app/redis-client.crt]", take: list(&c.Monitor.Files, plain),
				meaning: "PEM files with certificates of others to watch as well, as those of mTLS clients"},
			{name: "warn", without: `"25%,21d"`, example: "14d", take: into(&c.Monitor.Warn, cert.ParseMargin),
				meaning: "how long before its end a certificate is a warning: a share of the lifetime, a time, or both, of which the lesser counts"},
			{name: "crit", without: `"10%,7d"`, example: "5%", take: into(&c.Monitor.Crit, cert.ParseMargin),
				meaning: "the same for a critical one"},
		}},
		{name: "metrics", below: []key{
			{name: "listen", without: "none; the control socket has them at /metrics", example: "127.0.0.1:9742", take: text(&c.Metrics.Listen),
				meaning: "the address at which Prometheus gets the metrics over HTTP; whoever reaches it can read them"},
			{name: "textfile", without: "none", example: "/var/lib/prometheus/node-exporter/redis-cert-agent.prom", take: text(&c.Metrics.Textfile),
				meaning: "the file for node_exporter's textfile collector, written anew when something changes and every five minutes"},
		}},
		{name: "notify", take: c.targets, list: true, below: targetKeys(newElement())},
		{name: "heartbeat", take: c.heartbeat, below: heartbeatKeys(new(notify.Heartbeat))},
	}
}
