package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/ca/step"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/metrics"
	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/secret"
	"redis-cert-agent/reload"
)

var update = flag.Bool("update", false, "rewrite golden files and the reference in doc.go")

// fakeAccounts is a host with one user, one group, and a usable redis group.
type fakeAccounts struct{}

func (fakeAccounts) user(name string) (int, error) {
	if name == "agent" {
		return 990, nil
	}
	return 0, errors.New("is not a user of this host; create it, or write its number")
}

func (fakeAccounts) group(name string) (int, error) {
	if name == "tls" {
		return 995, nil
	}
	return 0, errors.New("is not a group of this host; create it, or write its number")
}

func (fakeAccounts) defaultGroup() int { return 105 }

const minimalPrint = "0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3"

func inFile(path, key string) secret.Secret {
	s, err := secret.Parse(path, key)
	if err != nil {
		panic(err)
	}
	return s
}

func mustParse(t *testing.T, path, text string) *Config {
	t.Helper()
	c, d := parse(path, []byte(text), fakeAccounts{})
	if err := d.err(); err != nil {
		t.Fatalf("unexpected faults:\n%v", err)
	}
	return c
}

func faultsOf(text string) string {
	_, d := parse("config.yaml", []byte(text), fakeAccounts{})
	if err := d.err(); err != nil {
		return err.Error()
	}
	return ""
}

func TestMinimalFileHasEveryDefault(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	got := mustParse(t, "/etc/redis-cert-agent/config.yaml", Minimal)
	want := &Config{
		Path:     "/etc/redis-cert-agent/config.yaml",
		Instance: "default",
		Control:  "/run/redis-cert-agent/default/control.sock",
		Pair:     pair.Options{Dir: "/var/lib/redis-cert-agent/default", UID: -1, GID: 105, Mode: 0o640, Keep: 3},
		Issuers: []Issuer{{Step: &step.Options{
			URL: "https://ca.internal:9000", Fingerprint: minimalPrint, Provisioner: "redis",
			TokenFile: "/var/lib/redis-cert-agent/default/token", Password: secret.Credential("provisioner-password", "password_file"),
			Timeout: 20 * time.Second,
		}}},
		Names: []string{"redis1.internal"},
		Servers: []reload.Server{{
			Address: "127.0.0.1:6379", Name: "redis1.internal", ConfigCommand: "CONFIG", Timeout: 5 * time.Second,
		}},
		Policy: plan.Policy{Jitter: 0.05, Turns: true}, ClockWait: 2 * time.Minute,
		Monitor: Monitor{Margins: cert.Margins{Warn: cert.Margin{Share: 0.25, Time: 21 * 24 * time.Hour}, Crit: cert.Margin{Share: 0.1, Time: 7 * 24 * time.Hour}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestFullFile(t *testing.T) {
	const text = `
instance: cache
directory: /srv/certs
control: /run/x.sock
issuer:
  step:
    url: https://CA.internal:9000/
    fingerprint: 0D:7D:38:34:CF:18:77:26:CF:33:1C:40:A3:1A:A7:EF:6B:29:BA:4D:F6:01:41:6C:97:88:F6:EE:01:05:8C:F3
    provisioner: 007
    password_file: /etc/pw
    lifetime: 1.5d
    timeout: 1m
names: [Redis1.Internal, "*.redis.internal", "2001:DB8:0::5", 10.0.0.5]
key: {type: ed25519, reuse: true}
servers:
  - "[::1]:6379"
  - &s
    address: 127.0.0.1:6380
    name: a.redis.internal
    control: unix:/run/redis/redis.sock
    user: agent
    password_file: credential:other
    client_cert: /etc/c.crt
    client_key: /etc/c.key
    config_command: CFG
    insecure_skip_verify: true
    timeout: 1s
paths: {cert: /a/redis.crt, key: /a/redis.key, ca: /a/ca.crt}
files: {owner: agent, group: tls, mode: 0600}
roots: {file: /a/roots.pem, policy: exact}
usages: [server, client]
keep: 1
jitter: 25%
clock_wait: 0s
monitor: {files: [/a/app.crt], warn: 14d, crit: "5%, 36h"}
metrics: {listen: ":9742", textfile: /a/x.prom}
notify:
  - webhook: {url: http://127.0.0.1/x, token_file: /etc/token, roots_file: /a/roots.pem}
  - slack: {url_file: credential:notify-slack}
    after: 0s
    repeat: 0s
  - pagerduty: {key_file: /etc/key}
  - command: [/bin/tell, ops]
heartbeat: {url: https://hc.internal/1, every: 1m}
`
	got := mustParse(t, "config.yaml", text)
	want := &Config{
		Path: "config.yaml", Instance: "cache", Control: "/run/x.sock",
		Pair: pair.Options{
			Dir: "/srv/certs", Paths: pair.Paths{Cert: "/a/redis.crt", Key: "/a/redis.key", CA: "/a/ca.crt"},
			UID: 990, GID: 995, Mode: 0o600, Keep: 1,
		},
		Issuers: []Issuer{{Step: &step.Options{
			URL: "https://CA.internal:9000", Fingerprint: minimalPrint, Provisioner: "007",
			TokenFile: "/srv/certs/token", Password: inFile("/etc/pw", "password_file"),
			Lifetime: 36 * time.Hour, Timeout: time.Minute,
		}}},
		Names:   []string{"redis1.internal", "*.redis.internal", "2001:db8::5", "10.0.0.5"},
		KeyType: "ed25519", ReuseKey: true,
		Servers: []reload.Server{
			{Address: "[::1]:6379", Name: "redis1.internal", ConfigCommand: "CONFIG", Timeout: 5 * time.Second},
			{
				Address: "127.0.0.1:6380", Name: "a.redis.internal", Control: "unix:/run/redis/redis.sock", User: "agent",
				Password:   secret.Credential("other", "password_file"),
				ClientCert: "/etc/c.crt", ClientKey: inFile("/etc/c.key", "client_key"),
				ConfigCommand: "CFG", InsecureSkipVerify: true, Timeout: time.Second,
			},
		},
		Roots:  Roots{File: "/a/roots.pem", Exact: true},
		Usages: []string{"server", "client"},
		Policy: plan.Policy{Jitter: 0.25, Turns: true}, ClockWait: 0,

		Monitor: Monitor{
			Files:   []string{"/a/app.crt"},
			Margins: cert.Margins{Warn: cert.Margin{Time: 14 * 24 * time.Hour}, Crit: cert.Margin{Share: 0.05, Time: 36 * time.Hour}},
		},
		Metrics: metrics.Outlets{Listen: ":9742", Textfile: "/a/x.prom"},
		Notify: []notify.Target{
			{Sender: notify.Webhook{Service: notify.Service{URL: "http://127.0.0.1/x", TokenFile: inFile("/etc/token", "token_file"), RootsFile: "/a/roots.pem"}}, After: time.Minute, Repeat: 24 * time.Hour},
			{Sender: notify.Slack{Service: notify.Service{URLFile: secret.Credential("notify-slack", "url_file")}}},
			{Sender: notify.PagerDuty{Service: notify.Service{URL: "https://events.pagerduty.com/v2/enqueue"}, KeyFile: inFile("/etc/key", "key_file")}, After: time.Minute, Repeat: 24 * time.Hour},
			{Sender: notify.Command{Args: []string{"/bin/tell", "ops"}}, After: time.Minute, Repeat: 24 * time.Hour},
		},
		Heartbeat: &notify.Heartbeat{Service: notify.Service{URL: "https://hc.internal/1"}, Every: time.Minute},
	}
	for i := range got.Notify {
		if got.Notify[i].ID == "" {
			t.Errorf("notify[%d] has no identity", i)
		}
		got.Notify[i].Name, got.Notify[i].ID = "", ""
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\n     %+v\nwant %+v\n     %+v", got, got.Issuers[0].Step, want, want.Issuers[0].Step)
	}
}

func TestInstanceFollowsTheFileName(t *testing.T) {
	for path, want := range map[string]struct{ instance, unit string }{
		"/etc/redis-cert-agent/config.yaml": {"default", "redis-cert-agent"},
		"/etc/redis-cert-agent/cache.yaml":  {"cache", "redis-cert-agent@cache"},
		"cache-2.yml":                       {"cache-2", "redis-cert-agent@cache-2"},
	} {
		c := mustParse(t, path, Minimal)
		if c.Instance != want.instance || c.Unit() != want.unit {
			t.Errorf("%s: instance %q of %q, want %v", path, c.Instance, c.Unit(), want)
		}
	}
}

// Anchors, comments, a leading ---, CRLF and a byte order mark are YAML too.
func TestYAMLForms(t *testing.T) {
	for name, text := range map[string]string{
		"document start": "---\n" + Minimal,
		"directive":      "%YAML 1.2\n---\n" + Minimal,
		"document end":   Minimal + "...\n",
		"CRLF":           strings.ReplaceAll(Minimal, "\n", "\r\n"),
		"BOM":            "\ufeff" + Minimal,
		"comment":        "# one\n" + Minimal + "# two\n  # three\n\n",
		"anchor":         strings.Replace(Minimal, "servers: [127.0.0.1:6379]", "key: {type: &t ec-p256}\nservers: [127.0.0.1:6379]\nroots: {policy: merge}", 1),
		"alias":          strings.Replace(Minimal, "names: [redis1.internal]\nservers: [127.0.0.1:6379]", "names: [&n redis1.internal]\nservers: [{address: localhost:1, name: *n}]", 1),
		"JSON":           `{"issuer":{"step":{"url":"https://a","fingerprint":"` + minimalPrint + `","provisioner":"p"}},"names":["a"],"servers":["localhost:1"]}`,
	} {
		t.Run(name, func(t *testing.T) { mustParse(t, "config.yaml", text) })
	}
}

func TestGolden(t *testing.T) {
	t.Chdir("testdata")
	inputs, err := filepath.Glob("*.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatal("no golden inputs", err)
	}
	for _, in := range inputs {
		t.Run(in, func(t *testing.T) {
			data, err := os.ReadFile(in)
			if err != nil {
				t.Fatal(err)
			}
			_, d := parse(in, data, fakeAccounts{})
			if d.err() == nil {
				t.Fatal("accepted")
			}
			got := d.err().Error() + "\n"
			golden := strings.TrimSuffix(in, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestLoadMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "--config") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestLoadHugeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(Minimal))
	f.Add([]byte(MinimalACME))
	f.Add([]byte(fullACME))
	inputs, _ := filepath.Glob("testdata/*.yaml")
	for _, in := range inputs {
		data, err := os.ReadFile(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{"a: &a *a", "servers: &s [*s]", "? ", "<<: *x", "issuer: {step: &s {url: *s}}", "issuer: &i [*i]", "issuer: [{acme: &a {challenge: *a}}, *a]", "issuer: {acme: {challenge: {dns-01: &d {command: [*d]}}}}", "names: [", "{", "- -", "!!x", "names: |\n a\n b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, d := parse("config.yaml", data, fakeAccounts{})
		err := d.err()
		if err == nil {
			return
		}
		for _, l := range strings.Split(err.Error(), "\n") {
			if !strings.HasPrefix(l, "config.yaml:") {
				t.Errorf("a fault is not one line: %q", err)
			}
		}
	})
}
