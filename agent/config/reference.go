package config

import (
	"fmt"
	"strings"
)

// Field is one key of the configuration file, for the manual and the example
// file.
type Field struct {
	Key      string // its path: "servers[].timeout"
	Default  string // what holds without it, in words or as YAML; empty when Required
	Example  string // a value, as YAML
	Meaning  string // a sentence, without a full stop
	Required bool   // within its mapping
}

// MinimalACME is the shortest useful configuration file for an ACME CA. The
// host must answer at port 80 of its name.
const MinimalACME = `issuer:
  acme:
    directory: https://ca.internal:9000/acme/acme/directory
names: [redis1.internal]
servers: [127.0.0.1:6379]
`

// Minimal is the shortest useful configuration file.
const Minimal = `issuer:
  step:
    url: https://ca.internal:9000
    fingerprint: 0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3
    provisioner: redis
names: [redis1.internal]
servers: [127.0.0.1:6379]
`

var reference = []Field{
	{Key: "instance", Default: `the name of the file without its ending; "default" for config.yaml`, Example: "cache",
		Meaning: "names this agent in its directories and in the log"},
	{Key: "directory", Default: "/var/lib/redis-cert-agent/INSTANCE", Example: "/var/lib/redis-cert-agent/cache",
		Meaning: "holds the certificates; redis.conf names current/redis.crt, current/redis.key and current/ca.crt in it"},
	{Key: "control", Default: "/run/redis-cert-agent/INSTANCE/control.sock", Example: "/run/redis-cert-agent/cache/control.sock",
		Meaning: "the unix socket on which the running agent answers status and renew"},

	{Key: "issuer", Required: true, Example: "[{step: {url: https://ca.internal:9000, fingerprint: 0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3, provisioner: redis}}, {acme: {directory: https://ca.internal:9000/acme/acme/directory}}]",
		Meaning: "a mapping with one kind of CA, step or acme; or a list of such mappings, of which the second is asked when the first fails; or none, where another hand renews the pair at paths and the agent only watches, loads and proves it"},
	{Key: "issuer.step.url", Required: true, Example: "https://ca.internal:9000",
		Meaning: "the URL of the step-ca"},
	{Key: "issuer.step.fingerprint", Required: true, Example: "0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3",
		Meaning: "the SHA-256 fingerprint of the root certificate of the CA; colons and upper case do not matter"},
	{Key: "issuer.step.provisioner", Required: true, Example: "redis",
		Meaning: "the name of a JWK provisioner of the CA"},
	{Key: "issuer.step.password_file", Default: "credential:provisioner-password", Example: "/etc/redis-cert-agent/provisioner-password",
		Meaning: "the password of the provisioner: a file that others cannot access, or the credential of the unit that credential:NAME names"},
	{Key: "issuer.step.lifetime", Default: "the default of the CA", Example: "24h",
		Meaning: "how long a certificate is asked to be valid"},
	{Key: "issuer.step.timeout", Default: "20s", Example: "20s",
		Meaning: "bounds one request to the CA"},

	{Key: "issuer.acme.directory", Required: true, Example: "https://ca.internal:9000/acme/acme/directory",
		Meaning: "the URL of the directory of a CA that speaks ACME (RFC 8555)"},
	{Key: "issuer.acme.contact", Default: "none", Example: "[ops@example.com]",
		Meaning: "the mail addresses that the CA may write to about the account; mailto: is added"},
	{Key: "issuer.acme.terms_accepted", Default: "false", Example: "true",
		Meaning: "says that you agree to the terms of service of the CA; needed by a CA that has them"},
	{Key: "issuer.acme.roots_file", Default: "the roots of the system", Example: "/etc/redis-cert-agent/acme-roots.pem",
		Meaning: "the root certificates, in PEM, that the directory and the issued certificates chain to"},
	{Key: "issuer.acme.fingerprint", Default: "the roots of the system", Example: "0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3",
		Meaning: "the SHA-256 fingerprint of the root of a step-ca, in place of roots_file"},
	{Key: "issuer.acme.account_key", Default: "acme-account.key in directory", Example: "/etc/redis-cert-agent/acme-account.key",
		Meaning: "the key of the account; made at the first order, mode 0600, and used for ever"},
	{Key: "issuer.acme.eab.key_id", Default: "no external account binding", Example: "kid-1",
		Meaning: "the identifier of the key that binds the account to one the CA knows; key_id and hmac_file go together"},
	{Key: "issuer.acme.eab.hmac_file", Default: "no external account binding", Example: "credential:acme-eab",
		Meaning: "that key, in base64url as the CA gave it, as a file or credential:NAME"},
	{Key: "issuer.acme.profile", Default: "the default of the CA", Example: "shortlived",
		Meaning: "the certificate profile to ask for; a CA without it refuses the order"},
	{Key: "issuer.acme.preferred_chain", Default: "the default of the CA", Example: "ISRG Root X1",
		Meaning: "the common name of the root to chain to, where the CA offers several chains"},
	{Key: "issuer.acme.challenge", Default: "http-01", Example: "tls-alpn-01",
		Meaning: "how the CA sees that the names are yours: http-01, tls-alpn-01, or a mapping with one of the keys that follow; wildcards need dns-01, IP addresses any other"},
	{Key: "issuer.acme.challenge.http-01.listen", Default: "\":80\"", Example: "10.0.0.5:8080",
		Meaning: "where the agent listens while an order runs; the CA asks port 80 of each name, which must lead there"},
	{Key: "issuer.acme.challenge.tls-alpn-01.listen", Default: "\":443\"", Example: "10.0.0.5:8443",
		Meaning: "where the agent listens while an order runs; the CA asks port 443 of each name, which must lead there"},
	{Key: "issuer.acme.challenge.dns-01.server", Default: "none; either this or command is needed", Example: "10.0.0.53:53",
		Meaning: "the name server that takes dynamic updates (RFC 2136)"},
	{Key: "issuer.acme.challenge.dns-01.zone", Default: "none; needed with server", Example: "internal",
		Meaning: "the zone of server that the records go to"},
	{Key: "issuer.acme.challenge.dns-01.tsig_name", Default: "none; updates are not signed", Example: "redis1-key",
		Meaning: "the name of the TSIG key (RFC 8945) that signs the updates; tsig_name and tsig_secret_file go together"},
	{Key: "issuer.acme.challenge.dns-01.tsig_algorithm", Default: "hmac-sha256", Example: "hmac-sha512",
		Meaning: "the algorithm of the TSIG key: hmac-sha256, hmac-sha224, hmac-sha384 or hmac-sha512"},
	{Key: "issuer.acme.challenge.dns-01.tsig_secret_file", Default: "none; updates are not signed", Example: "credential:acme-tsig",
		Meaning: "the secret of the TSIG key, in base64, as a file or credential:NAME"},
	{Key: "issuer.acme.challenge.dns-01.ttl", Default: "60s", Example: "30s",
		Meaning: "the TTL of the records that server is given"},
	{Key: "issuer.acme.challenge.dns-01.command", Default: "none; either this or server is needed", Example: "[/usr/local/bin/dns-hook, --zone, internal]",
		Meaning: "a program, by its absolute path, and its first arguments; run without a shell, to set a record and to remove it"},
	{Key: "issuer.acme.challenge.dns-01.wait", Default: "2m", Example: "1m",
		Meaning: "how long at most the agent waits until the authoritative servers answer with the record"},
	{Key: "issuer.acme.timeout", Default: "5m", Example: "10m",
		Meaning: "bounds one order, from its first request to the certificate"},

	{Key: "names", Required: true, Example: "[redis1.internal, 10.0.0.5]",
		Meaning: "the DNS names and IP addresses in the certificate; a wildcard may stand for the first label"},
	{Key: "key.type", Default: "ec-p256", Example: "ec-p256",
		Meaning: "the type of the private key: ec-p256, ec-p384, rsa-2048, rsa-3072, rsa-4096 or ed25519"},
	{Key: "key.reuse", Default: "false", Example: "true",
		Meaning: "keeps the private key at a renewal, for clients that pin it"},

	{Key: "servers[].address", Required: true, Example: "127.0.0.1:6379",
		Meaning: "the TLS address of a Redis on this host; an element that has only this may be just the address"},
	{Key: "servers[].name", Default: "the first of names", Example: "10.0.0.5",
		Meaning: "the name that the served certificate is verified against"},
	{Key: "servers[].control", Default: "the TLS address", Example: "unix:/run/redis/redis.sock",
		Meaning: "where commands are sent: unix:/path, or plain:HOST:PORT on loopback"},
	{Key: "servers[].user", Default: "the default user of Redis", Example: "agent",
		Meaning: "the ACL user; it needs +config|get +config|set +info +ping"},
	{Key: "servers[].password_file", Default: "credential:redis-password where there is one, else no password", Example: "/etc/redis-cert-agent/redis-password",
		Meaning: "the password for Redis, as a file or credential:NAME"},
	{Key: "servers[].client_cert", Default: "the certificate of the server itself", Example: "/etc/redis-cert-agent/client.crt",
		Meaning: "the certificate to present when Redis asks for one"},
	{Key: "servers[].client_key", Default: "the key of the server itself", Example: "/etc/redis-cert-agent/client.key",
		Meaning: "the key of client_cert, as a file or credential:NAME; the two go together"},
	{Key: "servers[].config_command", Default: "CONFIG", Example: "CONFIG_7f2a",
		Meaning: "the name that rename-command gives to CONFIG"},
	{Key: "servers[].insecure_skip_verify", Default: "false", Example: "true",
		Meaning: "talks to a Redis on loopback whatever certificate it shows; logged as a warning at every use"},
	{Key: "servers[].timeout", Default: "5s", Example: "5s",
		Meaning: "bounds one exchange with Redis"},

	{Key: "paths.cert", Default: "none", Example: "/etc/redis/tls/redis.crt",
		Meaning: "the tls-cert-file of an existing redis.conf; it becomes a symlink into directory, or with issuer: none is only read"},
	{Key: "paths.key", Default: "none", Example: "/etc/redis/tls/redis.key",
		Meaning: "the tls-key-file of an existing redis.conf; cert and key go together"},
	{Key: "paths.ca", Default: "none", Example: "/etc/redis/tls/ca.crt",
		Meaning: "the tls-ca-cert-file of an existing redis.conf"},
	{Key: "files.owner", Default: "the user of the agent", Example: "root",
		Meaning: "the user that owns the files, by name or number"},
	{Key: "files.group", Default: "redis if there is this group and the agent may use it, else the group of the agent", Example: "root",
		Meaning: "the group that may read the files, by name or number"},
	{Key: "files.mode", Default: `"0640"`, Example: `"0640"`,
		Meaning: "the mode of the files; others never get access"},
	{Key: "roots.file", Default: "none", Example: "/etc/redis-cert-agent/roots.pem",
		Meaning: "more root certificates, in PEM, that go into ca.crt"},
	{Key: "roots.policy", Default: "merge", Example: "exact",
		Meaning: "merge keeps what ca.crt holds; exact takes only the roots of the CA and of file"},

	{Key: "usages", Default: "auto", Example: "[server, client]",
		Meaning: "the extended key usages the certificate must have: auto finds out whether Redis presents it as a client, or [server], or [server, client]"},
	{Key: "keep", Default: "3", Example: "3",
		Meaning: "how many previous certificates are kept to roll back to"},
	{Key: "jitter", Default: "5%", Example: "5%",
		Meaning: "spreads renewals over this share of the lifetime, 0% to 25%; a host always gets the same share"},
	{Key: "clock_wait", Default: "2m", Example: "2m",
		Meaning: "how long after boot a clock that is not synchronised yet holds back renewals"},

	{Key: "monitor.files", Default: "none", Example: "[/etc/app/redis-client.crt]",
		Meaning: "PEM files with certificates of others to watch as well, as those of mTLS clients"},
	{Key: "monitor.warn", Default: `"25%,21d"`, Example: "14d",
		Meaning: "how long before its end a certificate is a warning: a share of the lifetime, a time, or both, of which the lesser counts"},
	{Key: "monitor.crit", Default: `"10%,7d"`, Example: "5%",
		Meaning: "the same for a critical one"},
	{Key: "metrics.listen", Default: "none; the control socket has them at /metrics", Example: "127.0.0.1:9742",
		Meaning: "the address at which Prometheus gets the metrics over HTTP; whoever reaches it can read them"},
	{Key: "metrics.textfile", Default: "none", Example: "/var/lib/prometheus/node-exporter/redis-cert-agent.prom",
		Meaning: "the file for node_exporter's textfile collector, written anew when something changes and every five minutes"},
	{Key: "notify[].webhook.url", Default: "none; either this or url_file is needed", Example: "https://alerts.internal/redis",
		Meaning: "a URL that takes troubles and their end as JSON by POST"},
	{Key: "notify[].webhook.url_file", Default: "none; either this or url is needed", Example: "credential:notify-webhook",
		Meaning: "the same where the URL is a secret, as a file or credential:NAME"},
	{Key: "notify[].webhook.token_file", Default: "none", Example: "/etc/redis-cert-agent/notify-token",
		Meaning: "a token that is sent as Authorization: Bearer, as a file or credential:NAME"},
	{Key: "notify[].webhook.roots_file", Default: "the roots of the system", Example: "/etc/redis-cert-agent/notify-roots.pem",
		Meaning: "the root certificates, in PEM, that the service is verified by"},
	{Key: "notify[].slack.url", Default: "none; either this or url_file is needed", Example: "https://chat.internal/hooks/x",
		Meaning: "an incoming webhook of Slack or of what takes the same: Mattermost, Rocket.Chat, Zulip"},
	{Key: "notify[].slack.url_file", Default: "none; either this or url is needed", Example: "credential:notify-slack",
		Meaning: "the same where the URL is a secret, which Slack's is"},
	{Key: "notify[].slack.token_file", Default: "none", Example: "/etc/redis-cert-agent/notify-token",
		Meaning: "a token that is sent as Authorization: Bearer, as a file or credential:NAME"},
	{Key: "notify[].slack.roots_file", Default: "the roots of the system", Example: "/etc/redis-cert-agent/notify-roots.pem",
		Meaning: "the root certificates, in PEM, that the service is verified by"},
	{Key: "notify[].pagerduty.key_file", Required: true, Example: "credential:notify-pagerduty",
		Meaning: "the routing key of an integration with Events API v2, as a file or credential:NAME"},
	{Key: "notify[].pagerduty.url", Default: pagerDutyURL, Example: "https://events.eu.pagerduty.com/v2/enqueue",
		Meaning: "where the events go"},
	{Key: "notify[].pagerduty.roots_file", Default: "the roots of the system", Example: "/etc/redis-cert-agent/notify-roots.pem",
		Meaning: "the root certificates, in PEM, that the service is verified by"},
	{Key: "notify[].command", Default: "none", Example: "[/usr/local/bin/tell, ops]",
		Meaning: "a program, by its absolute path, and its arguments; run without a shell, with the JSON of webhook on its standard input"},
	{Key: "notify[].after", Default: "1m", Example: "5m",
		Meaning: "how long a trouble must last before it is told, and be gone before that is told"},
	{Key: "notify[].repeat", Default: "24h", Example: "0s",
		Meaning: "how often a trouble that lasts is told again; 0s for once"},
	{Key: "heartbeat.url", Default: "none; either this or url_file is needed", Example: "https://hc.internal/ping/redis1",
		Meaning: "a URL that is fetched after every healthy round, so that who waits for it notices a dead host"},
	{Key: "heartbeat.url_file", Default: "none; either this or url is needed", Example: "credential:heartbeat-url",
		Meaning: "the same where the URL is a secret"},
	{Key: "heartbeat.roots_file", Default: "the roots of the system", Example: "/etc/redis-cert-agent/notify-roots.pem",
		Meaning: "the root certificates, in PEM, that the service is verified by"},
	{Key: "heartbeat.every", Default: "5m", Example: "1m",
		Meaning: "how often the agent looks and, when all is well, fetches the URL"},
}

// Reference tells every key of the configuration file, in the order of the
// manual. The caller owns the slice.
func Reference() []Field {
	return append([]Field(nil), reference...)
}

// Manual returns the reference as plain text: for each key one line with its
// default, and one with its meaning.
func Manual() string {
	var b strings.Builder
	for _, f := range reference {
		what := "default: " + f.Default
		if f.Required {
			what = "required"
		}
		fmt.Fprintf(&b, "%s (%s)\n  %s.\n", f.Key, what, f.Meaning)
	}
	return b.String()
}
