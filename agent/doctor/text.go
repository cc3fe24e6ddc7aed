package doctor

import (
	"fmt"
	"io"
	"strings"

	"redis-cert-agent/agent/plain"
)

// split parts an error from the remedy that it ends with.
func split(text, hint string) (found, remedy string) {
	if hint != "" {
		return strings.TrimSuffix(strings.TrimSuffix(text, hint), ": "), hint
	}
	// Errors of this program end with what to do, after the last of these.
	for _, between := range []string{"; "} {
		if i := strings.LastIndex(text, between); i > 0 {
			return text[:i], text[i+len(between):]
		}
	}
	return text, ""
}

// paint is the colour of a state.
var paint = map[State]plain.Paint{OK: plain.Green, Warning: plain.Yellow, Fault: plain.Red, Unknown: plain.Magenta}

// WriteText writes a line for people.
func (l Line) WriteText(w io.Writer, color bool) error {
	p := &plain.Page{Color: color}
	state := p.Paint(string(l.State), paint[l.State]) + strings.Repeat(" ", len(Warning)-len(l.State))
	text := l.Found
	if l.Subject != "" {
		text = l.Subject + ": " + text
	}
	p.Line(fmt.Sprintf("%s  %-13s  %s", state, l.Check, text))
	if l.Remedy != "" {
		p.Line(fmt.Sprintf("%24s%s", "", "→ "+l.Remedy))
	}
	_, err := p.WriteTo(w)
	return err
}

// WriteSummary writes how many lines there are of each kind.
func (r *Report) WriteSummary(w io.Writer, color bool) error {
	n := map[State]int{}
	for _, l := range r.Lines {
		n[l.State]++
	}
	p := &plain.Page{Color: color}
	var parts []string
	for _, state := range []State{OK, Warning, Fault, Unknown} {
		if n[state] > 0 {
			parts = append(parts, p.Paint(fmt.Sprintf("%d %s", n[state], state), paint[state]))
		}
	}
	p.Line("")
	p.Line(strings.Join(parts, ", "))
	_, err := p.WriteTo(w)
	return err
}

// WriteText writes the whole report for people.
func (r *Report) WriteText(w io.Writer, color bool) error {
	for _, l := range r.Lines {
		if err := l.WriteText(w, color); err != nil {
			return err
		}
	}
	return r.WriteSummary(w, color)
}
