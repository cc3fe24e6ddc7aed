package report

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteText writes the status for people, with times relative to s.Now.
func (s Status) WriteText(w io.Writer, color bool) error {
	p := &page{color: color}
	title := fmt.Sprintf("%s: %s", s.Instance, p.paint(s.Verdict(), s.Verdict() == "ok", s.Verdict() == "degraded"))
	if s.PID > 0 {
		title += fmt.Sprintf("   (redis-cert-agent %s, pid %d)", s.Version, s.PID)
	} else {
		title += fmt.Sprintf("   (redis-cert-agent %s is not running)", s.Version)
	}
	p.line(title)
	p.line("")
	s.writePair(p)
	s.writeCA(p)
	s.writeServers(p)
	s.writeWatched(p)
	s.writeProblems(p)
	p.row("next", s.next())
	if s.LastError != nil {
		p.row("last error", fmt.Sprintf("%s (%s)", oneLine(s.LastError.Text), ago(s.Now, s.LastError.At)))
	}
	if s.PID > 0 {
		p.row("rotations", fmt.Sprintf("%d since the agent started", s.Rotations))
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

func (s Status) writePair(p *page) {
	if s.Pair == nil {
		what := "none on disk"
		if s.MonitorOnly {
			what += " that redis could load"
		}
		p.row("certificate", p.paint(what, false, false))
		return
	}
	c := s.Pair
	p.row("certificate", "serial "+c.Serial)
	p.row("  valid", s.validity(p, c))
	p.row("  names", strings.Join(c.Names, ", "))
	p.row("  issuer", c.Issuer)
	if c.KeyType != "" {
		p.row("  key", c.KeyType)
	}
	var origin []string
	if c.Generation > 0 {
		origin = append(origin, fmt.Sprintf("generation %d", c.Generation))
	}
	if c.Method != "" && !s.MonitorOnly {
		origin = append(origin, "by "+c.Method)
	}
	if !c.IssuedAt.IsZero() {
		origin = append(origin, ago(s.Now, c.IssuedAt))
	}
	if len(origin) > 0 {
		label := "  issued"
		if s.MonitorOnly {
			label = "  put there"
		}
		p.row(label, strings.Join(origin, ", "))
	}
	if c.By != "" {
		p.row("  from", c.By)
	}
	p.row("  sha256", c.Fingerprint)
	if s.Pending != nil {
		p.row("  pending", fmt.Sprintf("serial %s, %s, not proven at any server yet", short(s.Pending.Serial), s.validity(p, s.Pending)))
	}
}

// validity says "until 2026-11-23 03:10 UTC, 16 h left".
func (s Status) validity(p *page, c *Pair) string {
	until := "until " + stamp(c.NotAfter) + ", "
	left := c.NotAfter.Sub(s.Now)
	switch {
	case left <= 0:
		return until + p.paint("expired "+span(-left)+" ago", false, false)
	case s.Now.Before(c.NotBefore):
		return until + p.paint("not valid before "+stamp(c.NotBefore), false, false)
	}
	return until + span(left) + " left"
}

func (s Status) writeCA(p *page) {
	if s.MonitorOnly {
		p.row("authority", "none: another hand renews the pair")
	}
	label := "authority"
	for _, ca := range s.CAs {
		p.row(label, fmt.Sprintf("%s (%s)", ca.URL, ca.Kind))
		if !ca.LastSuccess.IsZero() {
			p.row("", "last issued "+ago(s.Now, ca.LastSuccess))
		}
		if e := ca.LastError; e != nil {
			p.row("", p.paint("failed "+ago(s.Now, e.At), false, false)+": "+oneLine(e.Text))
		}
		label = ""
	}
}

func (s Status) writeServers(p *page) {
	label := "servers"
	width := 0
	for _, srv := range s.Servers {
		width = max(width, len(srv.Address))
	}
	for _, srv := range s.Servers {
		state := p.paint(string(srv.State), srv.State == Proven, srv.State == Stale || srv.State == Unknown)
		state += strings.Repeat(" ", max(0, len(Unreachable)-len(srv.State)))
		text := fmt.Sprintf("%-*s  %s", width, srv.Address, state)
		if srv.ServedSerial != "" {
			text += "  serves " + short(srv.ServedSerial)
			if left := srv.ServedNotAfter.Sub(s.Now); srv.ServedNotAfter.IsZero() {
			} else if left <= 0 {
				text += ", " + p.paint("expired "+span(-left)+" ago", false, false)
			} else if srv.State != Proven {
				text += ", " + span(left) + " left"
			}
		}
		if !srv.Since.IsZero() {
			text += ", since " + stamp(srv.Since)
		}
		p.row(label, strings.TrimRight(text, " "))
		if srv.Error != "" {
			p.row("", "  "+oneLine(srv.Error))
		}
		label = ""
	}
}

// writeWatched writes what can expire beside the pair itself, each once.
func (s Status) writeWatched(p *page) {
	label := "watched"
	seen := map[string]bool{}
	for _, c := range s.Certificates {
		id := c.Serial + c.Issuer + c.Path
		if c.Role == Leaf || seen[id] {
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
			text += p.paint(oneLine(c.Error), false, true)
		case left <= 0:
			text += c.Subject + ", " + p.paint("expired "+span(-left)+" ago", false, false)
		case level != "":
			text += c.Subject + ", " + p.paint(span(left)+" left", false, level == Warning)
		default:
			text += c.Subject + ", " + span(left) + " left"
		}
		p.row(label, text)
		label = ""
	}
}

// writeProblems writes what has no line of its own.
func (s Status) writeProblems(p *page) {
	for _, x := range s.Problems() {
		switch x.Kind {
		case DiskUnreadable, FilesBad, ClockWrong, CertExpiring:
			p.row(string(x.Severity), p.paint(x.Text, false, x.Severity == Warning))
		}
	}
}

// next says "renewal in 8 h, at 2026-11-22 19:10 UTC (two-thirds …)".
func (s Status) next() string {
	if s.Next.At.IsZero() || s.Next.Action == "" {
		return orElse(oneLine(s.Next.Why), "nothing is planned")
	}
	in := "now"
	if d := s.Next.At.Sub(s.Now); d > 0 {
		in = "in " + span(d)
	}
	text := fmt.Sprintf("%s %s, at %s", s.Next.Action, in, stamp(s.Next.At))
	if s.Next.Why != "" {
		text += " (" + oneLine(s.Next.Why) + ")"
	}
	return text
}

// page is text of two columns.
type page struct {
	b     strings.Builder
	color bool
}

func (p *page) line(text string) { p.b.WriteString(text + "\n") }

func (p *page) row(label, value string) { p.line(fmt.Sprintf("%-13s%s", label, value)) }

// paint makes a word green, yellow or else red.
func (p *page) paint(text string, good, middling bool) string {
	code := "31"
	if good {
		code = "32"
	} else if middling {
		code = "33"
	}
	if !p.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") + " UTC" }

func ago(now, t time.Time) string {
	if d := now.Sub(t); d >= time.Second {
		return span(d) + " ago"
	}
	return "just now"
}

// span writes a duration in at most two units, rounded down: "12 d",
// "1 d 3 h", "16 h", "8 min 20 s".
func span(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units {
		n := d / u.size
		if n == 0 {
			continue
		}
		text := fmt.Sprintf("%d %s", n, u.name)
		if i+1 == len(units) || n >= 10 {
			return text
		}
		if m := (d % u.size) / units[i+1].size; m > 0 {
			text += fmt.Sprintf(" %d %s", m, units[i+1].name)
		}
		return text
	}
	return "0 s"
}

// oneLine keeps the text of a foreign error from breaking the page or the
// terminal.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}
