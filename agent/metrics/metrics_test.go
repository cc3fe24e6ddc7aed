package metrics

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"redis-cert-agent/agent/report"
)

var update = flag.Bool("update", false, "rewrite golden files")

var noon = time.Date(2026, 11, 22, 11, 10, 34, 0, time.UTC)

const (
	day     = 24 * time.Hour
	caURL   = "https://ca.internal:9000"
	server  = "127.0.0.1:6379"
	another = "[::1]:6380"
)

// atNoon runs f at a fixed time, which the board takes for now.
func atNoon(t *testing.T, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(noon))
		f(t)
	})
}

// begin returns the metrics of an agent that has just started, and a logger
// whose events they count.
func begin() (*Metrics, *report.Board, *slog.Logger) {
	b := new(report.Board)
	m := New(Options{Agent: "default", Version: "1.0.0", Started: noon.Add(-10 * day), Board: b})
	return m, b, slog.New(report.Tap(slog.DiscardHandler, m.Observe)).With(report.KeyInstance, "default")
}

// status has something of everything that a status may have.
func status() report.Status {
	cert := func(role report.Role, where, address, subject, serial string, life, left time.Duration) report.Certificate {
		end := noon.Add(left)
		return report.Certificate{
			Role: role, Where: where, Server: address, Subject: subject, Issuer: "CN=Internal CA", Serial: serial,
			NotBefore: end.Add(-life), NotAfter: end, WarnAt: end.Add(-life / 4), CritAt: end.Add(-life / 10),
		}
	}
	client := cert(report.ClientLeaf, report.InFile, "", `CN=app "blue" C:\x`, "c1", 90*day, 5*day)
	client.Path = "/etc/app/redis-client.crt"
	forever := cert(report.Authority, report.OnDisk, "", "CN=Internal Root", "01", 0, 0)
	forever.NotBefore, forever.NotAfter, forever.WarnAt, forever.CritAt = noon.Add(-day), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Time{}, time.Time{}
	return report.Status{
		Instance: "default", Version: "1.0.0", Looked: noon.Add(-time.Minute), Due: noon.Add(8 * time.Hour), Rotations: 3, Synchronised: true,
		Pair:    &report.Pair{Serial: "7e22", NotAfter: noon.Add(16 * time.Hour)},
		Pending: &report.Pair{Serial: "aa11", NotAfter: noon.Add(24 * time.Hour)},
		CAs: []report.CA{
			{URL: caURL, LastSuccess: noon.Add(-time.Hour), LastFailure: noon.Add(-2*time.Hour + 250*time.Millisecond), Succeeded: 4, Failed: 1, Refused: 2},
			{URL: "https://acme.example.net/directory"},
		},
		Servers: []report.Server{
			{Address: server, State: report.Proven, ServedSerial: "aa11"},
			{Address: another, State: report.Failing, ServedSerial: "7e22", Error: "config set: -ERR"},
			{Address: "redis2.internal:6379", State: report.Unreachable},
		},
		Certificates: []report.Certificate{
			cert(report.Leaf, report.OnDisk, "", "CN=redis1.internal", "7e22", day, 16*time.Hour),
			cert(report.Intermediate, report.OnDisk, "", "CN=Internal CA", "02", 3650*day, 1000*day),
			forever,
			cert(report.Leaf, report.Served, server, "CN=redis1.internal", "aa11", day, 24*time.Hour),
			cert(report.Leaf, report.Served, another, "CN=redis1.internal", "7e22", day, 16*time.Hour),
			client,
			{Role: report.ClientLeaf, Where: report.InFile, Path: "/etc/app/gone.crt", Error: "open /etc/app/gone.crt: no such file or directory"},
		},
	}
}

// life logs something of everything that is counted.
func life(m *Metrics, log *slog.Logger) {
	ctx := context.Background()
	m.Expect([]string{server, another, "redis2.internal:6379"}, []string{"slack", "heartbeat"})
	at := func(address string) slog.Attr { return slog.String(report.KeyServer, address) }
	report.Issued.Log(ctx, log, "", slog.String(report.KeyIssuer, caURL), slog.String(report.KeyMethod, "sign"))
	report.Issued.Log(ctx, log, "", slog.String(report.KeyIssuer, caURL), slog.String(report.KeyMethod, "rekey"))
	report.Issued.Log(ctx, log, "", slog.String(report.KeyIssuer, caURL), slog.String(report.KeyMethod, "rekey"))
	report.Loaded.Log(ctx, log.With(report.KeyServer, server), "", slog.Duration(report.KeyDuration, 40*time.Millisecond))
	report.Loaded.Log(ctx, log, "", at(server), slog.Duration(report.KeyDuration, 2*time.Second))
	report.Loaded.Log(ctx, log, "found to serve it, nobody reloaded", at(another))
	report.ReloadFailed.Log(ctx, log, "", at(another))
	report.ServerDown.Log(ctx, log, "", at("redis2.internal:6379"))
	report.RolledBack.Log(ctx, log, "")
	report.Notified.Log(ctx, log, "", slog.String(report.KeyTarget, "slack"))
	report.NotifyFailed.Log(ctx, log, "", slog.String(report.KeyTarget, "heartbeat"))
	log.Info("no event")
}

// scrape returns all metrics as text, as a client gets them.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || w.Header().Get("Content-Type") != contentType {
		t.Fatalf("%d %v\n%s", w.Code, w.Header(), w.Body)
	}
	return w.Body.String()
}

// check holds text against Prometheus' own: its parser reads it, its writer
// would have written the same bytes, and promtool has nothing to say.
func check(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	var again bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if _, err := expfmt.MetricFamilyToText(&again, families[name]); err != nil {
			t.Fatal(err)
		}
	}
	if again.String() != text {
		t.Errorf("prometheus writes\n%s\nnot\n%s", &again, text)
	}
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	return families
}

func TestScrapeGolden(t *testing.T) {
	var got string
	atNoon(t, func(t *testing.T) {
		m, b, log := begin()
		life(m, log)
		b.Set(status())
		got = strings.Replace(scrape(t, m), runtime.Version(), "go1.26.0", 1)
	})
	const golden = "testdata/full.golden"
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
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	check(t, got)
}

// An agent that has not looked yet says that it is there and nothing else.
func TestScrapeBeforeTheFirstLook(t *testing.T) {
	m, _, _ := begin()
	m.Expect([]string{server}, nil)
	got := scrape(t, m)
	check(t, got)
	for _, name := range []string{"build_info", "start_time_seconds", "reload_attempts_total", "rollbacks_total"} {
		if !strings.Contains(got, "\n"+prefix+name+"{") {
			t.Errorf("no %s in\n%s", name, got)
		}
	}
	for _, name := range []string{"healthy", "server_up", "last_look"} {
		if strings.Contains(got, prefix+name) {
			t.Errorf("%s is known before the first look:\n%s", name, got)
		}
	}
}

// lines returns the samples of a metric.
func lines(text, name string) []string {
	return regexp.MustCompile(`(?m)^`+prefix+name+`(\{.*)? .*$`).FindAllString(text, -1)
}

func expect(t *testing.T, text, name string, want ...string) {
	t.Helper()
	for i := range want {
		want[i] = prefix + name + want[i]
	}
	if got := lines(text, name); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What cannot be told apart does not spoil the scrape.
func TestScrapeDuplicates(t *testing.T) {
	m, b, _ := begin()
	s := status()
	late := s.Certificates[1]
	late.NotAfter, late.Serial = late.NotAfter.Add(time.Hour), "later"
	early := late
	early.NotAfter, early.Serial = time.Unix(1800000000, 0), "sooner"
	gone := s.Certificates[len(s.Certificates)-1]
	gone.Role = report.Leaf
	s.Certificates = []report.Certificate{late, early, late, gone, gone}
	s.Servers = append(s.Servers, s.Servers[0])
	s.CAs = append(s.CAs, report.CA{URL: caURL, Succeeded: 1, Failed: 10, LastSuccess: noon}, report.CA{URL: caURL, LastSuccess: noon.Add(-day)})
	b.Set(s)
	got := scrape(t, m)
	check(t, got)
	const labels = `{agent="default",path="",role="intermediate",server="",subject="CN=Internal CA",where="disk"} `
	expect(t, got, "certificate_not_after_timestamp_seconds", labels+"1.8e+09")
	expect(t, got, "certificate_info", `{agent="default",issuer="CN=Internal CA",path="",role="intermediate",serial="sooner",server="",subject="CN=Internal CA",where="disk"} 1`)
	expect(t, got, "certificate_unreadable", `{agent="default",path="/etc/app/gone.crt",server="",where="file"} 1`)
	expect(t, got, "issue_attempts_total",
		`{agent="default",issuer="https://acme.example.net/directory",outcome="failure"} 0`,
		`{agent="default",issuer="https://acme.example.net/directory",outcome="refused"} 0`,
		`{agent="default",issuer="https://acme.example.net/directory",outcome="success"} 0`,
		`{agent="default",issuer="https://ca.internal:9000",outcome="failure"} 11`,
		`{agent="default",issuer="https://ca.internal:9000",outcome="refused"} 2`,
		`{agent="default",issuer="https://ca.internal:9000",outcome="success"} 5`)
	expect(t, got, "issue_last_success_timestamp_seconds", fmt.Sprintf(`{agent="default",issuer="%s"} %v`, caURL, seconds(noon)))
}

// Label values are what certificates and files are named, whatever that is.
func TestScrapeOddLabels(t *testing.T) {
	b := new(report.Board)
	m := New(Options{Agent: "d\xffe", Version: "1\xfe", Board: b})
	odd := "a\xff\"\\\n\x00{}ä"
	m.Expect([]string{odd}, []string{odd})
	log := slog.New(report.Tap(slog.DiscardHandler, m.Observe))
	report.ReloadFailed.Log(t.Context(), log, "", slog.String(report.KeyServer, odd))
	report.Issued.Log(t.Context(), log, "", slog.String(report.KeyIssuer, odd), slog.String(report.KeyMethod, odd))
	report.NotifyFailed.Log(t.Context(), log, "", slog.String(report.KeyTarget, odd))
	s := status()
	s.Certificates = []report.Certificate{
		{Where: odd, Role: report.Role(odd), Server: odd, Path: odd, Subject: odd, Issuer: odd, Serial: odd, NotAfter: noon},
		{Where: odd, Role: report.Role(odd), Server: odd, Path: odd, Subject: "a\xfe\"\\\n\x00{}ä", Issuer: odd, Serial: odd, NotAfter: noon}, // alike once clean
		{Where: odd, Path: odd, Error: "gone"},
	}
	s.Servers[0].Address, s.CAs[0].URL = odd, odd
	b.Set(s)
	got := scrape(t, m)
	check(t, got)
	const clean = "a\uFFFD\\\"\\\\\\n\x00{}ä"
	expect(t, got, "certificate_info", strings.ReplaceAll(`{agent="d`+"\uFFFD"+`e",issuer="X",path="X",role="X",serial="X",server="X",subject="X",where="X"} 1`, "X", clean))
	for _, sample := range []string{`reload_attempts_total{agent="A",outcome="failure",server="X"} 1`,
		`certificates_issued_total{agent="A",issuer="X",method="X"} 1`, `notifications_total{agent="A",outcome="failure",target="X"} 1`, `server_up{agent="A",server="X"} 1`} {
		if want := prefix + strings.NewReplacer("A", "d\uFFFDe", "X", clean).Replace(sample) + "\n"; !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

// Servers and targets begin at zero, and go when the configuration names them
// no more.
func TestExpect(t *testing.T) {
	m, _, log := begin()
	m.Expect([]string{server, another}, []string{"slack"})
	report.ReloadFailed.Log(t.Context(), log, "", slog.String(report.KeyServer, server))
	report.ServerDown.Log(t.Context(), log, "", slog.String(report.KeyServer, another))
	report.Loaded.Log(t.Context(), log, "", slog.String(report.KeyServer, another), slog.Duration(report.KeyDuration, time.Second))
	m.Expect([]string{server}, []string{"webhook"})
	got := scrape(t, m)
	expect(t, got, "reload_attempts_total",
		`{agent="default",outcome="failure",server="127.0.0.1:6379"} 1`,
		`{agent="default",outcome="success",server="127.0.0.1:6379"} 0`,
		`{agent="default",outcome="unreachable",server="127.0.0.1:6379"} 0`)
	expect(t, got, "reload_duration_seconds_count", `{agent="default",server="127.0.0.1:6379"} 0`)
	expect(t, got, "notifications_total",
		`{agent="default",outcome="failure",target="webhook"} 0`,
		`{agent="default",outcome="success",target="webhook"} 0`)
	if strings.Contains(got, another) {
		t.Errorf("%s is still there:\n%s", another, got)
	}
}

// What is served is compared with the newest pair, pending or not; a server
// that is not reached shows nothing to compare.
func TestDrift(t *testing.T) {
	m, b, _ := begin()
	s := status()
	drift := func(first, second int) {
		t.Helper()
		b.Set(s)
		expect(t, scrape(t, m), "server_drift", fmt.Sprintf(`{agent="default",server="127.0.0.1:6379"} %d`, first),
			fmt.Sprintf(`{agent="default",server="[::1]:6380"} %d`, second), `{agent="default",server="redis2.internal:6379"} 0`)
	}
	drift(0, 1)
	s.Pending = nil
	drift(1, 0)
	s.Pair = nil
	drift(0, 0)
}

// What has ended since the last look is seen at the scrape.
func TestScrapeIsOfNow(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		m, b, _ := begin()
		s := status()
		s.Servers, s.Certificates, s.CAs, s.Pending = nil, s.Certificates[:1], nil, nil
		b.Set(s)
		expect(t, scrape(t, m), "healthy", `{agent="default"} 1`)
		time.Sleep(17 * time.Hour)
		got := scrape(t, m)
		expect(t, got, "healthy", `{agent="default"} 0`)
		expect(t, got, "problems", `{agent="default",severity="critical"} 1`, `{agent="default",severity="warning"} 0`)
	})
}

// Scrapes, looks, events and changes of the configuration come at any time.
func TestScrapeBesideEverything(t *testing.T) {
	m, b, log := begin()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				life(m, log)
				b.Set(status())
			}
		})
		all.Go(func() {
			for range 50 {
				if text := m.Text(); !bytes.HasSuffix(text, []byte("} 1.794481834e+09\n")) {
					t.Errorf("%s", text)
				}
			}
		})
	}
	all.Wait()
	check(t, scrape(t, m))
}

// The table in docs/metrics.md is what a scrape has.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(" + prefix + "[a-z_]+)` \\| (\\w+) \\| (.*?) \\| (.*?) \\|$")
	told := map[string]string{}
	for _, f := range row.FindAllStringSubmatch(string(text), -1) {
		told[f[1]] = fmt.Sprintf("%s, labels %s: %s", f[2], strings.ReplaceAll(f[3], "`", ""), strings.ReplaceAll(f[4], "`", ""))
	}
	m, b, log := begin()
	life(m, log)
	b.Set(status())
	is := map[string]string{}
	for name, f := range check(t, scrape(t, m)) {
		is[name] = fmt.Sprintf("%s, labels %s: %s", strings.ToLower(f.GetType().String()), labels(f), f.GetHelp())
	}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if told[name] != is[name] {
			t.Errorf("%s: docs/metrics.md has\n%q, it is\n%q", name, told[name], is[name])
		}
		delete(told, name)
	}
	for name := range told {
		t.Errorf("%s is in docs/metrics.md and nowhere else", name)
	}
}

// labels lists the labels of a metric but that of all of them.
func labels(f *dto.MetricFamily) string {
	var names []string
	for _, pair := range f.GetMetric()[0].GetLabel() {
		if name := pair.GetName(); name != "agent" {
			names = append(names, name)
		}
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}
