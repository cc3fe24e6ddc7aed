package config

import (
	"strings"
	"testing"
)

// with returns the minimal file with more lines. A line whose key the minimal
// file has replaces that one.
func with(lines string) string {
	base := Minimal
	if strings.HasPrefix(lines, "names:") {
		base = strings.Replace(base, "names: [redis1.internal]\n", "", 1)
	}
	if strings.HasPrefix(lines, "servers:") {
		base = strings.Replace(base, "servers: [127.0.0.1:6379]\n", "", 1)
	}
	return base + lines + "\n"
}

func server(lines string) string {
	return with("servers:\n  - address: 127.0.0.1:6379\n    " + lines)
}

// Each of these has one fault, which says the words.
func TestOneFault(t *testing.T) {
	for text, want := range map[string]string{
		with("instance: a/b"):                         `config.yaml:8: instance: "a/b" is not a name`,
		with("instance: .."):                          `instance: ".." is not a name`,
		with("instance: ''"):                          `instance: "" is not a name`,
		with("directory: x"):                          `directory: "x" is not an absolute path`,
		with("control: x.sock"):                       `control: "x.sock" is not an absolute path`,
		with("control: /" + strings.Repeat("x", 107)): `control: the path of a unix socket has at most 107 bytes, and this has 108`,

		with("names: [a, A]"):               `names[1]: "a" is already names[0]`,
		with("names: ['::1', '0:0::1']"):    `names[1]: "::1" is already names[0]`,
		with("names: [10.0.0.5/24]"):        `names[0]: "10.0.0.5/24" is neither`,
		with("names: [a:6379]"):             `is neither a DNS name nor an IP address`,
		with("names: ['fe80::1%eth0']"):     `is neither a DNS name nor an IP address`,
		with("names: ['*']"):                `is neither a DNS name nor an IP address`,
		with("names: [a*.b]"):               `is neither a DNS name nor an IP address`,
		with("names: [-a]"):                 `is neither a DNS name nor an IP address`,
		with("names: [a..b]"):               `is neither a DNS name nor an IP address`,
		with("names: ['']"):                 `names[0]: "" is neither a DNS name nor an IP address`,
		with("names: [[a]]"):                `names[0]: this is a list; write a single value`,
		with("names: [~]"):                  `names[0]: this element is empty`,
		with("names:\n  a: b"):              `names: this is a mapping, not a list`,
		with("key: {type: rsa2048}"):        `key.type: "rsa2048" is not known; did you mean rsa-2048?`,
		with("key: {type: EC_P256}"):        `did you mean ec-p256?`,
		with("key: {type: rsa-1024}"):       `key.type: "rsa-1024" is not known`,
		with("keys: {type: ec-p256}"):       `keys: unknown key; did you mean key?`,
		with("clock-wait: 1m"):              `clock-wait: unknown key; did you mean clock_wait?`,
		with("Keep: 3"):                     `Keep: unknown key; did you mean keep?`,
		with("files: {mode: '0660', x: 1}"): `files.x: unknown key; write one of group, mode, open_parent, owner`,

		with("servers: [127.0.0.1:6379, 127.0.0.1:6379]"): `servers[1].address: "127.0.0.1:6379" is already servers[0]`,
		with("servers: [127.0.0.1]"):                      `servers[0].address: "127.0.0.1" has no port`,
		with("servers: [6379]"):                           `servers[0].address: "6379" has no port`,
		with("servers: ['redis:99999']"):                  `has no port between 1 and 65535`,
		with("servers: ['redis:http']"):                   `has no port between 1 and 65535`,
		with("servers: [':6379']"):                        `does not name a host`,
		with("servers: ['']"):                             `servers[0].address: "" has no port`,
		with("servers: ['unix:/x']"):                      `Redis speaks no TLS there`,
		with("servers: [rediss://a:1]"):                   `servers[0].address: a URL; leave out the scheme, the user and the password`,
		with("servers: []"):                               `servers: missing`,
		server("adress: x"):                               `servers[0].adress: unknown key; did you mean address?`,
		server("name: other"):                             `servers[0].name: "other" is not among names`,
		server("name: 'a b'"):                             `servers[0].name: "a b" is neither`,
		server("control: 127.0.0.1:6390"):                 `is neither unix:/path nor plain:`,
		server("control: plain:redis1.internal:6390"):     `would send the password unencrypted`,
		server("control: plain:127.0.0.1"):                `"plain:127.0.0.1" has no port; write it like plain:127.0.0.1:6390 or "plain:[::1]:6390"`,
		server("control: unix:run/x"):                     `does not name a unix socket`,
		server("user: 'a b'"):                             `servers[0].user: "a b" is not the name`,
		server("client_cert: /c"):                         `servers[0].client_key: missing`,
		server("client_key: /c"):                          `servers[0].client_cert: missing`,
		server("config_command: ''"):                      `servers[0].config_command: "" is not a command`,
		server("timeout: 0s"):                             `config.yaml:9: servers[0].timeout: 0s is not a time to wait`,
		server("timeout: 5"):                              `servers[0].timeout: "5" is not a duration`,
		server("timeout: {s: 5}"):                         `servers[0].timeout: this is a mapping; write a single value`,
		server("timeout:"):                                `servers[0].timeout: this key has no value`,
		server("insecure_skip_verify: 1"):                 `is neither true nor false`,
		with("servers:\n- {address: 'redis1.internal:1', insecure_skip_verify: true}"): `servers[0].insecure_skip_verify: "redis1.internal:1" is not a loopback address`,

		with("paths: {cert: /a}"):               `paths.key: missing`,
		with("paths: {key: /a}"):                `paths.cert: missing`,
		with("paths: {cert: /a, key: /a/../a}"): `paths.key: "/a/../a" is already paths.cert`,
		with("paths: {cert: /a, key: b}"):       `paths.key: "b" is not an absolute path`,
		with("paths: {cert: /var/lib/redis-cert-agent/default/current/redis.crt, key: /b}"): `paths.cert: "/var/lib/redis-cert-agent/default/current/redis.crt" is inside of`,
		with("files: {mode: '0644'}"):   `files.mode: "0644" lets everybody read the private key`,
		with("files: {mode: 0666}"):     `files.mode: "0666" lets everybody`,
		with("files: {mode: '0750'}"):   `files.mode: "0750" makes a key executable`,
		with("files: {mode: '0060'}"):   `files.mode: "0060" keeps the agent itself from reading`,
		with("files: {mode: 640x}"):     `files.mode: "640x" is not a file mode`,
		with("files: {owner: root2}"):   `files.owner: "root2" is not a user of this host`,
		with("roots: {file: ca.crt}"):   `roots.file: "ca.crt" is not an absolute path`,
		with("roots: {policy: Merge}"):  `did you mean merge?`,
		with("usages: [server, sever]"): `usages[1]: "sever" is not known; did you mean server?`,
		with("usages: []"):              `usages: a Redis certificate needs the usage server`,
		with("usages: both"):            `usages: "both" is not a list`,
		with("keep: -1"):                `keep: -1 previous generations`,
		with("keep: 3.5"):               `keep: "3.5" is not a whole number`,
		with("jitter: 26%"):             `jitter: 26% is not between`,
		with("jitter: NaN%"):            `jitter: "NaN%" is not a share`,
		with("jitter: -1%"):             `jitter: -1% is not between`,
		with("clock_wait: -1s"):         `clock_wait: -1s is negative`,
		with("'a\\nb': 1"):              `unknown key`,

		strings.Replace(Minimal, "https://ca", "http://ca", 1):                                         `issuer.step.url: "http://ca.internal:9000" is not encrypted`,
		strings.Replace(Minimal, "https://ca.internal:9000", "ca:9000", 1):                             `issuer.step.url: "ca:9000" is not the URL of a CA`,
		strings.Replace(Minimal, minimalPrint, minimalPrint[1:], 1):                                    `is not a fingerprint of 64 hex digits`,
		strings.Replace(Minimal, minimalPrint, "g"+minimalPrint[1:], 1):                                `is not a fingerprint of 64 hex digits`,
		strings.Replace(Minimal, "provisioner: redis", "provisioner: ''", 1):                           `config.yaml:5: issuer.step.provisioner: missing`,
		strings.Replace(Minimal, "provisioner: redis", "provisioner: redis\n    password_file: ''", 1): `issuer.step.password_file: this is neither`,
		strings.Replace(Minimal, "provisioner: redis", "provisioner: redis\n    timeout: 0s", 1):       `issuer.step.timeout: 0s is not a time to wait`,
	} {
		got := faultsOf(text)
		if !strings.Contains(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%s\ngot  %q\nwant %q in one line", text, got, want)
		}
	}
}

func TestAccepted(t *testing.T) {
	for _, text := range []string{
		with("names: ['*.redis.internal', redis_1, xn--bse-sna.example]"),
		with("servers:\n- {address: 'localhost:6379', insecure_skip_verify: true}\n- {address: '[::1]:6379', insecure_skip_verify: true}\n- {address: '127.9.9.9:1', insecure_skip_verify: true}"),
		with("servers:\n- {address: '10.0.0.5:6379', control: 'plain:[::1]:6390'}"),
		server("control: plain:localhost:6390"),
		with("usages: auto"),
		with("usages: [server]"),
		with("jitter: 0"),
		with("files: {mode: 0o600}"),
	} {
		if got := faultsOf(text); got != "" {
			t.Errorf("%s\n%s", text, got)
		}
	}
}

func TestSystemAccounts(t *testing.T) {
	a := systemAccounts{}
	for name, want := range map[string]int{"root": 0, "": -1, "0": 0, "4242": 4242} {
		if got, err := a.user(name); err != nil || got != want {
			t.Errorf("user %q: %d, %v", name, got, err)
		}
		if got, err := a.group(name); err != nil || got != want {
			t.Errorf("group %q: %d, %v", name, got, err)
		}
	}
	for _, name := range []string{"no-such-account", "-5", "99999999999"} {
		if _, err := a.user(name); err == nil {
			t.Errorf("user %q was found", name)
		}
		if _, err := a.group(name); err == nil {
			t.Errorf("group %q was found", name)
		}
	}
}

// A secret that somebody put where its path belongs, or under a key that does
// not exist, is never repeated.
func TestFaultsNeverRepeatSecrets(t *testing.T) {
	const s = "hunter2secret"
	for _, text := range []string{
		server("password_file: " + s),
		server("password: " + s),
		server("client_key: " + s),
		server("client_key: 'credential:" + s + "/x'"),
		server("password_file: [" + s + "]"),
		server("password_file: \"" + s),
		server("password_file: @" + s),
		server("password_file: a: " + s),
		server("password_file: {a: b}} " + s),
		server("password_file: %" + s),
		strings.Replace(Minimal, "https://", "https://u:"+s+"@", 1),
		strings.Replace(Minimal, "https://", "https://u:%zz"+s+"@", 1),
		with(s),
		with("password: |\n  " + s + "\n x"),
	} {
		if got := faultsOf(text); got == "" || strings.Contains(got, s) {
			t.Errorf("%s\n%s", text, got)
		}
	}
}
