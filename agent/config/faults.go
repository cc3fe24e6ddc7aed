package config

import (
	"fmt"
	"strings"
)

// Fault is one thing that is wrong in a configuration file.
type Fault struct {
	File  string
	Line  int    // from 1; zero when the fault has no line
	Field string // "servers[1].timeout"; empty for the file as a whole
	Text  string // what is wrong and what to write instead
}

// String returns "file:line: field: text", in one line.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	if f.Field != "" {
		b.WriteString(": " + f.Field)
	}
	b.WriteString(": " + f.Text)
	return b.String()
}

// Faults is everything that is wrong in a configuration file, in the order of
// its lines.
type Faults struct {
	List []Fault

	// World says that the text is right, and what it names is at fault: a secret that
	// is not there, or cannot be read now. That may be mended while the text stays.
	World bool
}

// Error returns one line for each fault.
func (f *Faults) Error() string {
	lines := make([]string, len(f.List))
	for i, fault := range f.List {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}
