package prometheus

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const (
	rulesFile = "redis-cert-agent.rules.yml"
	testsFile = "redis-cert-agent.tests.yml"
	runbook   = "../../docs/runbook.md"
)

// promtool runs promtool, and fails the test with its output.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command("promtool", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("promtool %s: %v (packaging/deps.sh promtool installs it)\n%s", strings.Join(args, " "), err, out)
	}
}

// Each alert fires when it must, not before, and none for a healthy agent.
func TestRules(t *testing.T) {
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", rulesFile)
	promtool(t, "test", "rules", testsFile)
}

type alert struct {
	Name        string `yaml:"alert"`
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	decode(t, rulesFile, &file)
	var all []alert
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no rules", rulesFile)
	}
	return all
}

func decode(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAlertsTellPeople(t *testing.T) {
	for _, a := range alerts(t) {
		if s := a.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s: severity %q, want warning or critical", a.Name, s)
		}
		for _, name := range []string{"summary", "description"} {
			if a.Annotations[name] == "" {
				t.Errorf("%s: no %s", a.Name, name)
			}
		}
		if got, want := a.Annotations["runbook_url"], "file:///usr/share/doc/redis-cert-agent/runbook.md#"+strings.ToLower(a.Name); got != want {
			t.Errorf("%s: runbook_url %s, want %s", a.Name, got, want)
		}
	}
}

// For each alert the rules' tests have a time at which it fires, with its text, and
// one at which it does not.
func TestEveryAlertIsTested(t *testing.T) {
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name     string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	decode(t, testsFile, &file)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, a := range test.Alerts {
			if len(a.Expected) > 0 {
				fires[a.Name] = true
			} else {
				silent[a.Name] = true
			}
		}
	}
	for _, a := range alerts(t) {
		if !fires[a.Name] {
			t.Errorf("no test sees %s fire", a.Name)
		}
		if !silent[a.Name] {
			t.Errorf("no test sees %s stay silent", a.Name)
		}
	}
}

// Every alert has an entry in the runbook that says the same things, and every
// entry an alert.
func TestRunbook(t *testing.T) {
	text := read(t, runbook)
	entries := map[string]string{}
	var names []string
	for _, section := range strings.Split(text, "\n## ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		if name == "Setting up" {
			continue
		}
		entries[name] = body
		names = append(names, name)
	}
	var want []string
	for _, a := range alerts(t) {
		if !slices.Contains(want, a.Name) {
			want = append(want, a.Name)
		}
		if a.Labels["severity"] == "critical" && a.Name != "RedisCertExpired" && a.Name != "RedisCertMissing" &&
			!strings.Contains(entries[a.Name], "**critical**") && !strings.Contains(entries[a.Name], "**Critical**") {
			t.Errorf("%s: the entry does not say when it is critical", a.Name)
		}
	}
	if !slices.Equal(names, want) {
		t.Errorf("entries of the runbook, in order:\n%s\nalerts:\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
	for name, body := range entries {
		for _, part := range []string{"How urgent: ", "\nSee:\n", "\nDo", "\nDon't "} {
			if !strings.Contains(body, part) {
				t.Errorf("%s: no %q", name, strings.TrimSpace(part))
			}
		}
	}

	// The runbook's commands filter by identifiers that the journal has.
	journal := read(t, "../../docs/journal.md")
	for _, id := range regexp.MustCompile(`MESSAGE_ID=([0-9a-f]+)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(journal, id[1]) {
			t.Errorf("docs/journal.md knows no MESSAGE_ID %s", id[1])
		}
	}
}

var metricName = regexp.MustCompile(`\b(redis_cert_agent_[a-z_]+)`)

// metrics returns the names that docs/metrics.md lists, as Prometheus stores
// them. The tests of package metrics compare that page with the agent.
func metrics(t *testing.T) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(read(t, "../../docs/metrics.md")) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.HasPrefix(cells[1], " `redis_cert_agent_") {
			continue
		}
		name := strings.Trim(cells[1], " `")
		all = append(all, name)
		if strings.TrimSpace(cells[2]) == "histogram" {
			all = append(all, name+"_bucket", name+"_sum", name+"_count")
		}
	}
	if len(all) == 0 {
		t.Fatal("docs/metrics.md lists no metrics")
	}
	return all
}

func TestMetricsExist(t *testing.T) {
	known := metrics(t)
	for _, path := range []string{rulesFile, testsFile, dashboardFile, runbook} {
		for _, name := range metricName.FindAllString(read(t, path), -1) {
			if !slices.Contains(known, name) {
				t.Errorf("%s uses %s, which docs/metrics.md does not list", filepath.Base(path), name)
			}
		}
	}
}
