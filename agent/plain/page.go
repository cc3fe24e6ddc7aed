package plain

import (
	"fmt"
	"io"
	"strings"
)

// A Page is text for people: lines, and rows of a label and a value.
type Page struct {
	Color bool // words may be painted
	text  strings.Builder
}

// Line adds a line.
func (p *Page) Line(text string) { p.text.WriteString(text + "\n") }

// Row adds a label and its value, in two columns.
func (p *Page) Row(label, value string) { p.Line(fmt.Sprintf("%-13s%s", label, value)) }

// A Paint is the colour of a word.
type Paint string

// Green is for what is well, yellow for what can wait, red for what cannot, and
// magenta for what is not known.
const (
	Green   Paint = "32"
	Yellow  Paint = "33"
	Red     Paint = "31"
	Magenta Paint = "35"
)

// Paint returns text in a colour, where the page has colours.
func (p *Page) Paint(text string, c Paint) string {
	if !p.Color {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// WriteTo writes the page to w. It implements io.WriterTo.
func (p *Page) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, p.text.String())
	return int64(n), err
}
