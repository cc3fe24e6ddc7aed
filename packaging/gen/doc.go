package main

import (
	"fmt"
	"strings"

	"redis-cert-agent/agent/config"
)

// configDoc returns docs/configuration.md, which says what redis-cert-agent.yaml(5)
// says.
func configDoc() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Configuration

<!-- Made from agent/config/keys*.go: go test ./packaging/gen -update -->

One file describes one certificate, the CA it comes from, and the servers on this host that load it: `+"`/etc/redis-cert-agent/config.yaml`, or `/etc/redis-cert-agent/INSTANCE.yaml`"+`. A faulty file is refused whole, with every fault, its line and its remedy.

The shortest file, for a step-ca:

`+"```yaml\n%s```"+`

and for a CA that speaks ACME:

`+"```yaml\n%s```"+`

A dot leads into a mapping, and `+"`[]`"+` stands for the elements of a list. A time is a number with a unit, like 90s, 20m, 24h or 7d. A secret stands in a file that others cannot access, or comes as a credential of the unit (`+"`credential:NAME`"+`). "Reload" says that `+"`systemctl reload redis-cert-agent`"+` takes a change, "restart" that it needs more.

| key | meaning | without it | a change needs | example |
|---|---|---|---|---|
`, config.Minimal, config.MinimalACME)
	for _, f := range config.Reference() {
		without, change := f.Default, "reload"
		if without == "" {
			without = "**required**"
		}
		if f.Restart {
			change = "restart"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | `%s` |\n", f.Key, cell(f.Meaning), cell(without), change, cell(f.Example))
	}
	return b.String()
}

// cell keeps a text inside of its cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
