package agent

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed says which packages of this module each package may import outside
// of its tests. Imports fall one way: what decides and what describes imports
// nothing, what acts imports that, the loop imports what acts, and the commands
// import everything.
var allowed = map[string][]string{
	"agent/cert":                  {},
	"agent/config":                {},
	"agent/plan":                  {},
	"agent/report":                {},
	"agent/metrics":               {"agent/report"},
	"reload":                      {},
	"agent/ca":                    {"agent/cert"},
	"agent/ca/step":               {"agent/ca", "agent/cert"},
	"agent/ca/acme":               {"agent/ca", "agent/cert"},
	"agent/ca/acme/acmetest":      {},
	"agent/pair":                  {"agent/cert"},
	"agent/notify":                {"agent/report"},
	"agent/check":                 {"agent/cert", "reload"},
	"agent":                       {"agent/ca", "agent/cert", "agent/pair", "agent/plan", "agent/report", "reload"},
	"cmd/redis-cert-agent":        {"agent", "agent/ca", "agent/ca/acme", "agent/ca/step", "agent/cert", "agent/check", "agent/config", "agent/metrics", "agent/notify", "agent/pair", "agent/plan", "agent/report", "reload"},
	"cmd/redis-cert-ca/authority": {},
	"cmd/redis-cert-ca":           {"cmd/redis-cert-ca/authority"},
	"cmd/demo":                    {"cmd/internal/process"},
	"cmd/dashboard":               {"cmd/internal/process"},
	"cmd/internal/process":        {},
	"packaging/gen":               {"agent/config"},
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
