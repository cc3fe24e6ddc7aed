// Package config loads and checks the configuration of the agent.
//
// A file is read strictly: an unknown or repeated key, a value of the wrong
// type, a missing value or one that cannot work is refused. All faults are
// told at once, each in one line with file, line, field, value and what to
// write instead:
//
//	config.yaml:12: servers[1].timeout: "5 sec" is not a duration; write it like 5s, 2m, 24h or 7d
//
// Durations are those of Go, and days: 5s, 2m, 24h, 7d. Secrets never stand in
// the file; it says where they are. They are checked when it is loaded and
// read when they are used, so that a password changed in its file takes effect
// by itself.
//
// # The shortest file
//
//	issuer:
//	  step:
//	    url: https://ca.internal:9000
//	    fingerprint: 0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3
//	    provisioner: redis
//	names: [redis1.internal]
//	servers: [127.0.0.1:6379]
//
// The password of the provisioner comes from the systemd credential
// provisioner-password, as LoadCredential= in the unit sets it.
//
// # ACME, and more than one issuer
//
// Any CA that speaks ACME (RFC 8555) needs its directory:
//
//	issuer:
//	  acme:
//	    directory: https://ca.internal:9000/acme/acme/directory
//	names: [redis1.internal]
//	servers: [127.0.0.1:6379]
//
// A list of issuers is asked in its order, the second when the first fails:
//
//	issuer:
//	  - step:
//	      url: https://ca.internal:9000
//	      fingerprint: 0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3
//	      provisioner: redis
//	  - acme:
//	      directory: https://acme.example.com/directory
//	      contact: [ops@example.com]
//	      terms_accepted: true
//	      challenge:
//	        dns-01:
//	          server: 10.0.0.53:53
//	          zone: internal
//	          tsig_name: redis1-key
//	          tsig_secret_file: credential:acme-tsig
//
// A fault in the second one is told as issuer[1].acme.directory.
//
// # Every key
//
//	instance (default: the name of the file without its ending; "default" for config.yaml)
//	  names this agent in its directories and in the log.
//	directory (default: /var/lib/redis-cert-agent/INSTANCE)
//	  holds the certificates; redis.conf names current/redis.crt, current/redis.key and current/ca.crt in it.
//	control (default: /run/redis-cert-agent/INSTANCE/control.sock)
//	  the unix socket on which the running agent answers status and renew.
//	issuer (required)
//	  a mapping with one kind of CA, step or acme; or a list of such mappings, of which the second is asked when the first fails; or none, where another hand renews the pair at paths and the agent only watches, loads and proves it.
//	issuer.step.url (required)
//	  the URL of the step-ca.
//	issuer.step.fingerprint (required)
//	  the SHA-256 fingerprint of the root certificate of the CA; colons and upper case do not matter.
//	issuer.step.provisioner (required)
//	  the name of a JWK provisioner of the CA.
//	issuer.step.password_file (default: credential:provisioner-password)
//	  the password of the provisioner: a file that others cannot access, or the credential of the unit that credential:NAME names.
//	issuer.step.lifetime (default: the default of the CA)
//	  how long a certificate is asked to be valid.
//	issuer.step.timeout (default: 20s)
//	  bounds one request to the CA.
//	issuer.acme.directory (required)
//	  the URL of the directory of a CA that speaks ACME (RFC 8555).
//	issuer.acme.contact (default: none)
//	  the mail addresses that the CA may write to about the account; mailto: is added.
//	issuer.acme.terms_accepted (default: false)
//	  says that you agree to the terms of service of the CA; needed by a CA that has them.
//	issuer.acme.roots_file (default: the roots of the system)
//	  the root certificates, in PEM, that the directory and the issued certificates chain to.
//	issuer.acme.fingerprint (default: the roots of the system)
//	  the SHA-256 fingerprint of the root of a step-ca, in place of roots_file.
//	issuer.acme.account_key (default: acme-account.key in directory)
//	  the key of the account; made at the first order, mode 0600, and used for ever.
//	issuer.acme.eab.key_id (default: no external account binding)
//	  the identifier of the key that binds the account to one the CA knows; key_id and hmac_file go together.
//	issuer.acme.eab.hmac_file (default: no external account binding)
//	  that key, in base64url as the CA gave it, as a file or credential:NAME.
//	issuer.acme.profile (default: the default of the CA)
//	  the certificate profile to ask for; a CA without it refuses the order.
//	issuer.acme.preferred_chain (default: the default of the CA)
//	  the common name of the root to chain to, where the CA offers several chains.
//	issuer.acme.challenge (default: http-01)
//	  how the CA sees that the names are yours: http-01, tls-alpn-01, or a mapping with one of the keys that follow; wildcards need dns-01, IP addresses any other.
//	issuer.acme.challenge.http-01.listen (default: ":80")
//	  where the agent listens while an order runs; the CA asks port 80 of each name, which must lead there.
//	issuer.acme.challenge.tls-alpn-01.listen (default: ":443")
//	  where the agent listens while an order runs; the CA asks port 443 of each name, which must lead there.
//	issuer.acme.challenge.dns-01.server (default: none; either this or command is needed)
//	  the name server that takes dynamic updates (RFC 2136).
//	issuer.acme.challenge.dns-01.zone (default: none; needed with server)
//	  the zone of server that the records go to.
//	issuer.acme.challenge.dns-01.tsig_name (default: none; updates are not signed)
//	  the name of the TSIG key (RFC 8945) that signs the updates; tsig_name and tsig_secret_file go together.
//	issuer.acme.challenge.dns-01.tsig_algorithm (default: hmac-sha256)
//	  the algorithm of the TSIG key: hmac-sha256, hmac-sha224, hmac-sha384 or hmac-sha512.
//	issuer.acme.challenge.dns-01.tsig_secret_file (default: none; updates are not signed)
//	  the secret of the TSIG key, in base64, as a file or credential:NAME.
//	issuer.acme.challenge.dns-01.ttl (default: 60s)
//	  the TTL of the records that server is given.
//	issuer.acme.challenge.dns-01.command (default: none; either this or server is needed)
//	  a program, by its absolute path, and its first arguments; run without a shell, to set a record and to remove it.
//	issuer.acme.challenge.dns-01.wait (default: 2m)
//	  how long at most the agent waits until the authoritative servers answer with the record.
//	issuer.acme.timeout (default: 5m)
//	  bounds one order, from its first request to the certificate.
//	names (required)
//	  the DNS names and IP addresses in the certificate; a wildcard may stand for the first label.
//	key.type (default: ec-p256)
//	  the type of the private key: ec-p256, ec-p384, rsa-2048, rsa-3072, rsa-4096 or ed25519.
//	key.reuse (default: false)
//	  keeps the private key at a renewal, for clients that pin it.
//	servers[].address (required)
//	  the TLS address of a Redis on this host; an element that has only this may be just the address.
//	servers[].name (default: the first of names)
//	  the name that the served certificate is verified against.
//	servers[].control (default: the TLS address)
//	  where commands are sent: unix:/path, or plain:HOST:PORT on loopback.
//	servers[].user (default: the default user of Redis)
//	  the ACL user; it needs +config|get +config|set +info +ping.
//	servers[].password_file (default: credential:redis-password where there is one, else no password)
//	  the password for Redis, as a file or credential:NAME.
//	servers[].client_cert (default: the certificate of the server itself)
//	  the certificate to present when Redis asks for one.
//	servers[].client_key (default: the key of the server itself)
//	  the key of client_cert, as a file or credential:NAME; the two go together.
//	servers[].config_command (default: CONFIG)
//	  the name that rename-command gives to CONFIG.
//	servers[].insecure_skip_verify (default: false)
//	  talks to a Redis on loopback whatever certificate it shows; logged as a warning at every use.
//	servers[].timeout (default: 5s)
//	  bounds one exchange with Redis.
//	paths.cert (default: none)
//	  the tls-cert-file of an existing redis.conf; it becomes a symlink into directory, or with issuer: none is only read.
//	paths.key (default: none)
//	  the tls-key-file of an existing redis.conf; cert and key go together.
//	paths.ca (default: none)
//	  the tls-ca-cert-file of an existing redis.conf.
//	files.owner (default: the user of the agent)
//	  the user that owns the files, by name or number.
//	files.group (default: redis if there is this group and the agent may use it, else the group of the agent)
//	  the group that may read the files, by name or number.
//	files.mode (default: "0640")
//	  the mode of the files; others never get access.
//	roots.file (default: none)
//	  more root certificates, in PEM, that go into ca.crt.
//	roots.policy (default: merge)
//	  merge keeps what ca.crt holds; exact takes only the roots of the CA and of file.
//	usages (default: auto)
//	  the extended key usages the certificate must have: auto finds out whether Redis presents it as a client, or [server], or [server, client].
//	keep (default: 3)
//	  how many previous certificates are kept to roll back to.
//	jitter (default: 5%)
//	  spreads renewals over this share of the lifetime, 0% to 25%; a host always gets the same share.
//	clock_wait (default: 2m)
//	  how long after boot a clock that is not synchronised yet holds back renewals.
//	monitor.files (default: none)
//	  PEM files with certificates of others to watch as well, as those of mTLS clients.
//	monitor.warn (default: "25%,21d")
//	  how long before its end a certificate is a warning: a share of the lifetime, a time, or both, of which the lesser counts.
//	monitor.crit (default: "10%,7d")
//	  the same for a critical one.
//	metrics.listen (default: none; the control socket has them at /metrics)
//	  the address at which Prometheus gets the metrics over HTTP; whoever reaches it can read them.
//	metrics.textfile (default: none)
//	  the file for node_exporter's textfile collector, written anew when something changes and every five minutes.
//	notify[].webhook.url (default: none; either this or url_file is needed)
//	  a URL that takes troubles and their end as JSON by POST.
//	notify[].webhook.url_file (default: none; either this or url is needed)
//	  the same where the URL is a secret, as a file or credential:NAME.
//	notify[].webhook.token_file (default: none)
//	  a token that is sent as Authorization: Bearer, as a file or credential:NAME.
//	notify[].webhook.roots_file (default: the roots of the system)
//	  the root certificates, in PEM, that the service is verified by.
//	notify[].slack.url (default: none; either this or url_file is needed)
//	  an incoming webhook of Slack or of what takes the same: Mattermost, Rocket.Chat, Zulip.
//	notify[].slack.url_file (default: none; either this or url is needed)
//	  the same where the URL is a secret, which Slack's is.
//	notify[].slack.token_file (default: none)
//	  a token that is sent as Authorization: Bearer, as a file or credential:NAME.
//	notify[].slack.roots_file (default: the roots of the system)
//	  the root certificates, in PEM, that the service is verified by.
//	notify[].pagerduty.key_file (required)
//	  the routing key of an integration with Events API v2, as a file or credential:NAME.
//	notify[].pagerduty.url (default: https://events.pagerduty.com/v2/enqueue)
//	  where the events go.
//	notify[].pagerduty.roots_file (default: the roots of the system)
//	  the root certificates, in PEM, that the service is verified by.
//	notify[].command (default: none)
//	  a program, by its absolute path, and its arguments; run without a shell, with the JSON of webhook on its standard input.
//	notify[].after (default: 1m)
//	  how long a trouble must last before it is told, and be gone before that is told.
//	notify[].repeat (default: 24h)
//	  how often a trouble that lasts is told again; 0s for once.
//	heartbeat.url (default: none; either this or url_file is needed)
//	  a URL that is fetched after every healthy round, so that who waits for it notices a dead host.
//	heartbeat.url_file (default: none; either this or url is needed)
//	  the same where the URL is a secret.
//	heartbeat.roots_file (default: the roots of the system)
//	  the root certificates, in PEM, that the service is verified by.
//	heartbeat.every (default: 5m)
//	  how often the agent looks and, when all is well, fetches the URL.
package config
