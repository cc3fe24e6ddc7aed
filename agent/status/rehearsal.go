package status

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"redis-cert-agent/agent/plain"
)

// A Rehearsal is everything that a renewal needs, tried without issuing.
type Rehearsal struct {
	At       time.Time `json:"at"`
	Findings []Finding `json:"findings"`
}

// A Finding is what one thing that a renewal needs was found to be.
type Finding struct {
	Need    Need   `json:"need"`
	Subject string `json:"subject"`         // which one: a URL, an address, a directory
	Found   string `json:"found,omitempty"` // one line; of a fault it may be empty
	Fault   string `json:"fault,omitempty"` // empty: a renewal would get past it
	Hint    string `json:"hint,omitempty"`  // what a person can do about Fault, where that ends with it
}

// A Need is a kind of thing that a renewal needs.
type Need string

// The needs, in the order in which a renewal meets them.
const (
	NeedAuthority Need = "authority"
	NeedDisk      Need = "disk"
	NeedServer    Need = "server"
	NeedNotify    Need = "notify"
)

// Needs lists the needs.
var Needs = []Need{NeedAuthority, NeedDisk, NeedServer, NeedNotify}

// Faults returns the findings that would stop a renewal; of notify, what would keep people
// from hearing of it.
func (r *Rehearsal) Faults() []Finding {
	if r == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Fault == "" })
}

// problems adds what the rehearsal found, but for what shows as another problem already.
func (r *Rehearsal) problems(s Status, all *problems) {
	for _, f := range r.Faults() {
		if !f.told(s) {
			all.add(RehearsalFailing, string(f.Need)+" "+f.Subject, Warning, "the next renewal would fail at "+f.Subject, f.Fault)
		}
	}
}

// told says whether the status shows the fault in another place.
func (f Finding) told(s Status) bool {
	switch f.Need {
	case NeedAuthority:
		return s.IssueError != nil || slices.ContainsFunc(s.CAs, func(ca CA) bool { return ca.URL == f.Subject && ca.Fault != "" })
	case NeedServer:
		return slices.ContainsFunc(s.Servers, func(server Server) bool {
			return server.Address == f.Subject && (server.Fault != "" || server.Error != "" || server.State == Unreachable)
		})
	case NeedDisk:
		return s.DiskError != ""
	}
	return false
}

// WriteText writes each finding for people.
func (r *Rehearsal) WriteText(w io.Writer, color bool) error {
	p := &plain.Page{Color: color}
	for _, f := range r.Findings {
		word, text := p.Paint("ok   ", plain.Green), f.Found
		if f.Fault != "" {
			word, text = p.Paint("fault", plain.Red), strings.TrimSuffix(f.Fault, ": "+f.Hint)
		}
		p.Line(fmt.Sprintf("%s  %-10s %s: %s", word, f.Need, f.Subject, plain.OneLine(text)))
		if f.Fault != "" && f.Hint != "" {
			p.Line(fmt.Sprintf("%-17s hint: %s", "", plain.OneLine(f.Hint)))
		}
	}
	_, err := p.WriteTo(w)
	return err
}

// writeRehearsal writes when everything was last tried, and what failed.
func (s Status) writeRehearsal(p *plain.Page) {
	if s.Rehearsal == nil {
		if !s.RehearsalDue.IsZero() && s.RehearsalDue.After(s.Now) {
			p.Row("rehearsal", "in "+plain.Span(s.RehearsalDue.Sub(s.Now))+", at "+plain.Stamp(s.RehearsalDue))
		}
		return
	}
	faults := s.Rehearsal.Faults()
	text := "all that a renewal needs is there"
	if len(faults) > 0 {
		text = p.Paint("a renewal would fail", plain.Yellow)
	}
	p.Row("rehearsal", text+", tried "+plain.Ago(s.Now, s.Rehearsal.At))
	for _, f := range faults {
		p.Row("", f.Subject+": "+plain.OneLine(f.Fault))
	}
}
