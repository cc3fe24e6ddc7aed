package prometheus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const scrapeFile = "../../agent/metrics/testdata/full.golden"

// A real Prometheus scrapes two agents and evaluates every rule and every query of
// the dashboard. Whether labels match one to one shows only with real series.
func TestPrometheus(t *testing.T) {
	page := scrape(t)
	var scrapes atomic.Int64
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		io.WriteString(w, counted(page, scrapes.Add(1)))
	}))
	defer agent.Close()
	p := startPrometheus(t, agent.Listener.Addr().String())
	p.await(t, "two agents scraped twice", func() bool {
		return p.count(t, `count_over_time(up{job="redis-cert-agent"}[1m]) > 1`) == 2
	})

	type evaluated struct {
		Name, Health, LastError string
		LastEvaluation          time.Time
	}
	var rules []evaluated
	p.await(t, "every rule evaluated", func() bool {
		var groups struct{ Groups []struct{ Rules []evaluated } }
		p.get(t, "/api/v1/rules", nil, &groups)
		rules = nil
		for _, g := range groups.Groups {
			rules = append(rules, g.Rules...)
		}
		for _, r := range rules {
			if r.LastEvaluation.IsZero() {
				return false
			}
		}
		return len(rules) == len(alerts(t))
	})
	for _, r := range rules {
		if r.Health != "ok" {
			t.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
		}
	}

	chosen := strings.NewReplacer("$agent", ".*", "$instance", ".*", "$__rate_interval", "1m", "$__range", "1m")
	for _, panel := range readDashboard(t).Panels {
		for _, q := range panel.Targets {
			expr := chosen.Replace(q.Expr)
			if n := p.count(t, expr); n == 0 && !strings.Contains(expr, "ALERTS") {
				t.Errorf("%s has nothing to show: %s", panel.Title, expr)
			}
		}
	}
}

// scrape returns the metrics of an agent whose last look was just now.
func scrape(t *testing.T) string {
	t.Helper()
	page := read(t, scrapeFile)
	looked := regexp.MustCompile(`(?m)^redis_cert_agent_last_look_timestamp_seconds\S* (\S+)$`).FindStringSubmatch(page)
	if looked == nil {
		t.Fatalf("%s does not say when the agent looked", scrapeFile)
	}
	then, err := strconv.ParseFloat(looked[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	shift := float64(time.Now().Unix()) - then
	return regexp.MustCompile(`(?m)^(\S+_timestamp_seconds.*|\S+_time_seconds.*) (\S+)$`).ReplaceAllStringFunc(page, func(line string) string {
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil || strings.HasPrefix(line, "#") {
			return line
		}
		return fmt.Sprintf("%s %f", line[:at], value+shift)
	})
}

// counted returns the page with n added to every counter.
func counted(page string, n int64) string {
	return regexp.MustCompile(`(?m)^redis_cert_agent_\w+_total.* \d+$`).ReplaceAllStringFunc(page, func(line string) string {
		at := strings.LastIndexByte(line, ' ')
		value, _ := strconv.ParseInt(line[at+1:], 10, 64)
		return fmt.Sprintf("%s %d", line[:at], value+n)
	})
}

type server struct{ url string }

// startPrometheus starts a Prometheus that scrapes the address as two agents.
func startPrometheus(t *testing.T, agent string) server {
	t.Helper()
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: redis-cert-agent
    static_configs:
      - {targets: [%q], labels: {instance: redis1}}
      - {targets: [%q], labels: {instance: redis2}}
`, rules, agent, agent)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var said bytes.Buffer
	cmd := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (packaging/deps.sh prometheus installs it)", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus:\n%s", said.String())
		}
	})
	return server{"http://" + address}
}

// await polls until ready returns true, for a minute at most.
func (s server) await(t *testing.T, what string, ready func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if resp, err := http.Get(s.url + "/-/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK && ready() {
				return
			}
		}
	}
	t.Fatalf("not within a minute: %s", what)
}

// count returns how many series answer a query.
func (s server) count(t *testing.T, query string) int {
	t.Helper()
	var answer struct{ Result []any }
	s.get(t, "/api/v1/query", url.Values{"query": {query}}, &answer)
	return len(answer.Result)
}

func (s server) get(t *testing.T, path string, form url.Values, data any) {
	t.Helper()
	resp, err := http.Get(s.url + path + "?" + form.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer := struct {
		Error string
		Data  any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != "" {
		t.Fatalf("%s %s: %v %s", path, form.Get("query"), err, answer.Error)
	}
}
