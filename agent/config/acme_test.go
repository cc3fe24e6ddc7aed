package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"redis-cert-agent/agent/ca/acme"
	"redis-cert-agent/agent/ca/step"
	"redis-cert-agent/agent/secret"
)

// fullACME has every key of ACME, in a list of four issuers.
const fullACME = `
directory: /srv/certs
issuer:
  - acme:
      directory: https://CA.internal:9000/acme/acme/directory/
      contact: [ops@example.com, "mailto:Me@localhost"]
      terms_accepted: true
      roots_file: /etc/roots.pem
      account_key: /etc/account.key
      eab: {key_id: 007, hmac_file: credential:acme-eab}
      profile: shortlived
      preferred_chain: ISRG Root X1
      timeout: 10m
      challenge:
        dns-01: {server: "[::1]:53", zone: Redis.Internal., tsig_name: Redis1_Key.2026., tsig_algorithm: hmac-sha512, tsig_secret_file: /etc/tsig, ttl: 5s, wait: 1m}
  - step: {url: "https://ca.internal:9000", fingerprint: ` + minimalPrint + `, provisioner: redis}
  - acme:
      directory: https://other.internal/directory
      fingerprint: 0D:7D:38:34:CF:18:77:26:CF:33:1C:40:A3:1A:A7:EF:6B:29:BA:4D:F6:01:41:6C:97:88:F6:EE:01:05:8C:F3
      challenge: {dns-01: {command: [/usr/local/bin/dns-hook, --zone, internal], wait: 0s}}
  - acme:
      directory: https://third.internal/directory
      challenge: {dns-01: {server: "ns.internal:53", zone: internal}}
names: [redis1.internal, "*.redis.internal"]
servers: [127.0.0.1:6379]
`

func TestFullACME(t *testing.T) {
	got := mustParse(t, "config.yaml", fullACME)
	want := []Issuer{
		{ACME: &acme.Options{
			URL:     "https://CA.internal:9000/acme/acme/directory/",
			Contact: []string{"mailto:ops@example.com", "mailto:Me@localhost"}, TermsAccepted: true,
			RootsFile: "/etc/roots.pem", AccountKeyFile: "/etc/account.key", LimitsFile: "/srv/certs/acme-limits.json",
			EAB:     &acme.EAB{KeyID: "007", Key: secret.Credential("acme-eab", "hmac_file")},
			Profile: "shortlived", PreferredChain: "ISRG Root X1", Timeout: 10 * time.Minute,
			Challenge: acme.DNS01Update{
				Server: "[::1]:53", Zone: "redis.internal", KeyName: "redis1_key.2026", Algorithm: "hmac-sha512",
				Secret: inFile("/etc/tsig", "tsig_secret_file"), TTL: 5 * time.Second, Propagation: time.Minute,
			},
		}},
		{Step: &step.Options{
			URL: "https://ca.internal:9000", Fingerprint: minimalPrint, Provisioner: "redis",
			TokenFile: "/srv/certs/token", Password: secret.Credential("provisioner-password", "password_file"), Timeout: 20 * time.Second,
		}},
		{ACME: &acme.Options{
			URL: "https://other.internal/directory", Fingerprint: minimalPrint,
			AccountKeyFile: "/srv/certs/acme-account.key", LimitsFile: "/srv/certs/acme-limits.json", Timeout: 5 * time.Minute,
			Challenge: acme.DNS01Command{Command: []string{"/usr/local/bin/dns-hook", "--zone", "internal"}},
		}},
		{ACME: &acme.Options{
			URL: "https://third.internal/directory", AccountKeyFile: "/srv/certs/acme-account.key", LimitsFile: "/srv/certs/acme-limits.json", Timeout: 5 * time.Minute,
			Challenge: acme.DNS01Update{
				Server: "ns.internal:53", Zone: "internal", Algorithm: "hmac-sha256", TTL: time.Minute, Propagation: 2 * time.Minute,
			},
		}},
	}
	if len(got.Issuers) != len(want) {
		t.Fatalf("%d issuers", len(got.Issuers))
	}
	for i := range want {
		if !reflect.DeepEqual(got.Issuers[i], want[i]) {
			t.Errorf("issuer %d\ngot  %s\nwant %s", i, show(got.Issuers[i]), show(want[i]))
		}
	}
}

func show(i Issuer) string {
	if i.ACME == nil {
		return fmt.Sprintf("%+v", i.Step)
	}
	return fmt.Sprintf("%+v EAB %+v", i.ACME, i.ACME.EAB)
}

// acme returns the minimal file for ACME with more lines under acme:.
func acmeFile(lines string) string {
	const directory = "    directory: https://ca.internal:9000/acme/acme/directory\n"
	return strings.Replace(MinimalACME, directory, directory+"    "+lines+"\n", 1)
}

func acmeFor(names, lines string) string {
	return strings.Replace(acmeFile(lines), "names: [redis1.internal]", "names: "+names, 1)
}

func TestMinimalACMEHasEveryDefault(t *testing.T) {
	want := acme.Options{
		URL:            "https://ca.internal:9000/acme/acme/directory",
		AccountKeyFile: "/var/lib/redis-cert-agent/config-2/acme-account.key",
		LimitsFile:     "/var/lib/redis-cert-agent/config-2/acme-limits.json",
		Challenge:      acme.HTTP01{Listen: ":80"},
		Timeout:        5 * time.Minute,
	}
	got := mustParse(t, "config-2.yaml", MinimalACME).Issuers
	if len(got) != 1 || !reflect.DeepEqual(got[0], Issuer{ACME: &want}) {
		t.Errorf("got  %s\nwant %+v", show(got[0]), want)
	}
}

func TestChallengeForms(t *testing.T) {
	for text, want := range map[string]acme.Challenge{
		"challenge: http-01":                                    acme.HTTP01{Listen: ":80"},
		"challenge: {http-01: {}}":                              acme.HTTP01{Listen: ":80"},
		"challenge: {http-01: {listen: 'localhost:8080'}}":      acme.HTTP01{Listen: "localhost:8080"},
		"challenge: tls-alpn-01":                                acme.TLSALPN01{Listen: ":443"},
		"challenge: {tls-alpn-01: {}}":                          acme.TLSALPN01{Listen: ":443"},
		"challenge: {tls-alpn-01: {listen: '[2001:db8::5]:1'}}": acme.TLSALPN01{Listen: "[2001:db8::5]:1"},
	} {
		for _, names := range []string{"[redis1.internal]", "[redis1.internal, 10.0.0.5]"} {
			got := mustParse(t, "config.yaml", acmeFor(names, text)).Issuers[0].ACME.Challenge
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v", text, got)
			}
		}
	}
}

// Each of these has one fault, which says the words.
func TestOneFaultACME(t *testing.T) {
	dns := func(lines string) string { return acmeFile("challenge: {dns-01: {" + lines + "}}") }
	server := func(lines string) string { return dns("server: '10.0.0.53:53', zone: internal, " + lines) }
	for text, want := range map[string]string{
		strings.Replace(MinimalACME, "https:", "http:", 1):                                  `config.yaml:3: issuer.acme.directory: "http://ca.internal:9000/acme/acme/directory" is not encrypted`,
		strings.Replace(MinimalACME, "https://", "", 1):                                     `is not the URL of a CA; write it like https://ca.internal:9000/acme/acme/directory`,
		strings.Replace(MinimalACME, "directory: ", "profile: a # ", 1):                     `config.yaml:2: issuer.acme.directory: missing; write it like https://ca.internal:9000/acme/acme/directory`,
		strings.Replace(MinimalACME, "directory: ", "directorie: ", 1):                      "issuer.acme.directorie: unknown key; did you mean directory?\nX",
		strings.Replace(acmeFile("timeout: 1m"), "  acme:", "  acme: &a", 1):                "",
		strings.Replace(MinimalACME, "  acme:", "  ACME:", 1):                               "issuer.ACME: unknown key; did you mean acme?\nX",
		"issuer: []\nnames: [a]\nservers: ['localhost:1']":                                  `config.yaml:1: issuer: no certificate authority is given; write step: or acme: under it`,
		"issuer: [{}]\nnames: [a]\nservers: ['localhost:1']":                                `config.yaml:1: issuer[0]: no certificate authority is given; write step: or acme: under it`,
		"issuer: [acme]\nnames: [a]\nservers: ['localhost:1']":                              `issuer[0]: this is a single value, not a mapping; write keys and values under it: acme, step`,
		"issuer: [~]\nnames: [a]\nservers: ['localhost:1']":                                 `issuer[0]: this element is empty`,
		strings.Replace(Minimal, "  step:", "  acme: {directory: https://a/b}\n  step:", 1): `config.yaml:1: issuer: step and acme are in one mapping, which tells no order; write them as a list`,

		acmeFile("contact: ops@example.com"):                              `issuer.acme.contact: this is a single value, not a list; write it in brackets, like [ops@example.com]`,
		acmeFile("contact: [ops]"):                                        `config.yaml:4: issuer.acme.contact[0]: "ops" is not a mail address; write it like ops@example.com`,
		acmeFile("contact: [a@b.c, 'Ops <o@b.c>']"):                       `issuer.acme.contact[1]: "Ops <o@b.c>" is not a mail address`,
		acmeFile("contact: ['a@b.c,d@b.c']"):                              `is not a mail address`,
		acmeFile("contact: ['mailto:a@b.c?to=d@b.c']"):                    `is not a mail address`,
		acmeFile("contact: ['a?b@b.c']"):                                  `is not a mail address`,
		acmeFile("contact: ['a%2Cb@b.c']"):                                `is not a mail address`,
		acmeFile("contact: ['tel:+12025551212']"):                         `is not a mail address`,
		acmeFile("contact: ['a@[127.0.0.1]']"):                            `is not a mail address`,
		acmeFile("contact: ['ä@b.c']"):                                    `is not a mail address`,
		acmeFile("terms_accepted: yes"):                                   `issuer.acme.terms_accepted: "yes" is neither true nor false`,
		acmeFile("roots_file: roots.pem"):                                 `issuer.acme.roots_file: "roots.pem" is not an absolute path`,
		acmeFile("fingerprint: " + minimalPrint[1:]):                      `issuer.acme.fingerprint: "d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3" is not a fingerprint of 64 hex digits`,
		acmeFile("fingerprint: " + minimalPrint + "\n    roots_file: /a"): `config.yaml:4: issuer.acme.fingerprint: roots_file is given too; keep one of them`,

		acmeFile("account_key: a.key"): `issuer.acme.account_key: "a.key" is not an absolute path`,
		acmeFile("account_key: /var/lib/redis-cert-agent/default/current/redis.key"):      `is a place of the certificates; write a file beside, like /var/lib/redis-cert-agent/default/acme-account.key`,
		acmeFile("account_key: /var/lib/redis-cert-agent/default/generations/../current"): `is a place of the certificates`,
		acmeFile("account_key: /var/lib/redis-cert-agent/default/"):                       `is a place of the certificates`,
		acmeFile("account_key: /a/x.key") + "paths: {cert: /a/c, key: /a/x.key}\n":        `issuer.acme.account_key: "/a/x.key" is already among paths`,
		acmeFile("timeout: 0s") + "directory: x\n":                                        "issuer.acme.timeout: 0s is not a time to wait; write it like 5s\nX",
		MinimalACME + "directory: x\n":                                                    `directory: "x" is not an absolute path`,

		acmeFile("eab: {key_id: k}"):                `issuer.acme.eab.hmac_file: missing; write the path of the file that holds the HMAC key`,
		acmeFile("eab: {hmac_file: /h}"):            `issuer.acme.eab.key_id: missing; write the key identifier`,
		acmeFile("eab: {key_id: k, hmac_file: h}"):  `issuer.acme.eab.hmac_file: this is neither an absolute path nor credential:NAME; the secret itself must not stand here`,
		acmeFile("eab: {key_id: k, hmac: h}"):       "issuer.acme.eab.hmac: unknown key; did you mean hmac_file?\nX",
		acmeFile("eab: k"):                          `issuer.acme.eab: this is a single value, not a mapping`,
		acmeFile("profile: ''"):                     `issuer.acme.profile: "" is not the name of a profile; write it like shortlived`,
		acmeFile("preferred_chain: ' '"):            `issuer.acme.preferred_chain: " " is not the common name of a root`,
		acmeFile("preferred_chain: [ISRG Root X1]"): `issuer.acme.preferred_chain: this is a list`,

		acmeFile("challenge: http01"):                                       `config.yaml:4: issuer.acme.challenge: "http01" is not known; did you mean http-01?`,
		acmeFile("challenge: dns"):                                          `did you mean dns-01?`,
		acmeFile("challenge: tls-sni-01"):                                   `issuer.acme.challenge: "tls-sni-01" is not known`,
		acmeFile("challenge: device-attest-01"):                             `is not known; write one of dns-01, dns-persist-01, http-01, tls-alpn-01`,
		acmeFile("challenge: {http_01: {}}"):                                `issuer.acme.challenge.http_01: unknown key; did you mean http-01?`,
		acmeFile("challenge: {}"):                                           `issuer.acme.challenge: no challenge is given; write one of http-01, tls-alpn-01, dns-01, dns-persist-01`,
		acmeFile("challenge: []"):                                           `issuer.acme.challenge: no challenge is given`,
		acmeFile("challenge: [dns-persist-01, {http-01: {listen: ':0x'}}]"): `issuer.acme.challenge[1].http-01.listen: ":0x"`,
		acmeFile("challenge: {dns-persist-01: {resolver: a}}"):              `issuer.acme.challenge.dns-persist-01.resolver: "a" has no port`,
		acmeFor("['*.b']", "challenge: [http-01, dns-persist-01]"):          "",
		acmeFor("[10.0.0.5]", "challenge: dns-persist-01"):                  `issuer.acme.challenge: dns-persist-01 proves no IP address`,
		acmeFile("challenge: [http-01, dns]"):                               `issuer.acme.challenge[1]: "dns" is not known; did you mean dns-01?`,
		acmeFile("challenge:"):                                              `issuer.acme.challenge: this key has no value`,
		acmeFile("challenge: {http-01: {}, tls-alpn-01: {}}"):               `issuer.acme.challenge: more than one challenge is given, and an order uses one`,
		acmeFile("challenge: {http-01: {listen: '80'}}"):                    `issuer.acme.challenge.http-01.listen: "80" has no port; write it like ":80" or 10.0.0.5:80`,
		acmeFile("challenge: {http-01: {listen: 10.0.0.5}}"):                `"10.0.0.5" has no port`,
		acmeFile("challenge: {http-01: {listen: ':http'}}"):                 `":http" has no port between 1 and 65535`,
		acmeFile("challenge: {http-01: {listen: ':0'}}"):                    `":0" has no port between 1 and 65535`,
		acmeFile("challenge: {http-01: {listen: ''}}"):                      `issuer.acme.challenge.http-01.listen: "" has no port`,
		acmeFile("challenge: {http-01: {listen: '*:80'}}"):                  `"*:80" does not name a host`,
		acmeFile("challenge: {http-01: {listen: '::1:80'}}"):                `"::1:80"`,
		acmeFile("challenge: {tls-alpn-01: {listen: '443'}}"):               `issuer.acme.challenge.tls-alpn-01.listen: "443" has no port; write it like ":443" or 10.0.0.5:443`,

		acmeFor("[a.b, '*.b']", "timeout: 1m"):                             `config.yaml:2: issuer.acme.challenge: only dns-01 proves a wildcard, and names has "*.b"; write dns-01`,
		acmeFor("[a.b, '*.b']", "challenge: tls-alpn-01"):                  `config.yaml:4: issuer.acme.challenge: only dns-01 proves a wildcard`,
		acmeFor("[a.b, 10.0.0.5]", "challenge: {dns-01: {command: [/c]}}"): `issuer.acme.challenge: dns-01 proves no IP address (RFC 8738), and names has "10.0.0.5"; write http-01 or tls-alpn-01`,
		acmeFor("['*.b', '::1']", "challenge: {dns-01: {command: [/c]}}"):  `issuer.acme.challenge: no challenge proves both "*.b" and "::1"`,
		acmeFor("['*.b', '::1']", "timeout: 1m"):                           `issuer.acme.challenge: no challenge proves both "*.b" and "::1"`,

		acmeFile("challenge: dns-01"):      `config.yaml:4: issuer.acme.challenge.dns-01: neither server nor command is given`,
		dns("wait: 1m"):                    `issuer.acme.challenge.dns-01: neither server nor command is given`,
		server("command: [/c]"):            `issuer.acme.challenge.dns-01: server and command are both given`,
		server("wait: -1s"):                `issuer.acme.challenge.dns-01.wait: -1s is negative`,
		server("wait: 5m"):                 `issuer.acme.challenge.dns-01.wait: 5m0s is not less than the timeout of the whole order, 5m0s`,
		server("ttl: -1s"):                 `issuer.acme.challenge.dns-01.ttl: -1s is not a sane TTL`,
		server("ttl: 1500ms"):              `1.5s is not a sane TTL`,
		server("ttl: 2d"):                  `48h0m0s is not a sane TTL`,
		dns("server: '10.0.0.53:53'"):      `issuer.acme.challenge.dns-01.zone: missing`,
		dns("server: 10.0.0.53, zone: a"):  `issuer.acme.challenge.dns-01.server: "10.0.0.53" has no port; write it like 10.0.0.53:53 or "[::1]:53"`,
		dns("server: ':53', zone: a"):      `issuer.acme.challenge.dns-01.server: ":53" does not name a host`,
		dns("server: 'a:53', zone: '*.a'"): `issuer.acme.challenge.dns-01.zone: "*.a" is not a DNS zone`,
		dns("server: 'a:53', zone: 'a b'"): `issuer.acme.challenge.dns-01.zone: "a b" is not a DNS zone`,
		dns("server: 'a:53', zone: '.'"):   `issuer.acme.challenge.dns-01.zone: "." is not a DNS zone`,

		server("tsig_name: k"):                                                 `issuer.acme.challenge.dns-01.tsig_secret_file: missing`,
		server("tsig_secret_file: /s"):                                         `issuer.acme.challenge.dns-01.tsig_name: missing`,
		server("tsig_algorithm: hmac-sha512"):                                  "issuer.acme.challenge.dns-01.tsig_secret_file: missing\nX",
		server("tsig_name: 'a b', tsig_secret_file: /s"):                       `issuer.acme.challenge.dns-01.tsig_name: "a b" is not the name of a TSIG key`,
		server("tsig_name: a..b, tsig_secret_file: /s"):                        `"a..b" is not the name of a TSIG key`,
		server("tsig_name: k, tsig_secret_file: s"):                            `issuer.acme.challenge.dns-01.tsig_secret_file: this is neither`,
		server("tsig_name: k, tsig_secret_file: /s, tsig_algorithm: sha256"):   `issuer.acme.challenge.dns-01.tsig_algorithm: "sha256" is not known`,
		server("tsig_name: k, tsig_secret_file: /s, tsig_algorithm: hmac-md5"): `tsig_algorithm: "hmac-md5" is not known`,

		dns("command: /c --zone internal"):  `issuer.acme.challenge.dns-01.command: this is a single value, not a list; no shell splits it`,
		dns("command: []"):                  `issuer.acme.challenge.dns-01.command: this names no program`,
		dns("command: [dns-hook]"):          `issuer.acme.challenge.dns-01.command[0]: "dns-hook" is not an absolute path`,
		dns("command: [./dns-hook]"):        `command[0]: "./dns-hook" is not an absolute path`,
		dns("command: [/c, ~]"):             `command[1]: this element is empty`,
		dns(`command: [/c, "a\0b"]`):        `issuer.acme.challenge.dns-01.command[1]: this has a zero byte`,
		dns("command: [/c], zone: a"):       `issuer.acme.challenge.dns-01.zone: this belongs to server, and command is given`,
		dns("command: [/c], ttl: 1s"):       `issuer.acme.challenge.dns-01.ttl: this belongs to server`,
		dns("command: [/c], servers: ':1'"): `issuer.acme.challenge.dns-01.servers: unknown key; did you mean server?`,
	} {
		// X stands for one or more lines that follow.
		wanted, more := strings.CutSuffix(want, "\nX")
		got := faultsOf(text)
		if !strings.Contains(got, wanted) || strings.Contains(got, "\n") != more || (want == "") != (got == "") {
			t.Errorf("%s\ngot  %q\nwant %q", text, got, want)
		}
	}
}

func TestLoadChecksTheFilesOfACME(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	put(t, dir, "eab", "not base64: hunter2", 0o400)
	put(t, dir, "tsig", "hunter2_-", 0o400)
	put(t, dir, "plain", "#!/bin/sh\n", 0o644)
	put(t, dir, "hook", "#!/bin/sh\n", 0o755)
	put(t, dir, "account.key", "hunter2", 0o644)
	for text, want := range map[string]string{
		acmeFile("roots_file: /no/roots.pem"):                                                                       `:4: issuer.acme.roots_file: open /no/roots.pem`,
		acmeFile("account_key: " + dir + "/account.key"):                                                            `:4: issuer.acme.account_key: others can access ` + dir + `/account.key (mode 0644); run: chmod 0600`,
		acmeFile("account_key: " + dir):                                                                             `issuer.acme.account_key: read ` + dir + `: it is not a regular file`,
		acmeFile("account_key: " + dir + "/none"):                                                                   "",
		acmeFile("eab: {key_id: k, hmac_file: credential:none}"):                                                    `:4: issuer.acme.eab.hmac_file: there is no credential "none"; write it to the file that LoadCredential=none: names in the unit (/etc/redis-cert-agent/none) and restart the service, or name a file of mode 0600 with hmac_file: /path`,
		acmeFile("eab: {key_id: k, hmac_file: credential:eab}"):                                                     `:4: issuer.acme.eab.hmac_file: this secret is not base64url`,
		acmeFile("challenge: {dns-01: {server: 'a:53', zone: a, tsig_name: k, tsig_secret_file: credential:tsig}}"): `issuer.acme.challenge.dns-01.tsig_secret_file: this secret is not base64; put it there alone`,
		acmeFile("challenge: {dns-01: {server: 'a:53', zone: a, tsig_name: k, tsig_secret_file: /no/tsig}}"):        `tsig_secret_file: open /no/tsig: no such file or directory; put the secret there, mode 0600`,
		acmeFile("challenge: {dns-01: {command: [/no/hook]}}"):                                                      `:4: issuer.acme.challenge.dns-01.command[0]: there is no program "/no/hook"`,
		acmeFile("challenge: {dns-01: {command: [" + dir + "/plain]}}"):                                             `command[0]: "` + dir + `/plain" cannot be executed by uid ` + fmt.Sprint(os.Geteuid()) + `; run: chmod 0755 ` + dir + `/plain`,
		acmeFile("challenge: {dns-01: {command: [" + dir + "]}}"):                                                   `command[0]: "` + dir + `" is not a program: is a directory`,
		acmeFile("challenge: {dns-01: {command: [" + dir + "/hook, /no]}}"):                                         "",
		strings.Replace(strings.Replace(acmeFile("roots_file: /no/r"), "  acme:", "- acme:", 1), "\nnames", "\n- acme: {directory: 'https://a/b', roots_file: /no/s}\nnames", 1): `:5: issuer[1].acme.roots_file: open /no/s`,
	} {
		path := put(t, dir, "config.yaml", text, 0o644)
		_, err := Load(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
		if _, err := LoadWithoutSecrets(path); err != nil {
			t.Errorf("without secrets: %v", err)
		}
	}
}

// What Load accepts an order accepts too: both go by one rule.
func TestAccountKeyThatAGroupCanRead(t *testing.T) {
	dir := t.TempDir()
	key := put(t, dir, "account.key", "k", 0o640)
	_, err := Load(put(t, dir, "config.yaml", acmeFile("account_key: "+key), 0o644))
	if err == nil || !strings.Contains(err.Error(), ":4: issuer.acme.account_key: others can access "+key+" (mode 0640); run: chmod 0600 "+key) {
		t.Errorf("got %v", err)
	}
}

// The HMAC key may have either alphabet and padding; the TSIG secret is what
// tsig-keygen prints.
func TestSecretsOfACMEThatAreGood(t *testing.T) {
	dir := t.TempDir()
	for _, eab := range []string{"zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W", "-_8", "-_8=\n", "+/8="} {
		text := acmeFile(fmt.Sprintf("eab: {key_id: k, hmac_file: %s}\n    challenge: {dns-01: {server: 'a:53', zone: a, tsig_name: k, tsig_secret_file: %s}}",
			put(t, dir, "eab", eab, 0o600), put(t, dir, "tsig", "+/8=\n", 0o640)))
		if _, err := Load(put(t, dir, "config.yaml", text, 0o644)); err != nil {
			t.Errorf("%q: %v", eab, err)
		}
	}
}

// asNobody takes root's way past file modes from this process until the end of the test,
// and lets others into dir. Who is not root needs neither.
func asNobody(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Join(dir, "001"), 0o777)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Seteuid(0); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Seteuid(nobody); err != nil {
		t.Fatal(err)
	}
}

func TestAccountKeyThatNobodyHereCanRead(t *testing.T) {
	dir := t.TempDir()
	asNobody(t, filepath.Dir(dir))
	key := put(t, dir, "account.key", "k", 0o000)
	_, err := Load(put(t, filepath.Dir(key), "config.yaml", acmeFile("account_key: "+key), 0o644))
	if err == nil || !strings.Contains(err.Error(), "permission denied; give it to the user of the agent") {
		t.Errorf("got %v", err)
	}
}

// A secret that somebody put into the wrong place is never repeated.
func TestFaultsNeverRepeatSecretsOfACME(t *testing.T) {
	const s = "hunter2secret"
	for _, text := range []string{
		acmeFile("eab: {key_id: k, hmac_file: " + s + "}"),
		acmeFile("eab: {key_id: k, hmac_file: [" + s + "]}"),
		acmeFile("eab: {key_id: k, hmac_file: 'credential:" + s + "/x'}"),
		acmeFile("eab: {key_id: k, hmac: " + s + "}"),
		acmeFile("eab: " + s),
		acmeFile("challenge: {dns-01: {server: 'a:53', zone: a, tsig_name: k, tsig_secret: " + s + "}}"),
		acmeFile("challenge: {dns-01: {server: 'a:53', zone: a, tsig_name: k, tsig_secret_file: " + s + "}}"),
		strings.Replace(MinimalACME, "https://", "https://u:"+s+"@", 1),
	} {
		if got := faultsOf(text); got == "" || strings.Contains(got, s) {
			t.Errorf("%s\n%s", text, got)
		}
	}
}
