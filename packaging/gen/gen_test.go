package main

import (
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The template unit is the unit with the instance in place of the default.
func TestUnitsAgree(t *testing.T) {
	one, many := readUnit(t, "redis-cert-agent.service"), readUnit(t, "redis-cert-agent@.service")
	want := strings.NewReplacer(
		"certificate fresh\n", "certificate fresh (%i)\n",
		"ConditionPathExists=/etc/redis-cert-agent/config.yaml", "ConditionPathExists=/etc/redis-cert-agent/%i.yaml",
		"redis-cert-agent run\n", "redis-cert-agent run --config /etc/redis-cert-agent/%i.yaml\n",
		"redis-cert-agent reload\n", "redis-cert-agent reload --config /etc/redis-cert-agent/%i.yaml\n",
		"Directory=redis-cert-agent/default", "Directory=redis-cert-agent/%i",
		":/etc/redis-cert-agent/", ":/etc/redis-cert-agent/%i.",
		"valkey.service\n", "valkey.service\nBefore=redis-server@%i.service redis@%i.service valkey-server@%i.service valkey@%i.service\n",
	).Replace(one)
	if many == want {
		return
	}
	a, b := strings.Split(many, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("redis-cert-agent@.service:%d: %q, want %q", i+1, a[i], b[i])
		}
	}
	t.Fatal("one of the units is longer")
}

func readUnit(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../systemd/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const help = `Keep it fresh: renew it
in time.

  an example

Usage:
  tool [flags]
  tool [command]

Examples:
  tool run

Available Commands:
  completion  Generate the autocompletion script
  help        Help about any command
  run         Look after it

Flags:
  -c, --config string   configuration file
      --dns strings     names
                        (default: this host's)
  -h, --help            help for tool

Use "tool [command] --help" for more information about a command.
`

func TestPageFromHelp(t *testing.T) {
	c := parseHelp("tool", help)
	if len(c.commands) != 1 || c.commands[0].path != "tool run" || c.commands[0].short != "Look after it" {
		t.Errorf("commands %+v", c.commands)
	}
	if len(c.flags) != 2 || c.flags[0] != (option{"-c, --config string", "configuration file"}) ||
		c.flags[1] != (option{"--dns strings", "names (default: this host's)"}) {
		t.Errorf("flags %+v", c.flags)
	}
	if c.usage != "tool [flags]" || c.examples != "  tool run" || summary(c) != "Keep it fresh" {
		t.Errorf("usage %q, examples %q, summary %q", c.usage, c.examples, summary(c))
	}
	if got := escape("-a \\ .b\n.c"); got != `\-a \e .b`+"\n"+`\&.c` {
		t.Errorf("escaped: %s", got)
	}
}

// groff, where there is one, takes the page of the configuration without a
// warning but about words that are longer than a line.
func TestConfigPageIsWellFormed(t *testing.T) {
	page := configPage("1.2.3", "2026-01-02")
	for _, want := range []string{".TH REDIS\\-CERT\\-AGENT.YAML 5 2026-01-02", ".B servers[].timeout\nBounds one exchange with Redis.\n.br\nDefault: 5s. Takes effect on reload.\n", "Takes effect on restart.",
		"\nissuer:\n  step:\n    url: https"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		return
	}
	cmd := exec.Command(groff, "-man", "-Tutf8", "-wmac", "-Wbreak", "-z")
	cmd.Stdin = strings.NewReader(page)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

// docs/configuration.md tells the keys that there are.
func TestConfigDoc(t *testing.T) {
	const path = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(path, []byte(configDoc()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != configDoc() {
		t.Errorf("%s is out of date (%v); run: go test ./packaging/gen -update", path, err)
	}
}
