package prometheus

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const dashboardFile = "../grafana/redis-cert-agent.json"

type dashboard struct {
	ID            *int
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type string }
	}
	Panels []panel
}

type panel struct {
	ID                 int
	Title, Description string
	GridPos            struct{ X, Y, W, H int }
	Targets            []struct{ RefID, Expr string }
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) == 0 {
		t.Fatal("the dashboard has no panels")
	}
	return d
}

// The dashboard can be imported into any Grafana: it names no data source of one
// installation, and no panel overlaps another.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	if d.ID != nil {
		t.Errorf("id %d: it would overwrite another dashboard", *d.ID)
	}
	if d.SchemaVersion < 39 { // Grafana 11
		t.Errorf("schemaVersion %d", d.SchemaVersion)
	}
	variables := map[string]string{}
	for _, v := range d.Templating.List {
		variables[v.Name] = v.Type
	}
	if variables["datasource"] != "datasource" || variables["instance"] != "query" || variables["agent"] != "query" {
		t.Errorf("variables: %v", variables)
	}
	uids := regexp.MustCompile(`"uid": "([^"]*)"`).FindAllStringSubmatch(read(t, dashboardFile), -1)
	for _, uid := range uids {
		if uid[1] != "${datasource}" && uid[1] != "-- Grafana --" && uid[1] != "redis-cert-agent" {
			t.Errorf("uid %s belongs to one installation", uid[1])
		}
	}
	ids, taken := map[int]string{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("%s: no description, or no query", p.Title)
		}
		if other, twice := ids[p.ID]; twice {
			t.Errorf("%s and %s have the same id", p.Title, other)
		}
		ids[p.ID] = p.Title
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s reaches beyond the 24 columns", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, on := taken[[2]int{x, y}]; on {
					t.Fatalf("%s overlaps %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// promtool has no command that parses a query, but it parses the queries of rules.
func TestDashboardQueries(t *testing.T) {
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	chosen := strings.NewReplacer("$agent", "a|b", "$instance", ".*", "$__rate_interval", "5m", "$__range", "1h")
	for _, p := range readDashboard(t).Panels {
		for _, q := range p.Targets {
			expr := chosen.Replace(q.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: an unknown variable in %s", p.Title, expr)
			}
			rules = append(rules, rule{fmt.Sprintf("panel%d:%s", p.ID, q.RefID), expr})
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}
