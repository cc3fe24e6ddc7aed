package metrics

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
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

	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/status"
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
func begin() (*Metrics, *status.Board, *slog.Logger) {
	b := new(status.Board)
	m := New(Options{Agent: "default", Version: "1.0.0", Started: noon.Add(-10 * day), Board: b})
	return m, b, slog.New(journal.Tee(slog.DiscardHandler, m.Observe)).With(journal.KeyInstance, "default")
}

// everything has something of everything that a status may have.
func everything() status.Status {
	cert := func(role status.Role, where, address, subject, serial string, life, left time.Duration) status.Certificate {
		end := noon.Add(left)
		return status.Certificate{
			Role: role, Where: where, Server: address, Subject: subject, Issuer: "CN=Internal CA", Serial: serial,
			NotBefore: end.Add(-life), NotAfter: end, WarnAt: end.Add(-life / 4), CritAt: end.Add(-life / 10),
		}
	}
	client := cert(status.RoleClient, status.SeenInFile, "", `CN=app "blue" C:\x`, "c1", 90*day, 5*day)
	client.Path = "/etc/app/redis-client.crt"
	forever := cert(status.RoleCA, status.SeenOnDisk, "", "CN=Internal Root", "01", 0, 0)
	forever.NotBefore, forever.NotAfter, forever.WarnAt, forever.CritAt = noon.Add(-day), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Time{}, time.Time{}
	exporter := cert(status.RoleClient, status.SeenInFile, "", "CN=exporter.internal", "e1", day, 16*time.Hour)
	exporter.Path = "/var/lib/redis-cert-agent/default/pairs/exporter/current/redis.crt"
	return status.Status{
		Pairs: []status.Status{{
			Instance: "exporter", Path: exporter.Path, Looked: noon, Due: noon.Add(7 * time.Hour), Certificates: []status.Certificate{exporter},
			CAs:     []status.CA{{URL: caURL, LastSuccess: noon.Add(-3 * time.Hour), Succeeded: 2}},
			Pair:    &status.Leaf{Serial: "e1", NotAfter: noon.Add(16 * time.Hour)},
			Servers: []status.Server{{Address: "exporter", State: status.Failing, Error: "/usr/local/bin/tell: exit status 3"}},
		}},
		Instance: "default", Version: "1.0.0", Looked: noon.Add(-time.Minute), Due: noon.Add(8 * time.Hour), Rotations: 3, Synchronised: true,
		Wake: noon.Add(4 * time.Hour), AttemptsLeft: 90,
		Rehearsal: &status.Rehearsal{At: noon.Add(-time.Hour), Findings: []status.Finding{
			{Need: status.NeedAuthority, Subject: "https://ca.internal:9000", Found: "healthy"},
			{Need: status.NeedNotify, Subject: "webhook", Fault: "it does not answer"},
		}},
		Pair:    &status.Leaf{Serial: "7e22", NotAfter: noon.Add(16 * time.Hour)},
		Pending: &status.Leaf{Serial: "aa11", NotAfter: noon.Add(24 * time.Hour)},
		CAs: []status.CA{
			{URL: caURL, LastSuccess: noon.Add(-time.Hour), LastFailure: noon.Add(-2*time.Hour + 250*time.Millisecond), Succeeded: 4, Failed: 1, Refused: 2},
			{URL: "https://acme.example.net/directory", Limits: []status.Limit{
				{Limit: "failed_validations", Used: 1, Most: 5}, {Limit: "failed_validations", Of: "redis2.internal", Used: 4, Most: 5},
				{Limit: "duplicate_certificates", Used: 2, Most: 5}}},
		},
		Servers: []status.Server{
			{Address: server, State: status.Proven, ServedSerial: "aa11"},
			{Address: another, Sentinel: true, State: status.Failing, ServedSerial: "7e22", Error: "config set: -ERR"},
			{Address: "redis2.internal:6379", State: status.Unreachable},
		},
		Certificates: []status.Certificate{
			cert(status.RoleLeaf, status.SeenOnDisk, "", "CN=redis1.internal", "7e22", day, 16*time.Hour),
			cert(status.RoleIntermediate, status.SeenOnDisk, "", "CN=Internal CA", "02", 3650*day, 1000*day),
			forever,
			cert(status.RoleLeaf, status.SeenServed, server, "CN=redis1.internal", "aa11", day, 24*time.Hour),
			cert(status.RoleLeaf, status.SeenServed, another, "CN=redis1.internal", "7e22", day, 16*time.Hour),
			client,
			{Role: status.RoleClient, Where: status.SeenInFile, Path: "/etc/app/gone.crt", Error: "open /etc/app/gone.crt: no such file or directory"},
		},
	}
}

// life logs something of everything that is counted.
func life(m *Metrics, log *slog.Logger) {
	ctx := context.Background()
	m.Expect([]string{server, another, "redis2.internal:6379"}, []string{"slack", "heartbeat"})
	at := func(address string) slog.Attr { return slog.String(journal.KeyServer, address) }
	journal.Issued.Log(ctx, log, "", slog.String(journal.KeyIssuer, caURL), slog.String(journal.KeyMethod, "sign"))
	journal.Issued.Log(ctx, log, "", slog.String(journal.KeyIssuer, caURL), slog.String(journal.KeyMethod, "rekey"))
	journal.Issued.Log(ctx, log, "", slog.String(journal.KeyIssuer, caURL), slog.String(journal.KeyMethod, "rekey"))
	journal.Loaded.Log(ctx, log.With(journal.KeyServer, server), "", slog.Duration(journal.KeyDuration, 40*time.Millisecond))
	journal.Loaded.Log(ctx, log, "", at(server), slog.Duration(journal.KeyDuration, 2*time.Second))
	journal.Loaded.Log(ctx, log, "found to serve it, nobody reloaded", at(another))
	journal.ReloadFailed.Log(ctx, log, "", at(another))
	journal.ServerDown.Log(ctx, log, "", at("redis2.internal:6379"))
	journal.RolledBack.Log(ctx, log, "")
	journal.Notified.Log(ctx, log, "", slog.String(journal.KeyTarget, "slack"))
	journal.NotifyFailed.Log(ctx, log, "", slog.String(journal.KeyTarget, "heartbeat"))
	log.Info("no event")
}

// ask returns all metrics as text, as a client gets them.
func ask(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%d %v\n%s", w.Code, w.Header(), w.Body)
	}
	return w.Body.String()
}

// written returns the metrics of the agent's own, as they stand in a file.
func written(t *testing.T, m *Metrics) string {
	t.Helper()
	text, err := m.text()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// check has promtool read text, which finds nothing to say, and returns what
// Prometheus' parser reads in it.
func check(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
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
		b.Set(everything())
		got = strings.Replace(written(t, m), runtime.Version(), "go1.26.0", 1)
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
	got := ask(t, m)
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
	s := everything()
	s.Pairs = nil
	late := s.Certificates[1]
	late.NotAfter, late.Serial = late.NotAfter.Add(time.Hour), "later"
	early := late
	early.NotAfter, early.Serial = time.Unix(1800000000, 0), "sooner"
	gone := s.Certificates[len(s.Certificates)-1]
	gone.Role = status.RoleLeaf
	s.Certificates = []status.Certificate{late, early, late, gone, gone}
	s.Servers = append(s.Servers, s.Servers[0])
	s.CAs = append(s.CAs, status.CA{URL: caURL, Succeeded: 1, Failed: 10, LastSuccess: noon}, status.CA{URL: caURL, LastSuccess: noon.Add(-day)})
	b.Set(s)
	got := ask(t, m)
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
	b := new(status.Board)
	m := New(Options{Agent: "d\xffe", Version: "1\xfe", Board: b})
	odd := "a\xff\"\\\n\x00{}ä"
	m.Expect([]string{odd}, []string{odd})
	log := slog.New(journal.Tee(slog.DiscardHandler, m.Observe))
	journal.ReloadFailed.Log(t.Context(), log, "", slog.String(journal.KeyServer, odd))
	journal.Issued.Log(t.Context(), log, "", slog.String(journal.KeyIssuer, odd), slog.String(journal.KeyMethod, odd))
	journal.NotifyFailed.Log(t.Context(), log, "", slog.String(journal.KeyTarget, odd))
	s := everything()
	s.Certificates = []status.Certificate{
		{Where: odd, Role: status.Role(odd), Server: odd, Path: odd, Subject: odd, Issuer: odd, Serial: odd, NotAfter: noon},
		{Where: odd, Role: status.Role(odd), Server: odd, Path: odd, Subject: "a\xfe\"\\\n\x00{}ä", Issuer: odd, Serial: odd, NotAfter: noon}, // alike once clean
		{Where: odd, Path: odd, Error: "gone"},
	}
	s.Servers[0].Address, s.CAs[0].URL, s.Pairs = odd, odd, nil
	b.Set(s)
	got := ask(t, m)
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
	journal.ReloadFailed.Log(t.Context(), log, "", slog.String(journal.KeyServer, server))
	journal.ServerDown.Log(t.Context(), log, "", slog.String(journal.KeyServer, another))
	journal.Loaded.Log(t.Context(), log, "", slog.String(journal.KeyServer, another), slog.Duration(journal.KeyDuration, time.Second))
	m.Expect([]string{server}, []string{"webhook"})
	got := ask(t, m)
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
	s := everything()
	drift := func(first, second int) {
		t.Helper()
		b.Set(s)
		expect(t, ask(t, m), "server_drift", fmt.Sprintf(`{agent="default",server="127.0.0.1:6379"} %d`, first),
			fmt.Sprintf(`{agent="default",server="[::1]:6380"} %d`, second), `{agent="default",server="redis2.internal:6379"} 0`)
	}
	drift(0, 1)
	s.Pending = nil
	drift(1, 0)
	s.Pair = nil
	drift(0, 0)
}

// What keeps an authority from giving a certificate counts, whether the rehearsal found it
// or a look at the authority after that, or before; once something is due, the failures tell.
func TestScrapeFaultyAuthority(t *testing.T) {
	m, b, _ := begin()
	s := everything()
	s.Rehearsal, s.IssueError = nil, nil
	for i := range s.CAs {
		s.CAs[i].Fault = ""
	}
	b.Set(s)
	expect(t, ask(t, m), "rehearsal_faults")
	s.CAs[0].Fault = "it would give no new certificate: its key does not decrypt"
	b.Set(s)
	expect(t, ask(t, m), "rehearsal_faults", `{agent="default",need="authority"} 1`)
	s.Rehearsal = everything().Rehearsal
	b.Set(s)
	expect(t, ask(t, m), "rehearsal_faults", `{agent="default",need="authority"} 1`, `{agent="default",need="disk"} 0`,
		`{agent="default",need="notify"} 1`, `{agent="default",need="server"} 0`)
	s.Rehearsal, s.IssueError = nil, &status.Failure{Text: "no"}
	b.Set(s)
	expect(t, ask(t, m), "rehearsal_faults")
}

// What has ended since the last look is seen at the scrape.
func TestScrapeIsOfNow(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		m, b, _ := begin()
		s := everything()
		s.Servers, s.Certificates, s.CAs, s.Pending, s.Pairs = nil, s.Certificates[:1], nil, nil, nil
		b.Set(s)
		expect(t, ask(t, m), "healthy", `{agent="default"} 1`)
		time.Sleep(17 * time.Hour)
		got := ask(t, m)
		expect(t, got, "healthy", `{agent="default"} 0`)
		expect(t, got, "problems", `{agent="default",severity="critical"} 1`, `{agent="default",severity="warning"} 1`)
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
				b.Set(everything())
			}
		})
		all.Go(func() {
			for range 50 {
				if text, err := m.text(); err != nil || !bytes.HasSuffix(text, []byte("} 1.794481834e+09\n")) {
					t.Errorf("%v\n%s", err, text)
				}
			}
		})
	}
	all.Wait()
	check(t, ask(t, m))
}

// The table in docs/metrics.md is what a scrape has; -update writes it anew.
func TestDocs(t *testing.T) {
	const path = "../../docs/metrics.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, b, log := begin()
	life(m, log)
	b.Set(everything())
	families := check(t, written(t, m))
	const head = "| metric | type | labels | meaning |\n|---|---|---|---|\n"
	want := head
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		want += fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), labels(f), f.GetHelp())
	}
	table := regexp.MustCompile(regexp.QuoteMeta(head) + `(?:\|.*\n)*`)
	if got := string(table.Find(text)); got != want {
		t.Errorf("%s has\n%s\nand a scrape\n%s", path, got, want)
	}
	if *update {
		if err := os.WriteFile(path, table.ReplaceAllLiteral(text, []byte(want)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// labels lists the labels of a metric but that of all of them.
func labels(f *dto.MetricFamily) string {
	var names []string
	for _, pair := range f.GetMetric()[0].GetLabel() {
		if name := pair.GetName(); name != "agent" {
			names = append(names, "`"+name+"`")
		}
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}
