package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"redis-cert-agent/agent/ca/acme"
	"redis-cert-agent/agent/ca/step"
	"redis-cert-agent/agent/option"
)

// issuers decodes none, one issuer, or a list of them.
func (c *Config) issuers(d *document, field string, n ast.Node) {
	one := func(d *document, field string, n ast.Node) {
		var i Issuer
		d.mapping(field, n, i.keys())
		c.Issuers = append(c.Issuers, i)
	}
	text, single := scalar(n)
	switch {
	case single && text == "none":
		c.External = true
	case single:
		d.Fault(field, "%s is no certificate authority; write step: or acme: under it, or none where another program renews", option.Quote(text))
	case kind(n) == "a list":
		d.sequence(field, n, "", one)
	default:
		one(d, field, n)
	}
}

// issuerField names the i-th issuer. A file that has only one may write it
// without a list.
func (c *Config) issuerField(d *document, i int) string {
	if len(c.Issuers) == 1 && !d.Given("issuer[0]") {
		return "issuer"
	}
	return fmt.Sprintf("issuer[%d]", i)
}

// keys are the kinds of an issuer, of which it has one.
func (i *Issuer) keys() []key {
	s, a := step.DefaultOptions(), acme.DefaultOptions()
	stepKeys, acmeKeys := stepKeys(&s), acmeKeys(&a)
	return []key{
		{name: "step", below: stepKeys, take: func(d *document, field string, n ast.Node) {
			i.Step = &s
			d.mapping(field, n, stepKeys)
		}},
		{name: "acme", below: acmeKeys, take: func(d *document, field string, n ast.Node) {
			i.ACME = &a
			d.mapping(field, n, acmeKeys)
		}},
	}
}

func stepKeys(s *step.Options) []key {
	return []key{
		{name: "url", example: "https://ca.internal:9000", take: into(&s.URL, trimSlash),
			meaning: "the URL of the step-ca"},
		{name: "fingerprint", example: "0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3", take: into(&s.Fingerprint, option.ParseFingerprint),
			meaning: "the SHA-256 fingerprint of the root certificate of the CA; colons and upper case do not matter"},
		{name: "provisioner", example: "redis", take: text(&s.Provisioner),
			meaning: "the name of a JWK provisioner of the CA; with x5c, of an X5C provisioner"},
		{name: "password_file", without: "credential:provisioner-password", example: "credential:provisioner-password", take: secretIn(&s.Password),
			meaning: "the password of the provisioner: a file that others cannot access, or the credential of the unit that credential:NAME names; where there is no such credential, a certificate that is not renewed with itself takes a token"},
		{name: "token_file", without: "token in directory", example: "/run/redis-cert-agent/token", take: text(&s.TokenFile),
			meaning: "where a one-time token is looked for, which is used before every other way to ask and then removed; redis-cert-agent enroll writes it"},
		{name: "x5c", below: []key{
			{name: "cert", without: "none", example: "/etc/host/host.crt", take: text(&s.X5C.Cert),
				meaning: "a certificate that the host has already, with its chain, in PEM, which an X5C provisioner takes in place of a password"},
			{name: "key", without: "none", example: "credential:host-key", take: secretIn(&s.X5C.Key),
				meaning: "its key, as a file or credential:NAME; the two go together"},
		}},
		{name: "lifetime", without: "the default of the CA", example: "24h", take: into(&s.Lifetime, option.ParseDuration),
			meaning: "how long a certificate is asked to be valid"},
		{name: "timeout", without: "20s", example: "20s", take: into(&s.Timeout, option.ParseDuration),
			meaning: "bounds one request to the CA"},
	}
}

func acmeKeys(a *acme.Options) []key {
	eab := new(acme.EAB)
	eabKeys := []key{
		{name: "key_id", without: "no external account binding", example: "kid-1", take: text(&eab.KeyID),
			meaning: "the identifier of the key that binds the account to one the CA knows; key_id and hmac_file go together"},
		{name: "hmac_file", without: "no external account binding", example: "credential:acme-eab", take: secretIn(&eab.Key),
			meaning: "that key, in base64url as the CA gave it, as a file or credential:NAME"},
	}
	return []key{
		{name: "directory", example: "https://ca.internal:9000/acme/acme/directory", take: text(&a.URL),
			meaning: "the URL of the directory of a CA that speaks ACME (RFC 8555)"},
		{name: "contact", without: "none", example: "[ops@example.com]", take: list(&a.Contact, acme.ParseContact),
			meaning: "the mail addresses that the CA may write to about the account; mailto: is added"},
		{name: "terms_accepted", without: "false", example: "true", take: into(&a.TermsAccepted, parseBool),
			meaning: "says that you agree to the terms of service of the CA; needed by a CA that has them"},
		{name: "roots_file", without: "the roots of the system", example: "/etc/redis-cert-agent/acme-roots.pem", take: text(&a.RootsFile),
			meaning: "the root certificates, in PEM, that the directory and the issued certificates chain to"},
		{name: "fingerprint", without: "the roots of the system", example: "0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3", take: into(&a.Fingerprint, option.ParseFingerprint),
			meaning: "the SHA-256 fingerprint of the root of a step-ca, in place of roots_file"},
		{name: "account_key", without: "acme-account.key in directory", example: "/etc/redis-cert-agent/acme-account.key", take: text(&a.AccountKeyFile),
			meaning: "the key of the account; made at the first order, mode 0600, and used for ever"},
		{name: "eab", below: eabKeys, take: func(d *document, field string, n ast.Node) {
			a.EAB = eab
			d.mapping(field, n, eabKeys)
		}},
		{name: "profile", without: "the default of the CA", example: "shortlived", take: text(&a.Profile),
			meaning: "the certificate profile to ask for; a CA without it refuses the order"},
		{name: "preferred_chain", without: "the default of the CA", example: "ISRG Root X1", take: text(&a.PreferredChain),
			meaning: "the common name of the root to chain to, where the CA offers several chains"},
		{name: "challenge", without: "http-01", example: "tls-alpn-01", take: challengesIn(a), below: newChallenges().keys(),
			meaning: "how the CA sees that the names are yours: http-01, tls-alpn-01, dns-persist-01, or a mapping with one of the keys that follow; a list is tried in order, where one cannot be put up here or the CA does not offer it; wildcards need dns-01 or dns-persist-01, IP addresses any other"},
		{name: "timeout", without: "5m", example: "10m", take: into(&a.Timeout, option.ParseDuration),
			meaning: "bounds one order, from its first request to the certificate"},
	}
}

// challenges are the kinds of challenge while they are decoded, of which a file
// is to give one.
type challenges struct {
	http    acme.HTTP01
	alpn    acme.TLSALPN01
	update  acme.DNS01Update
	command acme.DNS01Command
	persist acme.DNSPersist01
	given   map[string]acme.Challenge // by the kind
}

func newChallenges() *challenges {
	return &challenges{
		http: acme.DefaultHTTP01(), alpn: acme.DefaultTLSALPN01(),
		update: acme.DefaultDNS01Update(), command: acme.DefaultDNS01Command(),
		given: map[string]acme.Challenge{},
	}
}

// challengeKinds lists the kinds of a challenge, the default first.
var challengeKinds = []string{"http-01", "tls-alpn-01", "dns-01", "dns-persist-01"}

// challengesIn decodes a challenge, or a list of them.
func challengesIn(a *acme.Options) decoder {
	return func(d *document, field string, n ast.Node) {
		if kind(n) != "a list" {
			challengeIn(&a.Challenge)(d, field, n)
			return
		}
		var list []acme.Challenge
		d.sequence(field, n, "", func(d *document, field string, n ast.Node) {
			var one acme.Challenge
			if challengeIn(&one)(d, field, n); one != nil {
				list = append(list, one)
			}
		})
		if len(list) == 0 {
			d.Fault(field, "no challenge is given; write one of %s", strings.Join(challengeKinds, ", "))
			a.Challenge = nil
			return
		}
		a.Challenge, a.Otherwise = list[0], list[1:]
	}
}

// challengeIn decodes the name of a kind, or a mapping that has one key, the
// kind.
func challengeIn(dst *acme.Challenge) decoder {
	return func(d *document, field string, n ast.Node) {
		c := newChallenges()
		text, name := scalar(n)
		switch before := len(d.faults); {
		case name && !slices.Contains(challengeKinds, text):
			d.Fault(field, "%s is not known; %s", option.Quote(text), option.Meant(text, challengeKinds))
			return
		case name:
			c.take(d, field+"."+text, text)
		default:
			d.mapping(field, n, c.keys())
			if len(c.given) == 0 && len(d.faults) > before {
				d.broken[field] = true // that no kind is given only follows
			}
		}
		for _, kind := range challengeKinds {
			if given, ok := c.given[kind]; ok {
				*dst = given
				given.Faults(option.Under(d, field+"."+kind))
			}
		}
		if len(c.given) == 0 {
			d.Fault(field, "no challenge is given; write one of %s", strings.Join(challengeKinds, ", "))
		}
		if len(c.given) > 1 {
			// It hides none of the faults below.
			d.faultAt(d.lines[field], field, "more than one challenge is given, and an order uses one; keep one of them")
		}
	}
}

func (c *challenges) keys() []key {
	of := func(name string, below ...key) key {
		return key{name: name, below: below, take: func(d *document, field string, n ast.Node) {
			d.mapping(field, n, below)
			c.take(d, field, name)
		}}
	}
	return []key{
		of("http-01", key{name: "listen", without: `":80"`, example: "10.0.0.5:8080", take: text(&c.http.Listen),
			meaning: "where the agent listens while an order runs; the CA asks port 80 of each name, which must lead there"}),
		of("tls-alpn-01", key{name: "listen", without: `":443"`, example: "10.0.0.5:8443", take: text(&c.alpn.Listen),
			meaning: "where the agent listens while an order runs; the CA asks port 443 of each name, which must lead there"}),
		of("dns-01", c.dns01Keys()...),
		of("dns-persist-01", key{name: "resolver", without: "the DNS servers of the system", example: "10.0.0.53:53", take: text(&c.persist.Resolver),
			meaning: "the DNS server that is asked whether the record is there, which a person sets once as redis-cert-agent acme record prints it"}),
	}
}

// take notes that a kind is given, and which of the two ways dns-01 goes.
func (c *challenges) take(d *document, field, kind string) {
	switch kind {
	case "http-01":
		c.given[kind] = c.http
	case "tls-alpn-01":
		c.given[kind] = c.alpn
	case "dns-persist-01":
		c.given[kind] = c.persist
	default:
		c.command.Timeout = c.update.Propagation // wait is for both
		c.given[kind] = c.dns01(d, field)
	}
}

func (c *challenges) dns01(d *document, field string) acme.Challenge {
	server, command := d.Given(field+".server"), d.Given(field+".command")
	switch {
	case server && command:
		c.update.Faults(option.Under(d, field))
		c.command.Faults(option.Under(d, field))
		d.faultAt(d.lines[field], field, "server and command are both given; keep server for dynamic updates (RFC 2136), or command for a program that sets the record")
	case command:
		for _, key := range []string{"zone", "tsig_name", "tsig_algorithm", "tsig_secret_file", "ttl"} {
			if d.Given(field + "." + key) {
				d.Fault(field+"."+key, "this belongs to server, and command is given; leave it out, or hand it to the program as an argument")
			}
		}
		return c.command
	case !server:
		d.Fault(field, "neither server nor command is given; write server and zone for dynamic updates (RFC 2136), or command for a program that sets the record")
	}
	return c.update
}

func (c *challenges) dns01Keys() []key {
	u := &c.update
	return []key{
		{name: "server", without: "none; either this or command is needed", example: "10.0.0.53:53", take: text(&u.Server),
			meaning: "the name server that takes dynamic updates (RFC 2136)"},
		{name: "zone", without: "none; needed with server", example: "internal", take: into(&u.Zone, option.ParseZone),
			meaning: "the zone of server that the records go to"},
		{name: "tsig_name", without: "none; updates are not signed", example: "redis1-key", take: into(&u.KeyName, acme.ParseKeyName),
			meaning: "the name of the TSIG key (RFC 8945) that signs the updates; tsig_name and tsig_secret_file go together"},
		{name: "tsig_algorithm", without: "hmac-sha256", example: "hmac-sha512", take: text(&u.Algorithm),
			meaning: "the algorithm of the TSIG key: hmac-sha256, hmac-sha224, hmac-sha384 or hmac-sha512"},
		{name: "tsig_secret_file", without: "none; updates are not signed", example: "credential:acme-tsig", take: secretIn(&u.Secret),
			meaning: "the secret of the TSIG key, in base64, as a file or credential:NAME"},
		{name: "ttl", without: "60s", example: "30s", take: into(&u.TTL, option.ParseDuration),
			meaning: "the TTL of the records that server is given"},
		{name: "command", without: "none; either this or server is needed", example: "[/usr/local/bin/dns-hook, --zone, internal]", take: command(&c.command.Command),
			meaning: "a program, by its absolute path, and its first arguments; run without a shell, to set a record and to remove it"},
		{name: "wait", without: "2m", example: "1m", take: into(&u.Propagation, option.ParseDuration),
			meaning: "how long at most the agent waits until the authoritative servers answer with the record"},
	}
}
