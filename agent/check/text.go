package check

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Style says how text is written for people.
type Style struct {
	Color  bool
	Faulty bool // leave out the targets and the CA certificates that are well
}

// WriteText writes the report for people: one line for each certificate, the
// time left first, under each target what is wrong with it and what to do, and
// a summary.
func (r Report) WriteText(w io.Writer, style Style) error {
	p := page{Style: style}
	p.row("LEFT", "ENDS (UTC)", "STATE", "TARGET", "CERTIFICATE", "NAME")
	for _, t := range r.Targets {
		if style.Faulty && t.State == OK {
			continue
		}
		p.target(t)
	}
	text := p.render()
	if len(p.lines) == 1 {
		text = "" // a head without a table
	} else {
		text += "\n"
	}
	text += p.paint(r.State, r.State.String()) + "  " + r.Summary + "\n"
	_, err := io.WriteString(w, text)
	return err
}

// page is a table, and text between its lines.
type page struct {
	Style
	lines []line
	width [5]int // of all columns but the last
}

type line struct {
	cells   []string // of a row
	state   State    // of its third cell
	finding *Finding // otherwise
}

func (p *page) row(cells ...string) { p.stated(OK, cells...) }

func (p *page) stated(s State, cells ...string) {
	for i := range p.width {
		p.width[i] = max(p.width[i], utf8.RuneCountInString(cells[i]))
	}
	p.lines = append(p.lines, line{cells: cells, state: s})
}

func (p *page) target(t Result) {
	name := t.Target
	if len(t.Certificates) == 0 {
		p.stated(t.State, "-", "-", word(t.State), name, "-", "-")
	}
	for _, c := range t.Certificates {
		if p.Faulty && t.Kind == CA && c.State == OK {
			continue // there may be a hundred
		}
		p.stated(c.State, c.remaining(), c.NotAfter.Format("2006-01-02 15:04"), word(c.State), name, c.Role, c.display())
		name = "" // once is enough
	}
	for i := range t.Findings {
		p.lines = append(p.lines, line{finding: &t.Findings[i]})
	}
}

// word is a state as it stands in the table, where only faults are loud.
func word(s State) string {
	if s == OK {
		return "ok"
	}
	return s.String()
}

func (p *page) render() string {
	var b strings.Builder
	margin := p.width[0] + 2
	for _, l := range p.lines {
		if l.finding != nil {
			p.finding(&b, margin, *l.finding)
			continue
		}
		var text strings.Builder
		for i, cell := range l.cells {
			last := i == len(p.width)
			space := ""
			if !last {
				space = strings.Repeat(" ", p.width[i]-utf8.RuneCountInString(cell))
			}
			switch {
			case i == 0: // a number, set to the right
				text.WriteString(space + cell + "  ")
			case last:
				text.WriteString(cell)
			case i == 2 && cell != "STATE":
				text.WriteString(p.paint(l.state, cell) + space + "  ")
			default:
				text.WriteString(cell + space + "  ")
			}
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
	return b.String()
}

// finding writes what is wrong, and below it what to do.
func (p *page) finding(b *strings.Builder, margin int, f Finding) {
	label := strings.ToLower(f.State.String())
	if f.State == OK {
		label = "note"
	}
	indent := strings.Repeat(" ", margin)
	fmt.Fprintf(b, "%s%s: %s\n", indent, p.paint(f.State, label), f.Text)
	if f.Remedy != "" {
		fmt.Fprintf(b, "%s%s%s\n", indent, strings.Repeat(" ", len(label)+2), f.Remedy)
	}
}

// paint gives a word the colour of a state: green, yellow, red, magenta.
func (p *page) paint(s State, text string) string {
	if !p.Color {
		return text
	}
	code := [...]string{OK: "32", Warning: "33", Critical: "31", Unknown: "35"}[s]
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
