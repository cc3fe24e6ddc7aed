package check

import (
	"fmt"
	"io"
	"strings"
)

// service is how the output of a plugin begins.
const service = "REDIS CERT"

// WriteNagios writes the report as a monitoring plugin does
// (Monitoring Plugins Development Guidelines, "Plugin Output for Nagios"): one
// line with the state, the worst fault, and performance data behind a pipe;
// then a line for each fault.
//
// Each certificate is a value of its own: the seconds that are left, with the
// thresholds below which they are a warning and critical.
func (r Report) WriteNagios(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s - %s", service, r.State, field(r.headline()))
	if data := r.perfdata(); data != "" {
		b.WriteString(" | " + data)
	}
	b.WriteByte('\n')
	for _, t := range r.Targets {
		for _, f := range t.Findings {
			if f.State == OK {
				continue
			}
			fmt.Fprintf(&b, "%s: %s: %s", f.State, field(t.Target), field(f.Text))
			if f.Remedy != "" {
				b.WriteString("; " + field(f.Remedy))
			}
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteNagiosFault writes that nothing could be checked, and why.
func WriteNagiosFault(w io.Writer, err error) error {
	first, rest, _ := strings.Cut(err.Error(), "\n")
	text := fmt.Sprintf("%s %s - %s\n", service, Unknown, field(first))
	for line := range strings.Lines(rest) {
		text += field(strings.TrimSpace(line)) + "\n"
	}
	_, werr := io.WriteString(w, text)
	return werr
}

// headline is what a pager shows: the worst fault, or the summary.
func (r Report) headline() string {
	if r.State == OK || len(r.Targets) == 0 {
		return r.Summary
	}
	worst := r.Targets[0]
	text := fmt.Sprintf("%s: %s", worst.Target, worst.Findings[0].Text)
	if len(r.Targets) > 1 {
		text = r.tally() + "; " + text
	}
	return text
}

func (r Report) perfdata() string {
	var all []string
	seen := map[string]bool{} // a label stands for one value
	for _, t := range r.Targets {
		if seen[t.Target] {
			continue
		}
		seen[t.Target] = true
		roles := map[string]int{}
		for _, c := range t.Certificates {
			roles[c.Role]++
			role := c.Role
			if n := roles[c.Role]; n > 1 {
				role += fmt.Sprintf(" %d", n)
			}
			all = append(all, fmt.Sprintf("'%s'=%ds;%d:;%d:", label(t.Target+" "+role), c.SecondsLeft,
				c.NotAfter.Unix()-c.WarnAt.Unix(), c.NotAfter.Unix()-c.CritAt.Unix()))
		}
	}
	return strings.Join(all, " ")
}

// field keeps text off the sign that begins performance data.
func field(s string) string { return strings.ReplaceAll(clean(s), "|", "/") }

// label makes text fit for a label: "can contain any characters except the
// equals sign or single quote (')".
func label(s string) string {
	return strings.NewReplacer("'", "_", "=", "_").Replace(field(s))
}
