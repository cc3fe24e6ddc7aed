package check

import (
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"redis-cert-agent/agent/plain"
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
	t := table{Page: plain.Page{Color: style.Color}}
	t.row(OK, "LEFT", "ENDS (UTC)", "STATE", "TARGET", "CERTIFICATE", "NAME")
	for _, target := range r.Targets {
		if !style.Faulty || target.State != OK {
			t.target(target, r.Time, style.Faulty)
		}
	}
	if len(t.lines) > 1 { // more than the head
		t.write()
		t.Line("")
	}
	t.Line(t.Paint(r.State.String(), paints[r.State]) + "  " + r.Summary)
	_, err := t.WriteTo(w)
	return err
}

// paints are the colours of the states.
var paints = [...]plain.Paint{OK: plain.Green, Warning: plain.Yellow, Critical: plain.Red, Unknown: plain.Magenta}

// A table is rows of six columns, with findings between them. It is written when
// the width of every column is known.
type table struct {
	plain.Page
	lines []line
	width [5]int // of all columns but the last
}

// A line is a row, or a finding.
type line struct {
	cells   []string
	state   State // of the third cell
	finding *Finding
}

func (t *table) row(s State, cells ...string) {
	for i := range t.width {
		t.width[i] = max(t.width[i], utf8.RuneCountInString(cells[i]))
	}
	t.lines = append(t.lines, line{cells: cells, state: s})
}

// target adds the rows of one target and its findings. CA certificates that are
// well are left out where only faults are asked for: there may be a hundred.
func (t *table) target(r Result, now time.Time, faulty bool) {
	name := r.Target
	if len(r.Certificates) == 0 {
		t.row(r.State, "-", "-", word(r.State), name, "-", "-")
	}
	for _, c := range r.Certificates {
		if faulty && r.Kind == CA && c.State == OK {
			continue
		}
		t.row(c.State, c.remaining(now), c.NotAfter.Format("2006-01-02 15:04"), word(c.State), name, c.Role, c.display())
		name = "" // only the first row of a target names it
	}
	for i := range r.Findings {
		t.lines = append(t.lines, line{finding: &r.Findings[i]})
	}
}

// word is a state as it stands in the table, where only faults are in capitals.
func word(s State) string {
	if s == OK {
		return "ok"
	}
	return s.String()
}

func (t *table) write() {
	for _, l := range t.lines {
		if l.finding != nil {
			t.finding(*l.finding)
			continue
		}
		text := ""
		for i, cell := range l.cells {
			space := ""
			if i < len(t.width) {
				space = strings.Repeat(" ", t.width[i]-utf8.RuneCountInString(cell))
			}
			switch {
			case i == 0: // a number, set to the right
				cell = space + cell
				space = ""
			case i == 2 && cell != "STATE":
				cell = t.Paint(cell, paints[l.state])
			}
			text += cell + space + "  "
		}
		t.Line(strings.TrimRight(text, " "))
	}
}

// finding writes what is wrong, and below it what to do.
func (t *table) finding(f Finding) {
	label := strings.ToLower(f.State.String())
	if f.State == OK {
		label = "note"
	}
	indent := strings.Repeat(" ", t.width[0]+2)
	t.Line(indent + t.Paint(label, paints[f.State]) + ": " + f.Text)
	if f.Remedy != "" {
		t.Line(indent + strings.Repeat(" ", len(label)+2) + f.Remedy)
	}
}
