package status

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"redis-cert-agent/agent/plain"
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
	Text     string   `json:"text"`           // one line
	Cause    string   `json:"-"`              // the error alone, where Text says more
	Pair     string   `json:"pair,omitempty"` // of which client's pair; empty: of the servers'

	// Of a certificate that ends.
	Serial   string    `json:"serial,omitempty"`
	NotAfter time.Time `json:"not_after,omitzero"`
}

// The kinds of problems.
const (
	NoCertificate    = "no-certificate"    // there is none on disk
	RenewalFailing   = "renewal-failing"   // no authority gave a certificate that is of use
	AuthorityFailing = "authority-failing" // one did not, several times in a row, and another did
	AuthorityFault   = "authority-fault"   // nothing is due, and it would give no certificate
	ServerFailing    = "server-failing"    // it refuses the newest certificate, or does not prove it
	ServerStale      = "server-stale"      // it shows another one than the newest on disk
	ServerUnreached  = "server-unreachable"
	ServerFault      = "server-fault" // all is well with it, and its next reload would fail
	CertExpired      = "expired"
	CertExpiring     = "expiring"
	RefusedBySome    = "refused-by-some" // clients with OpenSSL or in Go refuse the newest certificate, and others accept it
	CertRecalled     = "recalled"        // its authority wants it replaced at once
	FileUnreadable   = "unreadable"      // a watched file
	FilesBad         = "bad-files"       // another program put a pair there that is of no use
	DiskUnreadable   = "disk"            // the agent cannot see its own files
	ServersMissing   = "servers-missing" // the configuration leads to no server
	AnotherRenewer   = "another-renewer" // another program renews the same files
	RehearsalFailing = "rehearsal"       // nothing is due, and a renewal would fail
	ChangeFailing    = "change-failing"  // what is to be done after a change of a client's pair was not done
	KeyGivenUp       = "key-given-up"    // keys may be in other hands, and are not all out of use
	ClockWrong       = "clock"           // it holds back a renewal, or differs from the authority's by far
)

// KeepsFromServing says whether the problem keeps the newest certificate from being
// issued, on disk, and proven at every server.
func (p Problem) KeepsFromServing() bool {
	if p.Pair != "" {
		return false
	}
	switch p.Kind {
	case NoCertificate, RenewalFailing, ServerFailing, ServerStale, ServerUnreached, FilesBad, DiskUnreadable:
		return true
	}
	return false
}

// Problems returns what is wrong at s.Now, the critical ones first.
func (s Status) Problems() []Problem {
	var all problems
	switch {
	case s.DiskError != "":
		all.add(DiskUnreadable, "", Critical, "the agent cannot read its files", s.DiskError)
	case s.Pair == nil:
		all.add(NoCertificate, "", Critical, "there is no certificate on disk: a redis-server that starts now cannot serve TLS", "")
	}
	if s.FilesError != "" {
		all.add(FilesBad, "", Critical, "", s.FilesError)
	}
	if s.RefusedBy != "" {
		all.add(RefusedBySome, "", Warning, "some clients refuse the certificate that another program put there", s.RefusedBy)
	}
	s.issueProblems(&all)
	for _, server := range s.Servers {
		server.problems(&all)
	}
	if s.Missing != "" {
		all.add(ServersMissing, "", Warning, "", s.Missing)
	}
	if s.Rival != "" {
		all.add(AnotherRenewer, "", Warning, "", s.Rival)
	}
	s.Rotation.problem(&all)
	s.Rehearsal.problems(s, &all)
	if s.Clock != "" {
		all.add(ClockWrong, "", Warning, "the clock cannot be believed", s.Clock)
	}
	if s.Recall != nil {
		all.add(CertRecalled, s.Recall.Serial, Warning, s.Recall.Text(), "")
	}
	all = append(all, s.expiries()...)
	for _, pair := range s.Pairs {
		all = append(all, pair.ofPair()...)
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Severity < all[j].Severity }) // critical, warning
	return all
}

// ofPair returns the problems of a client's pair, as those of its agent's board.
func (s Status) ofPair() []Problem {
	if s.Newest() == nil {
		s.Servers = nil // there is nothing to be done yet
	}
	all := s.Problems()
	for i := range all {
		p := &all[i]
		text := p.Text
		switch p.Kind {
		case NoCertificate:
			text = "there is no certificate on disk: clients that start now have none"
		case ServerFailing, ServerStale, ServerUnreached:
			p.Kind, p.Severity = ChangeFailing, Warning // who read the files before goes on with them
			text = "what is to be done after a change was not done: " + orElse(p.Cause, "not yet")
		}
		p.Key, p.Pair, p.Text = "pair "+s.Instance+" "+p.Key, s.Instance, plain.OneLine("pair "+s.Instance+": "+text)
	}
	return all
}

type problems []Problem

// add appends a problem. The cause, an error of its own, may be empty; text may be empty
// where the cause says it all.
func (all *problems) add(kind, subject string, severity Severity, text, cause string) {
	p := Problem{Key: strings.TrimSpace(kind + " " + subject), Kind: kind, Subject: subject, Severity: severity, Cause: cause}
	switch {
	case text == "":
		text = cause
	case cause != "":
		text += ": " + cause
	}
	p.Text = plain.OneLine(text)
	*all = append(*all, p)
}

func (s Status) issueProblems(all *problems) {
	if s.IssueError != nil {
		severity := Warning
		if s.Pair == nil || !s.Now.Before(s.Pair.NotAfter) {
			severity = Critical
		}
		all.add(RenewalFailing, "", severity, "no new certificate", s.IssueError.Text)
		return
	}
	for _, ca := range s.CAs {
		if ca.Fault != "" {
			all.add(AuthorityFault, ca.URL, Warning, ca.URL, ca.Fault)
		}
		if ca.Missed > 1 && ca.LastError != nil { // one failure that another authority made good is a fact of the past
			all.add(AuthorityFailing, ca.URL, Warning, fmt.Sprintf("%s gave no certificate the last %d times, another authority did", ca.URL, ca.Missed), ca.LastError.Text)
		}
	}
}

// FaultyCAs counts the authorities that would give no certificate, while nothing is due.
func (s Status) FaultyCAs() (n int) {
	for _, ca := range s.CAs {
		if ca.Fault != "" && s.IssueError == nil {
			n++
		}
	}
	return n
}

func (server Server) problems(all *problems) {
	if server.Fault != "" && server.Error == "" {
		all.add(ServerFault, server.Address, Warning, server.Address, server.Fault)
	}
	switch server.State {
	case Failing:
		all.add(ServerFailing, server.Address, Critical, server.Address+" does not take the newest certificate", server.Error)
	case Unreachable:
		all.add(ServerUnreached, server.Address, Warning, server.Address+" is not reached", orElse(server.Error, "no TLS handshake"))
	case Stale:
		why := ""
		if server.Hint != "" { // of a Sentinel
			why = server.Note + ": " + server.Hint
		}
		all.add(ServerStale, server.Address, Warning, fmt.Sprintf("%s shows another certificate than the newest on disk, serial %s", server.Address, server.ServedSerial), why)
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
				Text: fmt.Sprintf("%s cannot be watched: %s", c.Path, plain.OneLine(c.Error))})
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
			p.Text = fmt.Sprintf("%s ends in %s, at %s", c, plain.Span(left), plain.Time(c.NotAfter))
		} else {
			p.Kind = CertExpired
			p.Text = fmt.Sprintf("%s expired %s, at %s", c, plain.Ago(s.Now, c.NotAfter), plain.Time(c.NotAfter))
		}
		p.Key = CertExpiring + " " + id // expiring becomes expired: the same problem, more of it
		all = append(all, p)
	}
	return all
}

// String tells which certificate it is, as the subject of a sentence.
func (c Certificate) String() string {
	what := map[Role]string{RoleLeaf: "the certificate", RoleIntermediate: "the intermediate", RoleCA: "the CA certificate", RoleClient: "the client certificate"}[c.Role]
	where := map[string]string{SeenOnDisk: "on disk", SeenServed: "served by " + c.Server, SeenInFile: "in " + c.Path}[c.Where]
	return fmt.Sprintf("%s %s (serial %s, %s)", what, c.Subject, plain.ShortSerial(c.Serial), where)
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
