package check

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// example is a report with everything in it: four servers and two files.
func example() Report {
	cert := func(role, source, subject string, left, lifetime time.Duration, s State) Certificate {
		ends := now.Add(left)
		return Certificate{State: s, Role: role, Source: source, Facts: &Facts{
			commonName: subject, Subject: "CN=" + subject, Issuer: "CN=Example CA", Serial: "1ab095a9c4",
			NotBefore: ends.Add(-lifetime), NotAfter: ends, SecondsLeft: int64(left / time.Second),
			WarnAt: ends.Add(-min(lifetime/4, 21*day)), CritAt: ends.Add(-min(lifetime/10, 7*day)),
			Key: "ec-p256", Signature: "ECDSA-SHA256", SHA256: strings.Repeat("ab", 32),
		}}
	}
	named := func(c Certificate, names ...string) Certificate {
		c.Names = names
		return c
	}
	root := cert("root", "trusted", "Example Root", 3000*day, 3650*day, OK)
	at := func(i int) *int { return &i }
	return NewReport([]Result{
		{Target: "redis1.internal:6379", Kind: Server, TLSVersion: "TLS 1.3", ClientAuth: "required", State: OK,
			Certificates: []Certificate{named(cert("leaf", "served", "redis1.internal", 62*day, 90*day, OK), "redis1.internal", "10.0.0.5"), cert("intermediate", "served", "Example CA", 400*day, 730*day, OK), root},
			Findings:     []Finding{{OK, CodeClientAuth, "it asks for a client certificate and was shown none; with --client-cert and --client-key it is checked whether it accepts yours", "", nil}}},
		{Target: "redis2.internal:6379", Kind: Server, TLSVersion: "TLS 1.3", ClientAuth: "not asked", State: Critical,
			Certificates: []Certificate{named(cert("leaf", "served", "redis2.internal", -50*time.Hour, 90*day, Critical), "redis2.internal"), root},
			Findings: []Finding{
				{Critical, CodeExpired, "the certificate expired 2 d 2 h ago, at 2026-11-20 10:00 UTC: clients refuse it", "renew it, and make redis load it: CONFIG SET tls-cert-file with the path that it has, or a restart", at(0)},
				{Warning, CodeDrift, "it is not the one on disk: redis serves serial 1ab095a9…, until 2026-11-20 10:00 UTC, and the file holds serial c00109b5…, until 2027-02-18 10:00 UTC", "`redis-cert-agent renew` makes redis load it and proves it", at(0)}}},
		{Target: "redis3.internal:6379", Kind: Server, State: Critical, Certificates: []Certificate{},
			Findings: []Finding{{Critical, CodeUnreachable, "no answer within 5s: the host is down, a firewall drops what is sent, or redis-server is stuck", "", nil}}},
		{Target: "10.0.0.8:6379", Kind: Server, TLSVersion: "TLS 1.2", ClientAuth: "not asked", State: Warning,
			Certificates: []Certificate{named(cert("leaf", "served", "day", 5*time.Hour, day, Warning), "day.internal"), cert("intermediate", "served", "Example CA", 400*day, 730*day, OK), root},
			Findings:     []Finding{{Warning, CodeExpiring, "the certificate ends in 5 h, at 2026-11-22 17:00 UTC", "renew it", at(0)}}},
		{Target: "/etc/app/redis-client.crt", Kind: File, State: OK,
			Certificates: []Certificate{cert("client", "file", "app", 8000*day, 9000*day, OK)}, Findings: []Finding{}},
		{Target: "/etc/redis/redis.crt", Kind: File, State: Unknown, Certificates: []Certificate{},
			Findings: []Finding{{Unknown, CodeUnreadable, "permission denied", "run this as a user who may read it, such as root", nil}}},
	}, now)
}

func TestGolden(t *testing.T) {
	r := example()
	calm := NewReport(r.Targets[len(r.Targets)-1:], now)
	text := func(r Report, s Style) func(*bytes.Buffer) error {
		return func(b *bytes.Buffer) error { return r.WriteText(b, s) }
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"troubled.txt":    text(r, Style{}),
		"troubled.color":  text(r, Style{Color: true}),
		"faulty.txt":      text(r, Style{Faulty: true}),
		"calm.txt":        text(calm, Style{}),
		"quiet.txt":       text(calm, Style{Faulty: true}),
		"troubled.json":   func(b *bytes.Buffer) error { return r.WriteJSON(b) },
		"troubled.nagios": func(b *bytes.Buffer) error { return r.WriteNagios(b) },
		"calm.nagios":     func(b *bytes.Buffer) error { return calm.WriteNagios(b) },
		"fault.nagios": func(b *bytes.Buffer) error {
			return WriteNagiosFault(b, errors.New("c.yaml:3: names: missing | or so\nc.yaml:4: servers: missing"))
		},
	} {
		var got bytes.Buffer
		if err := write(&got); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s is not as in %s:\n%s", name, path, got.Bytes())
		}
	}
	checkOutputs(t, r)
}

// The worst comes first, and a state that hides nothing.
func TestReportState(t *testing.T) {
	result := func(s State) Result { return Result{State: s, Findings: []Finding{{State: s}}} }
	for _, c := range []struct {
		states []State
		want   State
	}{
		{nil, OK}, {[]State{OK, OK}, OK}, {[]State{OK, Unknown}, Unknown}, {[]State{Unknown, Warning}, Warning},
		{[]State{Critical, Unknown, Warning, OK}, Critical},
	} {
		var results []Result
		for _, s := range c.states {
			results = append(results, result(s))
		}
		if r := NewReport(results, now); r.State != c.want || len(r.Targets) > 0 && r.Targets[0].State != c.want {
			t.Errorf("%v: %s, first %+v", c.states, r.State, r.Targets)
		}
	}
}

func TestStateText(t *testing.T) {
	for s := OK; s <= Unknown; s++ {
		var again State
		text, err := s.MarshalText()
		if err != nil || again.UnmarshalText(text) != nil || again != s {
			t.Errorf("%s becomes %s", s, again)
		}
	}
	if new(State).UnmarshalText([]byte("FINE")) == nil {
		t.Error("FINE is a state")
	}
	if fmt.Sprint(int(OK), int(Warning), int(Critical), int(Unknown)) != "0 1 2 3" {
		t.Error("the states are not the exit codes of plugins")
	}
}
