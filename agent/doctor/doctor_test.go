package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/discover"
)

// The page lists each check as the code has it.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	table := ""
	for _, c := range checks {
		table += fmt.Sprintf("| `%s` | %d | %s |\n", c.Check, c.exit, c.what)
	}
	if !strings.Contains(string(page), table) {
		t.Errorf("docs/doctor.md should have\n%s", table)
	}
}

// visitOf returns a visit of a host that is made up: its files below a directory, and what
// its commands print, by their beginning.
func visitOf(t *testing.T, commands map[string]string) (v *visit, root string) {
	t.Helper()
	root = t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "config.yaml")
	if err := os.WriteFile(path, []byte(config.Minimal+"paths: {cert: /etc/redis/tls/redis.crt, key: /etc/redis/tls/redis.key}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Config: path, host: host{root: root, places: discover.Places{Proc: filepath.Join(root, "proc")}}}
	o.host.run = func(_ context.Context, name string, args ...string) (string, error) {
		line := name + " " + strings.Join(args, " ")
		for begin, text := range commands {
			if strings.Contains(line, begin) {
				return text, nil
			}
		}
		return "", errors.New("no such unit")
	}
	return &visit{Options: o, report: new(Report), c: c}, root
}

// has says whether a line of a check has the state, and each part in what was found or is
// to be done.
func (v *visit) has(check Check, state State, parts ...string) bool {
	return slices.ContainsFunc(v.report.Lines, func(l Line) bool {
		return l.Check == check && l.State == state && !slices.ContainsFunc(parts, func(p string) bool {
			return !strings.Contains(l.Subject+" "+l.Found+" "+l.Remedy, p)
		})
	})
}

const active = "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nUser=redis-cert-agent\nGroup=redis\n"

func TestUnits(t *testing.T) {
	for _, tt := range []struct {
		show  string
		state State
		part  string
	}{
		{active, OK, "user redis-cert-agent, group redis"},
		{"LoadState=not-found\nActiveState=inactive\n", Warning, "no such unit"},
		{strings.Replace(active, "ActiveState=active", "ActiveState=failed\nResult=exit-code", 1), Fault, "journalctl -u redis-cert-agent"},
		{strings.Replace(active, "enabled", "disabled", 1), Warning, "systemctl enable redis-cert-agent"},
	} {
		v, _ := visitOf(t, map[string]string{"systemctl show": tt.show})
		v.units(t.Context())
		if !v.has(Unit, tt.state, tt.part) {
			t.Errorf("%q: %+v", tt.show, v.report.Lines)
		}
	}
}

// What the sandbox of a unit lets its processes write (systemd.exec(5)).
func TestWritable(t *testing.T) {
	for _, tt := range []struct {
		unit unit
		path string
		want bool
	}{
		{unit{"ProtectSystem": "strict"}, "/var/lib/redis-cert-agent/default", false},
		{unit{"ProtectSystem": "strict", "StateDirectory": "redis-cert-agent/default"}, "/var/lib/redis-cert-agent/default", true},
		{unit{"ProtectSystem": "strict", "StateDirectory": "redis-cert-agent/def"}, "/var/lib/redis-cert-agent/default", false},
		{unit{"ProtectSystem": "strict", "ReadWritePaths": "-/srv /etc/redis/tls"}, "/etc/redis/tls", true},
		{unit{"ProtectSystem": "full"}, "/etc/redis/tls", false},
		{unit{"ProtectSystem": "full"}, "/srv/tls", true},
		{unit{"ProtectSystem": "yes"}, "/etc/redis/tls", true},
		{unit{"ProtectHome": "yes"}, "/root/tls", false},
		{unit{"ProtectSystem": "no", "InaccessiblePaths": "-/etc/redis"}, "/etc/redis/tls", false},
		{unit{}, "/root/tls", true},
	} {
		if got := tt.unit.writable(tt.path); got != tt.want {
			t.Errorf("%v: %s is writable: %v", tt.unit, tt.path, got)
		}
	}
}

func TestRenewers(t *testing.T) {
	const unit = "[Service]\nEnvironment=CERT_LOCATION=/etc/redis/tls/%i.crt KEY_LOCATION=/etc/redis/tls/%i.key\nExecStart=/usr/bin/step ca renew\n"
	timer := map[string]string{"list-units": "cert-renewer@redis.timer loaded active waiting Renew\n", "cat --no-pager cert-renewer@redis.service": unit}
	write := func(root, path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, path, text string
		commands         map[string]string
		state            State
		parts            []string
	}{
		{"none", "/etc/cron.d/other", "0 0 * * * root step ca renew /etc/other.crt /etc/other.key\n", nil, OK, nil},
		{"a timer", "", "", timer, Fault, []string{"systemctl disable --now cert-renewer@redis.timer"}},
		{"a timer of other files", "", "", map[string]string{"list-units": timer["list-units"], "cat": strings.ReplaceAll(unit, "redis", "nginx")}, OK, nil},
		{"a timer that is off", "", "", map[string]string{"list-units": "cert-renewer@redis.timer loaded inactive dead Renew\n", "cat": unit}, OK, nil},
		{"certbot", "/etc/letsencrypt/renewal/redis1.conf", "cert = /etc/redis/tls/redis.crt\n", nil, Fault, []string{"certbot delete --cert-name redis1"}},
		{"certmonger", "/var/lib/certmonger/requests/20260101", "cert_file=/etc/redis/tls/redis.crt\n", nil, Fault, []string{"getcert stop-tracking"}},
		{"cron", "/etc/cron.d/renew", "0 * * * * root step ca renew -f /etc/redis/tls/redis.crt /etc/redis/tls/redis.key\n", nil, Fault, []string{"/etc/cron.d/renew"}},
		{"cron, in a comment", "/etc/cron.d/renew", "# step ca renew /etc/redis/tls/redis.crt\n", nil, OK, nil},
		{"cron, another file", "/etc/cron.d/renew", "0 * * * * root step ca renew /etc/redis/tls/redis.crt.old x\n", nil, OK, nil},
		{"a daemon", "/proc/4242/cmdline", "step\x00ca\x00renew\x00--daemon\x00/etc/redis/tls/redis.crt\x00/etc/redis/tls/redis.key\x00", nil, Fault, []string{"step (pid 4242)"}},
		{"an editor", "/proc/4242/cmdline", "vi\x00/etc/redis/tls/redis.crt\x00", nil, OK, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, root := visitOf(t, tt.commands)
			if tt.path != "" {
				write(root, tt.path, tt.text)
			}
			v.renewers(t.Context())
			if len(v.report.Lines) != 1 || !v.has(Renewers, tt.state, tt.parts...) {
				t.Errorf("%+v", v.report.Lines)
			}
		})
	}
}

func TestInotify(t *testing.T) {
	for limits, want := range map[[2]string]State{{"128", "65536"}: OK, {"0", "65536"}: Fault, {"128", "8"}: Fault, {"128", "100"}: Warning, {"x", "1"}: Unknown} {
		v, root := visitOf(t, nil)
		dir := filepath.Join(root, "proc/sys/fs/inotify")
		err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "max_user_instances"), []byte(limits[0]+"\n"), 0o600),
			os.WriteFile(filepath.Join(dir, "max_user_watches"), []byte(limits[1]+"\n"), 0o600))
		if err != nil {
			t.Fatal(err)
		}
		if v.inotify(t.Context()); !v.has(Inotify, want) {
			t.Errorf("%v: %+v", limits, v.report.Lines)
		}
	}
}

func TestLabels(t *testing.T) {
	for label, want := range map[string]State{"system_u:object_r:cert_t:s0": OK, "system_u:object_r:var_lib_t:s0": Fault} {
		v, _ := visitOf(t, nil)
		if v.label("/var/lib/redis-cert-agent/default", label); !v.has(SELinux, want) {
			t.Errorf("%s: %+v", label, v.report.Lines)
		}
	}
}

// A name that this host cannot resolve, and an address that it does not have, are warnings.
func TestNames(t *testing.T) {
	v, _ := visitOf(t, nil)
	v.c.Names = []string{"127.0.0.1", "192.0.2.77", "nowhere.invalid", "*.internal"}
	v.names(t.Context())
	if !v.has(Names, OK, "127.0.0.1") || !v.has(Names, Warning, "192.0.2.77") || !v.has(Names, Warning, "nowhere.invalid") || len(v.report.Lines) != 3 {
		t.Errorf("%+v", v.report.Lines)
	}
}
