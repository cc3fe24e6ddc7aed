package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// The bounds, by the mean load.
const (
	maxPeak = 1.2
	// Twice the mean cannot be had together with quick retries after a short outage: the
	// page says why.
	maxReturn = 2.5
)

// results are all courses of one run. The template of the page reads them.
type results struct {
	Agents  int
	Seed    uint64
	Courses []course
}

// A Figure is one promise and what came of it.
type Figure struct {
	Name, Value, Target string
	Met                 bool
}

// Figures returns all promises.
func (r results) Figures() (all []Figure) {
	for _, c := range r.Courses {
		if c.Compared {
			continue
		}
		all = append(all, Figure{c.Name + ": certificates that ended", fmt.Sprint(c.Expired), "0", c.Expired == 0})
		if c.Limit == 0 {
			all = append(all, atMost(c.Name+": peak by mean", c.Peak(), maxPeak))
		}
		if c.Outage.any() && c.Limit == 0 {
			all = append(all, atMost(c.Name+": peak of the return by mean", c.Return(), maxReturn))
		}
	}
	return all
}

func atMost(name string, value, bound float64) Figure {
	return Figure{name, fmt.Sprintf("%.2f", value), fmt.Sprintf("≤ %.2f", bound), value <= bound}
}

// missed prints all figures and says whether one was missed.
func (r results) missed() (missed bool) {
	for _, f := range r.Figures() {
		verdict := "met"
		if !f.Met {
			verdict, missed = "MISSED", true
		}
		fmt.Fprintf(os.Stderr, "fleet: %-6s  %s: %s (%s)\n", verdict, f.Name, f.Value, f.Target)
	}
	return missed
}

//go:embed page.md.tmpl
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"f":     func(x float64) string { return fmt.Sprintf("%.2f", x) },
	"days":  func(d time.Duration) string { return fmt.Sprintf("%.0f d", d.Hours()/24) },
	"short": func(d time.Duration) string { return strings.TrimSuffix(d.Round(time.Minute).String(), "0s") },
}).Parse(pageText))

// write writes the page to the file at path and the picture beside it. An empty path
// stands for standard output, without the picture.
func (r results) write(path string) error {
	var page strings.Builder
	if err := pageTemplate.Execute(&page, r); err != nil {
		return err
	}
	if path == "" {
		fmt.Print(page.String())
		return nil
	}
	picture, err := r.draw()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "fleet-load.svg"), picture, 0o644); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(page.String()), 0o644)
}
