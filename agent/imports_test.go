package agent

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed says which packages of this module each package may import outside
// of its tests. Imports fall one way: what decides and what describes imports
// next to nothing, what acts imports that, the loop imports what acts, the
// configuration stands above the packages whose options it holds, and the
// commands import everything.
var allowed = map[string][]string{
	"agent/cert":                  {"agent/option", "agent/plain"},
	"agent/secret":                {"agent/disk"},
	"agent/roots":                 {"agent/cert", "agent/disk"},
	"agent/option":                {"agent/disk", "agent/secret"},
	"agent/config":                {"agent/ca/acme", "agent/ca/step", "agent/cert", "agent/disk", "agent/metrics", "agent/notify", "agent/option", "agent/pair", "agent/plan", "agent/secret", "reload"},
	"agent/plan":                  {"agent/option"},
	"agent/plain":                 {},
	"agent/disk":                  {},
	"agent/sdnotify":              {},
	"agent/journal":               {"agent/disk", "agent/plain"},
	"agent/status":                {"agent/cert", "agent/plain"},
	"agent/control":               {"agent/journal", "agent/notify", "agent/plain", "agent/status"},
	"agent/metrics":               {"agent/journal", "agent/option", "agent/status"},
	"reload":                      {"agent/cert", "agent/option", "agent/plain", "agent/secret"},
	"agent/ca":                    {"agent/cert", "agent/plain"},
	"agent/ca/step":               {"agent/ca", "agent/cert", "agent/option", "agent/plain", "agent/plan", "agent/secret"},
	"agent/ca/ratelimit":          {"agent/disk"},
	"agent/ca/acme":               {"agent/ca", "agent/ca/ratelimit", "agent/cert", "agent/disk", "agent/option", "agent/plain", "agent/plan", "agent/secret"},
	"agent/ca/acme/acmetest":      {},
	"agent/pair":                  {"agent/cert", "agent/disk", "agent/option", "agent/plain", "agent/secret"},
	"agent/discover":              {"agent/disk", "agent/plain", "reload"},
	"agent/setup":                 {"agent/ca/step", "agent/cert", "agent/config", "agent/control", "agent/discover", "agent/disk", "agent/option", "agent/pair", "agent/plain", "agent/secret", "agent/status", "reload"},
	"agent/truststore":            {"agent/cert", "agent/disk", "agent/plain"},
	"agent/notify":                {"agent/disk", "agent/journal", "agent/option", "agent/plain", "agent/plan", "agent/secret", "agent/status"},
	"agent/check":                 {"agent/cert", "agent/disk", "agent/plain", "reload"},
	"agent":                       {"agent/ca", "agent/ca/ratelimit", "agent/cert", "agent/pair", "agent/plan", "agent/disk", "agent/journal", "agent/plain", "agent/roots", "agent/sdnotify", "agent/status", "agent/unit", "reload"},
	"agent/unit":                  {},
	"agent/daemon":                {"agent", "agent/roots", "agent/unit", "agent/ca", "agent/ca/acme", "agent/ca/step", "agent/cert", "agent/config", "agent/control", "agent/discover", "agent/disk", "agent/journal", "agent/metrics", "agent/notify", "agent/option", "agent/pair", "agent/plain", "agent/plan", "agent/sdnotify", "agent/status", "reload"},
	"agent/doctor":                {"agent/ca", "agent/cert", "agent/config", "agent/control", "agent/daemon", "agent/discover", "agent/disk", "agent/journal", "agent/pair", "agent/plain", "agent/status", "reload"},
	"cmd/redis-cert-agent":        {"agent/ca", "agent/ca/step", "agent/cert", "agent/check", "agent/config", "agent/control", "agent/daemon", "agent/discover", "agent/disk", "agent/doctor", "agent/journal", "agent/notify", "agent/option", "agent/pair", "agent/plain", "agent/sdnotify", "agent/setup", "agent/status", "agent/truststore", "reload"},
	"cmd/redis-cert-ca/authority": {"agent/disk", "agent/plain"},
	"cmd/redis-cert-ca":           {"agent/plain", "cmd/redis-cert-ca/authority"},
	"cmd/demo":                    {"cmd/internal/testbed"},
	"cmd/internal/shell":          {},
	"cmd/internal/testbed":        {},
	"cmd/fleet":                   {"agent/plan"},
	"cmd/picture":                 {"cmd/internal/testbed"},
	"cmd/recording":               {"cmd/internal/testbed"},
	"packaging/gen":               {"agent/config"},
	"packaging/sbom":              {},
	"packaging/prometheus":        {},  // tests only
	"cmd/bench":                   nil, // anything: it measures the parts
	"reload/redistest":            {},
}

func TestImports(t *testing.T) {
	const module = "redis-cert-agent/"
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], module)
		seen[name] = true
		may, known := allowed[name]
		if !known {
			t.Errorf("package %s has no place in this table: say what it may import", name)
		}
		if may == nil {
			continue
		}
		for _, imported := range fields[1:] {
			if ours, ok := strings.CutPrefix(imported, module); ok && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s, which it must not", name, ours)
			}
		}
	}
	for name := range allowed {
		if !seen[name] && name != "cmd/bench" {
			t.Errorf("package %s is in the table and not in the module", name)
		}
	}
}
