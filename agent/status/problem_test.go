package status

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// certificate ends in left, is a warning within a quarter of its day, and
// critical within a tenth.
func certificate(role Role, serial string, left time.Duration) Certificate {
	end := noon.Add(left)
	return Certificate{
		Role: role, Where: SeenOnDisk, Subject: "CN=" + serial, Issuer: "CN=ca", Serial: serial,
		NotBefore: end.Add(-24 * time.Hour), NotAfter: end, WarnAt: end.Add(-6 * time.Hour), CritAt: end.Add(-144 * time.Minute),
	}
}

func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Status)
		want   []string // "severity key", in order
	}{
		"healthy":                           {func(*Status) {}, nil},
		"no certificate":                    {func(s *Status) { s.Pair = nil }, []string{"critical no-certificate"}},
		"blind":                             {func(s *Status) { s.Pair, s.DiskError = nil, "EIO" }, []string{"critical disk"}},
		"bad files":                         {func(s *Status) { s.FilesError = "mismatch" }, []string{"critical bad-files"}},
		"renewal":                           {func(s *Status) { s.IssueError = &Failure{Text: "503"} }, []string{"warning renewal-failing"}},
		"renewal, and the pair has expired": {func(s *Status) { s.IssueError, s.Now = &Failure{Text: "503"}, notAfter }, []string{"critical renewal-failing"}},
		"another authority helped":          {func(s *Status) { s.CAs[0].LastError, s.CAs[0].Missed = &Failure{Text: "503"}, 2 }, []string{"warning authority-failing https://ca.internal:9000"}},
		"another authority helped once":     {func(s *Status) { s.CAs[0].LastError, s.CAs[0].Missed = &Failure{Text: "503"}, 1 }, nil},
		"servers": {func(s *Status) { *s = troubled(); s.CAs[0].LastError = nil }, []string{
			"critical server-failing 127.0.0.1:6381", "warning server-stale 127.0.0.1:6379", "warning server-unreachable 127.0.0.1:6380",
		}},
		"refused by some": {func(s *Status) { s.RefusedBy = "clients with OpenSSL: …" }, []string{"warning refused-by-some"}},
		"clock":           {func(s *Status) { s.Clock = "not synchronised" }, []string{"warning clock"}},
		"ends": {func(s *Status) {
			served := certificate(RoleLeaf, "a1", time.Hour)
			served.Where, served.Server = SeenServed, "127.0.0.1:6379"
			s.Certificates = []Certificate{
				certificate(RoleLeaf, "a1", time.Hour), served, // the same one
				certificate(RoleIntermediate, "b2", 5*time.Hour),
				certificate(RoleCA, "c3", 7*time.Hour), // far
				certificate(RoleClient, "d4", 0),       // this very second
			}
		}, []string{"critical expiring a1 CN=ca", "critical expiring d4 CN=ca", "warning expiring b2 CN=ca"}},
		"unreadable": {func(s *Status) {
			s.Certificates = []Certificate{{Role: RoleClient, Where: SeenInFile, Path: "/a", Error: "permission denied"}}
		}, []string{"warning unreadable /a"}},
	} {
		s := healthy()
		c.change(&s)
		var got []string
		critical := false
		for _, p := range s.Problems() {
			got = append(got, fmt.Sprintf("%s %s", p.Severity, p.Key))
			critical = critical || p.Severity == Critical
			if p.Text == "" || strings.ContainsAny(p.Text, "\n\x1b") {
				t.Errorf("%s: text %q", name, p.Text)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if s.Healthy() == critical {
			t.Errorf("%s: healthy %v", name, s.Healthy())
		}
		if ok := s.Verdict() == "ok"; ok != (len(got) == 0) {
			t.Errorf("%s: %s with %q", name, s.Verdict(), got)
		}
	}
}

func TestNextChange(t *testing.T) {
	c := certificate(RoleLeaf, "a", 24*time.Hour)
	all := []Certificate{{Path: "/unreadable", Error: "x"}, certificate(RoleCA, "b", 900*time.Hour), c}
	for now, want := range map[time.Time]time.Time{
		noon:                       c.WarnAt,
		c.WarnAt:                   c.CritAt,
		c.CritAt:                   c.NotAfter,
		noon.Add(1000 * time.Hour): {},
	} {
		if got := NextChange(all, now); !got.Equal(want) {
			t.Errorf("after %s: %s, want %s", now, got, want)
		}
	}
}
