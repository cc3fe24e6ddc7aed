package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

var aggregate = regexp.MustCompile(`^(min|avg|sum)\(`)

const shipped = "../../packaging/grafana/redis-cert-agent.json"

// stand answers every query: with a series of all labels that legends name for
// each of the values, and one for what is the minimum, the average or the sum of
// all. It sees the queries.
func stand(t *testing.T, values ...float64) (recording, *[]string) {
	t.Helper()
	var queries []string
	from := time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queries = append(queries, r.FormValue("query"))
		values, all := values, []string(nil)
		if aggregate.MatchString(r.FormValue("query")) {
			values = values[:min(1, len(values))]
		}
		for i, v := range values {
			labels := fmt.Sprintf(`{"instance":"redis%[1]d","agent":"<a&b>","role":"leaf","where":"disk","server":"127.0.0.%[1]d:6379","outcome":"%[2]s","severity":"%[3]s","alertname":"Alert%[1]d","serial":"%040[1]x","subject":"CN=redis%[1]d"}`,
				i+1, []string{"success", "failure"}[i], []string{"warning", "critical"}[i])
			if r.URL.Path == "/api/v1/query" {
				all = append(all, fmt.Sprintf(`{"metric":%s,"value":[%d,"%v"]}`, labels, from.Unix(), v))
				continue
			}
			var points []string
			for at := range 600 {
				points = append(points, fmt.Sprintf(`[%d,"%v"]`, from.Unix()+int64(at), math.Mod(v*float64(at/100+1), 3)))
			}
			all = append(all, fmt.Sprintf(`{"metric":%s,"values":[%s]}`, labels, strings.Join(points, ",")))
		}
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] }) // no order is promised
		fmt.Fprintf(w, `{"status":"success","data":{"result":[%s]}}`, strings.Join(all, ","))
	}))
	t.Cleanup(server.Close)
	return recording{url: server.URL, from: from, to: from.Add(10 * time.Minute), scrape: time.Second, events: []event{{from.Add(time.Minute), from.Add(2 * time.Minute), "a <note>"}}}, &queries
}

func drawn(t *testing.T, r recording) string {
	t.Helper()
	d, err := readDashboard(shipped)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := draw(t.Context(), d, r)
	if err != nil {
		t.Fatal(err)
	}
	for x := xml.NewDecoder(bytes.NewReader(picture)); ; {
		if _, err := x.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("no XML: %v", err)
		}
	}
	return string(picture)
}

// The shipped dashboard is drawn whole, from its own queries, and the same each
// time.
func TestDraw(t *testing.T) {
	r, queries := stand(t, 1, 0.5)
	picture := drawn(t, r)
	d, err := readDashboard(shipped)
	if err != nil {
		t.Fatal(err)
	}
	targets := 0
	for _, p := range d.Panels {
		if !strings.Contains(picture, ">"+p.Title+"<") {
			t.Errorf("there is no panel %s", p.Title)
		}
		targets += len(p.Targets)
	}
	if len(*queries) != targets {
		t.Errorf("%d queries, want %d", len(*queries), targets)
	}
	for _, q := range *queries {
		if strings.Contains(q, "$") {
			t.Errorf("a variable is left in %s", q)
		}
	}
	for _, want := range []string{"Healthy", "100%", "2026-01-02", "proven", "a &lt;note&gt;", "redis1 &lt;a&amp;b&gt;: leaf", "prefers-color-scheme:dark"} {
		if !strings.Contains(picture, want) {
			t.Errorf("%s is not in the picture", want)
		}
	}
	for range 8 {
		if drawn(t, r) != picture {
			t.Fatal("another picture of the same data")
		}
	}
}

func TestDrawNothing(t *testing.T) {
	r, _ := stand(t)
	picture := drawn(t, r)
	d, err := readDashboard(shipped)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, p := range d.Panels {
		if p.Type == "stat" || p.Type == "state-timeline" {
			want++
		}
	}
	if got := strings.Count(picture, "No data"); got != want {
		t.Errorf("%d panels say that there is no data, want %d", got, want)
	}
}

// What this program does not draw is an error, and so is an answer that is one.
func TestDrawRefuses(t *testing.T) {
	r, _ := stand(t, 1, 2)
	for name, p := range map[string]panel{
		"type":     {Type: "heatmap"},
		"answers":  {Type: "stat", Targets: []target{{Expr: "up"}}},
		"override": {Type: "table", Targets: []target{{RefID: "A"}}, FieldConfig: overridden(t, `{"matcher":{"id":"byRegexp"}}`)},
		"property": {Type: "table", Targets: []target{{RefID: "A"}}, FieldConfig: overridden(t, `{"matcher":{"id":"byName","options":"agent"},"properties":[{"id":"links","value":1}]}`)},
	} {
		p.GridPos.W, p.GridPos.H = 24, 10
		if _, err := draw(t.Context(), dashboard{Panels: []panel{p}}, r); err == nil || !strings.Contains(err.Error(), "not drawn") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := parseAnswer([]byte(`{"status":"error","error":"parse error"}`)); err == nil || err.Error() != "parse error" {
		t.Errorf("an error of Prometheus: %v", err)
	}
}

func TestFieldText(t *testing.T) {
	one := 1
	for _, c := range []struct {
		unit     string
		decimals *int
		value    float64
		want     string
	}{
		{"s", nil, 0, "0 s"},
		{"s", nil, 0.0042, "4.2 ms"},
		{"s", nil, 59, "59.0 s"},
		{"s", nil, 90, "1.5 mins"},
		{"s", nil, -7200, "-2.0 hours"},
		{"s", nil, 10 * 365.25 * 86400, "10.0 years"},
		{"percentunit", nil, 0.256, "26%"},
		{"percentunit", &one, 0.256, "25.6%"},
		{"dateTimeAsIso", nil, 1767366000000, "2026-01-02 15:00:00"},
		{"short", nil, 3, "3"},
		{"short", nil, 1.125, "1.12"},
	} {
		if got := (field{Unit: c.unit, Decimals: c.decimals}).text(c.value); got != c.want {
			t.Errorf("%v in %s: %s, want %s", c.value, c.unit, got, c.want)
		}
	}
}

func TestFieldColor(t *testing.T) {
	d, err := readDashboard(shipped)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		if p.Title != "Least lifetime left" {
			continue
		}
		for v, want := range map[float64]string{0.05: "red", 0.1: "orange", 0.25: "green", 1: "green"} {
			if got := p.FieldConfig.Defaults.color(v); got != want {
				t.Errorf("%v is %s, want %s", v, got, want)
			}
		}
		return
	}
	t.Error("there is no such panel")
}

// The picture in the README is of this dashboard.
func TestPictureIsCurrent(t *testing.T) {
	picture, err := os.ReadFile("../../docs/dashboard.svg")
	if err != nil {
		t.Fatalf("%v; make dashboard draws it", err)
	}
	if len(picture) > 200_000 {
		t.Errorf("it has %d bytes", len(picture))
	}
	d, err := readDashboard(shipped)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		if !bytes.Contains(picture, []byte(">"+p.Title+"<")) {
			t.Errorf("there is no panel %s in it: make dashboard draws it anew", p.Title)
		}
	}
}

func overridden(t *testing.T, override string) fieldConfig {
	t.Helper()
	var p panel
	if err := json.Unmarshal([]byte(`{"FieldConfig":{"Overrides":[`+override+`]}}`), &p); err != nil {
		t.Fatal(err)
	}
	return p.FieldConfig
}
