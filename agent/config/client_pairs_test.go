package config

import (
	"strings"
	"testing"
)

// A faulty pair of a client is refused with the field, and the others are not blamed.
func TestClientPairFaults(t *testing.T) {
	const good = "{name: exporter, names: [exporter.internal]}"
	for pairs, want := range map[string]string{
		"[{names: [a.internal]}]":                                                                       "pairs[0].name: missing",
		"[{name: ../a, names: [a.internal]}]":                                                           `pairs[0].name: "../a" is not a name for a pair`,
		"[{name: .a, names: [a.internal]}]":                                                             `pairs[0].name: ".a" is not a name for a pair`,
		"[" + good + ", " + good + "]":                                                                  `pairs[1].name: "exporter" is already pairs[0]`,
		"[{name: a}]":                                                                                   "pairs[0].names: missing",
		"[{name: a, names: [a.internal, a.internal]}]":                                                  `pairs[0].names[1]: "a.internal" is already names[0]`,
		"[{name: a, names: [a.internal], usages: [code]}]":                                              "pairs[0].usages[0]: ",
		"[{name: a, names: [a.internal], usages: []}]":                                                  "pairs[0].usages: a certificate that is for nothing",
		"[{name: a, names: [a.internal], command: /bin/true -x}]":                                       "pairs[0].command: ",
		"[{name: a, names: [a.internal], command: [true]}]":                                             "pairs[0].command[0]: ",
		"[{name: a, names: [a.internal], files: {mode: '0644'}}]":                                       `pairs[0].files.mode: "0644" lets everybody read the private key`,
		"[{name: a, names: [a.internal], paths: {cert: /c}}]":                                           "pairs[0].paths.key: missing",
		"[{name: a, names: [a.internal], paths: {cert: /var/lib/redis-cert-agent/default/x, key: /k}}]": "pairs[0].paths.cert: \"/var/lib/redis-cert-agent/default/x\" is inside of",
		"[{name: a, names: [a.internal], paths: {cert: /c, key: /k}}, {name: b, names: [b.internal], paths: {cert: /d, key: /k}}]": `pairs[1].paths.key: "/k" is already in pairs[0].paths`,
		"exporter": "pairs: this is a single value, not a list",
	} {
		_, d := parse("config.yaml", []byte(Minimal+"pairs: "+pairs+"\n"), systemAccounts{})
		err := d.err()
		if err == nil || !strings.Contains(err.Error(), ": "+want) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%s:\ngot  %v\nwant %s, in one line", pairs, err, want)
		}
	}
	external := strings.Replace(Minimal[strings.Index(Minimal, "names:"):], "names:", "issuer: none\nroots: {file: /r}\npaths: {cert: /c, key: /k}\nnames:", 1)
	_, d := parse("config.yaml", []byte(external+"pairs: ["+good+"]\n"), systemAccounts{})
	if err := d.err(); err == nil || !strings.Contains(err.Error(), "pairs: without an issuer there is nobody to ask") {
		t.Errorf("with issuer: none: %v", err)
	}
}
