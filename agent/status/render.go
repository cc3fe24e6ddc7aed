package status

import (
	"fmt"
	"io"
	"strings"

	"redis-cert-agent/agent/plain"
)

// WriteText writes the status for people, with times relative to s.Now.
func (s Status) WriteText(w io.Writer, color bool) error {
	p := &plain.Page{Color: color}
	title := fmt.Sprintf("%s: %s", s.Instance, p.Paint(s.Verdict(), colour(s.Verdict() == "ok", s.Verdict() == "degraded")))
	if s.PID > 0 {
		title += fmt.Sprintf("   (redis-cert-agent %s, pid %d)", s.Version, s.PID)
	} else {
		title += fmt.Sprintf("   (redis-cert-agent %s is not running)", s.Version)
	}
	p.Line(title)
	p.Line("")
	s.writePair(p)
	s.writeCA(p)
	s.writeServers(p)
	s.writeRoots(p)
	s.writePairs(p)
	s.writeWatched(p)
	s.writeProblems(p)
	p.Row("next", s.next())
	s.writeRehearsal(p)
	if !s.Looked.IsZero() {
		p.Row("looked", plain.Ago(s.Now, s.Looked))
	}
	if s.LastError != nil {
		p.Row("last error", fmt.Sprintf("%s (%s)", plain.OneLine(s.LastError.Text), plain.Ago(s.Now, s.LastError.At)))
	}
	if s.PID > 0 {
		p.Row("rotations", fmt.Sprintf("%d since the agent started", s.Rotations))
	}
	_, err := p.WriteTo(w)
	return err
}

func (s Status) writePair(p *plain.Page) {
	if s.Pair == nil {
		what := "none on disk"
		if s.MonitorOnly {
			what += " that redis could load"
		}
		p.Row("certificate", p.Paint(what, plain.Red))
		return
	}
	c := s.Pair
	p.Row("certificate", "serial "+c.Serial)
	p.Row("  valid", s.validity(p, c))
	p.Row("  names", strings.Join(c.Names, ", "))
	p.Row("  issuer", c.Issuer)
	if c.KeyType != "" {
		p.Row("  key", c.KeyType)
	}
	var origin []string
	if c.Generation > 0 {
		origin = append(origin, fmt.Sprintf("generation %d", c.Generation))
	}
	if c.Method != "" && !s.MonitorOnly {
		origin = append(origin, "by "+c.Method)
	}
	if !c.IssuedAt.IsZero() {
		origin = append(origin, plain.Ago(s.Now, c.IssuedAt))
	}
	if len(origin) > 0 {
		label := "  issued"
		if s.MonitorOnly {
			label = "  put there"
		}
		p.Row(label, strings.Join(origin, ", "))
	}
	if c.By != "" {
		p.Row("  from", c.By)
	}
	p.Row("  sha256", c.Fingerprint)
	if s.Pending != nil {
		p.Row("  pending", fmt.Sprintf("serial %s, %s, not proven at any server yet", plain.ShortSerial(s.Pending.Serial), s.validity(p, s.Pending)))
	}
}

// validity says "until 2026-11-23 03:10 UTC, 16 h left".
func (s Status) validity(p *plain.Page, c *Leaf) string {
	until := "until " + plain.Stamp(c.NotAfter) + ", "
	left := c.NotAfter.Sub(s.Now)
	switch {
	case left <= 0:
		return until + p.Paint("expired "+plain.Span(-left)+" ago", plain.Red)
	case s.Now.Before(c.NotBefore):
		return until + p.Paint("not valid before "+plain.Stamp(c.NotBefore), plain.Red)
	}
	return until + plain.Span(left) + " left"
}

// mostLimits bounds how many limits of an authority people are shown: the nearest.
const mostLimits = 3

func (s Status) writeCA(p *plain.Page) {
	if s.MonitorOnly {
		p.Row("authority", "none: another program renews the pair")
	}
	label := "authority"
	for _, ca := range s.CAs {
		p.Row(label, fmt.Sprintf("%s (%s)", ca.URL, ca.Kind))
		if !ca.LastSuccess.IsZero() {
			p.Row("", "last issued "+plain.Ago(s.Now, ca.LastSuccess))
		}
		for i, l := range ca.Limits {
			text := l.Text
			if l.Of != "" {
				text += ", " + l.Of
			}
			if l.Used == l.Most {
				text = p.Paint(text, plain.Yellow)
			}
			if p.Row("", text); i == mostLimits-1 {
				break
			}
		}
		if e := ca.LastError; e != nil {
			p.Row("", p.Paint("failed "+plain.Ago(s.Now, e.At), plain.Red)+": "+plain.OneLine(e.Text))
		}
		if ca.Note != "" {
			p.Row("", ca.Note)
		}
		if ca.Fault != "" {
			p.Row("", p.Paint("not well", plain.Yellow)+": "+plain.OneLine(ca.Fault))
		}
		label = ""
	}
}

func (s Status) writeServers(p *plain.Page) {
	label := "servers"
	width := 0
	for _, srv := range s.Servers {
		width = max(width, len(srv.Address))
	}
	for _, srv := range s.Servers {
		state := p.Paint(string(srv.State), colour(srv.State == Proven, srv.State == Stale || srv.State == Unknown))
		state += strings.Repeat(" ", max(0, len(Unreachable)-len(srv.State)))
		text := fmt.Sprintf("%-*s  %s", width, srv.Address, state)
		if srv.ServedSerial != "" {
			text += "  serves " + plain.ShortSerial(srv.ServedSerial)
			if left := srv.ServedNotAfter.Sub(s.Now); srv.ServedNotAfter.IsZero() {
			} else if left <= 0 {
				text += ", " + p.Paint("expired "+plain.Span(-left)+" ago", plain.Red)
			} else if srv.State != Proven {
				text += ", " + plain.Span(left) + " left"
			}
		}
		if !srv.Since.IsZero() {
			text += ", since " + plain.Stamp(srv.Since)
		}
		p.Row(label, strings.TrimRight(text, " "))
		if problem := orElse(srv.Error, srv.Fault); problem != "" {
			p.Row("", "  "+plain.OneLine(strings.TrimSuffix(problem, ": "+srv.Hint)))
		}
		if srv.Note != "" {
			p.Row("", "  "+plain.OneLine(srv.Note))
		}
		if srv.Hint != "" {
			p.Row("", "  hint: "+plain.OneLine(srv.Hint))
		}
		label = ""
	}
}

// writePairs writes the pairs of clients, each in a line, and what is wrong with them.
func (s Status) writePairs(p *plain.Page) {
	label := "pairs"
	for _, pair := range s.Pairs {
		text := fmt.Sprintf("%s  %s", pair.Instance, p.Paint(pair.Verdict(), colour(pair.Verdict() == "ok", pair.Verdict() == "degraded")))
		if pair.Pair != nil {
			text += fmt.Sprintf("  serial %s, %s", plain.ShortSerial(pair.Pair.Serial), pair.validity(p, pair.Pair))
			text += ", " + strings.Join(pair.Pair.Names, ", ")
		}
		p.Row(label, text)
		if pair.Path != "" {
			p.Row("", "  "+pair.Path)
		}
		if pair.Next.Action != "" {
			p.Row("", "  next "+pair.next())
		}
		for _, x := range pair.ofPair() {
			p.Row("", "  "+p.Paint(strings.TrimPrefix(x.Text, "pair "+pair.Instance+": "), colour(false, x.Severity == Warning)))
		}
		label = ""
	}
}

// writeWatched writes what can expire beside the pair itself, each once.
func (s Status) writeWatched(p *plain.Page) {
	label := "watched"
	seen := map[string]bool{}
	for _, c := range s.Certificates {
		id := c.Serial + c.Issuer + c.Path
		if c.Role == RoleLeaf || seen[id] {
			continue
		}
		seen[id] = true
		text := fmt.Sprintf("%-12s  ", c.Role)
		if c.Path != "" {
			text += c.Path + ": "
		}
		level := c.level(s.Now)
		switch left := c.NotAfter.Sub(s.Now); {
		case c.Error != "":
			text += p.Paint(plain.OneLine(c.Error), plain.Yellow)
		case left <= 0:
			text += c.Subject + ", " + p.Paint("expired "+plain.Span(-left)+" ago", plain.Red)
		case level != "":
			text += c.Subject + ", " + p.Paint(plain.Between(s.Now, c.NotAfter)+" left", colour(false, level == Warning))
		default:
			text += c.Subject + ", " + plain.Between(s.Now, c.NotAfter) + " left"
		}
		p.Row(label, text)
		label = ""
	}
}

// writeProblems writes what has no line of its own.
func (s Status) writeProblems(p *plain.Page) {
	for _, x := range s.Problems() {
		if x.Pair != "" {
			continue
		}
		switch x.Kind {
		case DiskUnreadable, FilesBad, AnotherRenewer, ServersMissing, ClockWrong, RefusedBySome, CertRecalled, KeyGivenUp, CertExpiring:
			p.Row(string(x.Severity), p.Paint(x.Text, colour(false, x.Severity == Warning)))
		}
	}
}

// next says "renewal in 8 h, at 2026-11-22 19:10 UTC (two-thirds …)".
func (s Status) next() string {
	if s.Next.At.IsZero() || s.Next.Action == "" {
		return orElse(plain.OneLine(s.Next.Why), "nothing is planned")
	}
	in := "now"
	if d := s.Next.At.Sub(s.Now); d > 0 {
		in = "in " + plain.Span(d)
	}
	text := fmt.Sprintf("%s %s, at %s", s.Next.Action, in, plain.Stamp(s.Next.At))
	if s.Next.Why != "" {
		text += " (" + plain.OneLine(s.Next.Why) + ")"
	}
	return text
}

// colour returns the colour of a word that says that something is well, or can
// wait, or cannot.
func colour(well, canWait bool) plain.Paint {
	switch {
	case well:
		return plain.Green
	case canWait:
		return plain.Yellow
	}
	return plain.Red
}
