// Package option is what the settings of all packages have in common: how a
// package tells what is wrong with its own, and the rules and spellings of values
// that several of them take, such as a path, an address or a time.
//
// A package that uses settings has a type for them with two methods. Faults
// tells, without looking at anything but the values, what cannot work. FileFaults
// looks at the files and secrets that the values name. Package config adds the
// file, the line and the path of the key to what they say; whoever fills the type
// in Go gets the same rules through [Err].
package option

import (
	"errors"
	"fmt"
	"strings"
)

// A Report takes in what is wrong with the fields of some settings. A field is
// named by its configuration key, and by a path where it lies deeper:
// "challenge.dns-01.zone", "command[0]".
type Report interface {
	// Given says whether somebody wrote the field, be it with an empty value.
	Given(field string) bool
	// Fault takes in what is wrong with a field, and what to write instead. The
	// first fault of a field counts; those that only follow from it are dropped.
	Fault(field, format string, args ...any)
}

// Under reports about the fields below field.
func Under(r Report, field string) Report { return under{r, field} }

type under struct {
	Report
	field string
}

func (u under) path(field string) string {
	switch {
	case field == "":
		return u.field
	case strings.HasPrefix(field, "["):
		return u.field + field
	}
	return u.field + "." + field
}

func (u under) Given(field string) bool { return u.Report.Given(u.path(field)) }

func (u under) Fault(field, format string, args ...any) {
	u.Report.Fault(u.path(field), format, args...)
}

// Err returns everything that faults tells about settings that were filled in Go,
// as one error in one line; nil when nothing is wrong.
func Err(faults func(Report)) error {
	l := list{}
	faults(&l)
	if l.texts == nil {
		return nil
	}
	return errors.New(strings.Join(l.texts, "; "))
}

// A list is the Report of settings that no file holds.
type list struct{ texts []string }

func (*list) Given(string) bool { return false }

func (l *list) Fault(field, format string, args ...any) {
	l.texts = append(l.texts, field+": "+fmt.Sprintf(format, args...))
}
