package report

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Severity says how soon a Problem needs a person.
type Severity string

// A warning can wait for the morning.
const (
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// A Problem is something that needs a person, or soon will. It is read off the
// status each time, so that it is gone when its cause is.
type Problem struct {
	Key      string   `json:"key"`     // the same as long as the problem is the same
	Kind     string   `json:"kind"`    // see the kinds
	Subject  string   `json:"subject"` // what it is about: an address, a certificate, a URL; may be empty
	Severity Severity `json:"severity"`
	Text     string   `json:"text"` // one line

	// Of a certificate that ends.
	Serial   string    `json:"serial,omitempty"`
	NotAfter time.Time `json:"not_after,omitzero"`
}

// The kinds of problems.
const (
	NoCertificate    = "no-certificate"    // there is none on disk
	RenewalFailing   = "renewal-failing"   // no authority gave a certificate that is of use
	AuthorityFailing = "authority-failing" // one did not, and another did
	ServerFailing    = "server-failing"    // it refuses the newest certificate, or does not prove it
	ServerStale      = "server-stale"      // it shows another one than the newest on disk
	ServerUnreached  = "server-unreachable"
	CertExpired      = "expired"
	CertExpiring     = "expiring"
	FileUnreadable   = "unreadable" // a watched file
	FilesBad         = "bad-files"  // another hand put a pair there that is of no use
	DiskUnreadable   = "disk"       // the agent cannot see its own files
	ClockWrong       = "clock"      // it holds back a renewal
)

// Problems returns what is wrong at s.Now, the critical ones first.
func (s Status) Problems() []Problem {
	var all []Problem
	add := func(kind, subject string, severity Severity, format string, args ...any) {
		key := strings.TrimSpace(kind + " " + subject)
		all = append(all, Problem{Key: key, Kind: kind, Subject: subject, Severity: severity, Text: oneLine(fmt.Sprintf(format, args...))})
	}
	if s.DiskError != "" {
		add(DiskUnreadable, "", Critical, "the agent cannot read its files: %s", s.DiskError)
	} else if s.Pair == nil {
		add(NoCertificate, "", Critical, "there is no certificate on disk: a redis-server that starts now cannot serve TLS")
	}
	if s.FilesError != "" {
		add(FilesBad, "", Critical, "%s", s.FilesError)
	}
	s.issueProblems(add)
	for _, server := range s.Servers {
		switch server.State {
		case Failing:
			add(ServerFailing, server.Address, Critical, "%s does not take the newest certificate: %s", server.Address, server.Error)
		case Unreachable:
			add(ServerUnreached, server.Address, Warning, "%s is not reached: %s", server.Address, orElse(server.Error, "no TLS handshake"))
		case Stale:
			add(ServerStale, server.Address, Warning, "%s shows another certificate than the newest on disk, serial %s", server.Address, server.ServedSerial)
		}
	}
	if s.Clock != "" {
		add(ClockWrong, "", Warning, "the clock cannot be believed: %s", s.Clock)
	}
	all = append(all, s.expiries()...)
	slices.SortStableFunc(all, func(a, b Problem) int { return strings.Compare(string(a.Severity), string(b.Severity)) }) // critical, warning
	return all
}

func (s Status) issueProblems(add func(kind, subject string, severity Severity, format string, args ...any)) {
	if s.IssueError != nil {
		severity := Warning
		if s.Pair == nil || !s.Now.Before(s.Pair.NotAfter) {
			severity = Critical
		}
		add(RenewalFailing, "", severity, "no new certificate: %s", s.IssueError.Text)
		return
	}
	for _, ca := range s.CAs {
		if ca.LastError != nil {
			add(AuthorityFailing, ca.URL, Warning, "%s gives no certificate, another authority did: %s", ca.URL, ca.LastError.Text)
		}
	}
}

// expiries returns one problem for each certificate that ends soon, wherever it
// was seen.
func (s Status) expiries() []Problem {
	var all []Problem
	seen := map[string]bool{}
	for _, c := range s.Certificates {
		if c.Error != "" {
			all = append(all, Problem{Key: FileUnreadable + " " + c.Path, Kind: FileUnreadable, Subject: c.Path, Severity: Warning,
				Text: fmt.Sprintf("%s cannot be watched: %s", c.Path, oneLine(c.Error))})
			continue
		}
		id := c.Serial + " " + c.Issuer
		severity := c.level(s.Now)
		if severity == "" || seen[id] {
			continue
		}
		seen[id] = true
		p := Problem{Kind: CertExpiring, Subject: c.Subject, Severity: severity, Serial: c.Serial, NotAfter: c.NotAfter}
		if left := c.NotAfter.Sub(s.Now); left > 0 {
			p.Text = fmt.Sprintf("%s ends in %s, at %s", c, span(left), Time(c.NotAfter))
		} else {
			p.Kind = CertExpired
			p.Text = fmt.Sprintf("%s expired %s, at %s", c, ago(s.Now, c.NotAfter), Time(c.NotAfter))
		}
		p.Key = CertExpiring + " " + id // expiring becomes expired: the same problem, more of it
		all = append(all, p)
	}
	return all
}

// String tells which certificate it is, as the subject of a sentence.
func (c Certificate) String() string {
	what := map[Role]string{Leaf: "the certificate", Intermediate: "the intermediate", Authority: "the CA certificate", ClientLeaf: "the client certificate"}[c.Role]
	where := map[string]string{OnDisk: "on disk", Served: "served by " + c.Server, InFile: "in " + c.Path}[c.Where]
	return fmt.Sprintf("%s %s (serial %s, %s)", what, c.Subject, short(c.Serial), where)
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// Healthy says whether nothing critical is wrong.
func (s Status) Healthy() bool {
	for _, p := range s.Problems() {
		if p.Severity == Critical {
			return false
		}
	}
	return true
}
