package config

import (
	"strings"
	"testing"
)

// monitorOnly is a file without an authority.
func monitorOnly(lines string) string {
	return "issuer: none\nnames: [a]\nservers: [127.0.0.1:6379]\n" + lines + "\n"
}

func TestMonitorOnly(t *testing.T) {
	c := mustParse(t, "config.yaml", monitorOnly("paths: {cert: /a/c, key: /a/c, ca: /a/ca}"))
	if !c.External || len(c.Issuers) != 0 {
		t.Errorf("%+v", c)
	}
	if mustParse(t, "config.yaml", Minimal).External {
		t.Error("a file with an issuer only monitors")
	}
}

// Each of these has one fault, which says the words.
func TestOneFaultInMonitoring(t *testing.T) {
	for text, want := range map[string]string{
		monitorOnly(""): `paths.cert: missing; without an issuer`,
		monitorOnly("paths: {cert: /a/c, ca: /a/ca}"):                                                  `paths.key: missing`,
		monitorOnly("paths: {cert: /a/c, key: /a/k}"):                                                  `roots.file: missing; without paths.ca`,
		strings.Replace(monitorOnly("paths: {cert: /a/c, key: /a/k, ca: /a/ca}"), "none", "nobody", 1): `issuer: "nobody" is no certificate authority`,

		with("monitor: {files: [a]}"):                                                `monitor.files[0]: "a" is not an absolute path`,
		with("monitor: {files: [/a, /a]}"):                                           `monitor.files[1]: "/a" is already monitor.files[0]`,
		with("monitor: {warn: 3}"):                                                   `monitor.warn: "3" says no time before the end`,
		with("monitor: {warn: 3d}"):                                                  `monitor.crit: "10%,7d" begins before warn, which is 3d`,
		with("monitor: {crit: 30%}"):                                                 `monitor.crit: "30%" begins before warn`,
		with("metrics: {listen: 9742}"):                                              `metrics.listen: "9742" has no port`,
		with("metrics: {listen: 'a b:1'}"):                                           `does not name a host`,
		with("metrics: {textfile: x.prom}"):                                          `metrics.textfile: "x.prom" is not an absolute path`,
		with("metrics: {textfile: /a/x.txt}"):                                        `"/a/x.txt" does not end in .prom`,
		with("notify: {slack: x}"):                                                   `notify: this is a mapping, not a list`,
		with("notify: [{after: 1m}]"):                                                `notify[0]: this tells nobody`,
		with("notify: [{after: 1m, webhook: {}}]"):                                   `notify[0].webhook: no URL is given`,
		with("notify: [{command: []}]"):                                              `notify[0].command: this names no program`,
		with("notify: [{command: [tell]}]"):                                          `notify[0].command[0]: "tell" is not an absolute path`,
		with("notify: [{pagerduty: {url: 'https://a/'}}]"):                           `notify[0].pagerduty.key_file: missing`,
		with("notify: [{slack: {url: 'http://a/T0/SECRET'}}]"):                       `notify[0].slack.url: the URL is not encrypted`,
		with("notify: [{slack: {url: 'ftp://a/SECRET'}}]"):                           `notify[0].slack.url: this is not the URL of a web service`,
		with("notify: [{slack: {url: 'https://u:SECRET@a/'}}]"):                      `notify[0].slack.url: the URL has a user or password`,
		with("notify: [{slack: {url: 'https://a/', url_file: /a}}]"):                 `notify[0].slack.url_file: url is given too`,
		with("notify: [{slack: {url_file: 'https://a/SECRET'}}]"):                    `notify[0].slack.url_file: this is neither an absolute path nor credential:NAME`,
		with("notify: [{slack: {url: 'https://a/'}, webhook: {url: 'https://a/'}}]"): `notify[0]: this has more than one kind`,
		with("notify: [{slack: {url: 'https://a/', roots_file: a}}]"):                `notify[0].slack.roots_file: "a" is not an absolute path`,
		with("notify: [{slack: {url: 'https://a/'}, repeat: 1s}]"):                   `notify[0].repeat: 1s would flood`,
		with("notify: [{slack: {url: 'https://a/'}, after: -1s}]"):                   `notify[0].after: -1s is negative`,
		with("heartbeat: {url: 'https://a/', every: 1s}"):                            `heartbeat.every: 1s is too often`,
		with("notify: [{pagerduty: {key_file: /k, roots_file: a}}]"):                 `notify[0].pagerduty.roots_file: "a" is not an absolute path`,
		with("heartbeat: {url: 'https://a/', roots_file: a}"):                        `heartbeat.roots_file: "a" is not an absolute path`,
		with("heartbeat: {every: 1m}"):                                               `heartbeat: no URL is given`,
	} {
		got := faultsOf(text)
		if strings.Count(got, "\n") != 0 || !strings.Contains(got, want) || strings.Contains(got, "SECRET") {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}
