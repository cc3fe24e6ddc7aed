package metrics

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A table is a set of samples, by metric and by the values of the labels.
type table map[*metric]map[string]*series

// A series is one sample, or one histogram.
type series struct {
	labels  []string // the values; valid UTF-8
	value   float64  // of a histogram: the sum
	buckets []uint64 // of a histogram: how many observations each bound, and at the end infinity, holds
}

// bounds are those of a histogram, in seconds: a reload takes milliseconds, and
// seconds until it is given up.
var bounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// at returns the series of m with these values, a new one when there is none.
func (t table) at(m *metric, values []string) (s *series, fresh bool) {
	clean := make([]string, len(values))
	for i, v := range values {
		clean[i] = strings.ToValidUTF8(v, "\uFFFD")
	}
	key := strings.Join(clean, "\xff") // which no value has
	if t[m] == nil {
		t[m] = map[string]*series{}
	}
	if s = t[m][key]; s != nil {
		return s, false
	}
	s = &series{labels: clean}
	if m.kind == histogram {
		s.buckets = make([]uint64, len(bounds)+1)
	}
	t[m][key] = s
	return s, true
}

func (t table) set(m *metric, value float64, labels ...string) {
	s, _ := t.at(m, labels)
	s.value = value
}

func (t table) add(m *metric, n int, labels ...string) {
	s, _ := t.at(m, labels)
	s.value += float64(n)
}

// setTime sets t, unless it is not known.
func (t table) setTime(m *metric, at time.Time, labels ...string) {
	if !at.IsZero() {
		t.set(m, seconds(at), labels...)
	}
}

// observe adds an observation to a histogram.
func (t table) observe(m *metric, value float64, labels ...string) {
	s, _ := t.at(m, labels)
	s.value += value
	for i := range s.buckets {
		if i == len(bounds) || value <= bounds[i] {
			s.buckets[i]++
		}
	}
}

// forget drops all series of which label has this value.
func (t table) forget(label, value string) {
	value = strings.ToValidUTF8(value, "\uFFFD")
	for m, all := range t {
		i := slices.Index(m.labels, label)
		for key, s := range all {
			if i >= 0 && s.labels[i] == value {
				delete(all, key)
			}
		}
	}
}

func (t table) clone() table {
	c := table{}
	for m, all := range t {
		for _, s := range all {
			to, _ := c.at(m, s.labels)
			to.value = s.value
			copy(to.buckets, s.buckets)
		}
	}
	return c
}

// write writes the text format, version 0.0.4.
// https://prometheus.io/docs/instrumenting/exposition_formats/
func (t table) write(b *bytes.Buffer, agent string) {
	var all []*metric
	for m, samples := range t {
		if len(samples) > 0 {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *metric) int { return strings.Compare(a.name, b.name) })
	agent = strings.ToValidUTF8(agent, "\uFFFD")
	for _, m := range all {
		name := prefix + m.name
		b.WriteString("# HELP " + name + " " + escapeHelp.Replace(m.help) + "\n# TYPE " + name + " " + string(m.kind) + "\n")
		var samples []*series
		for _, s := range t[m] {
			samples = append(samples, s)
		}
		slices.SortFunc(samples, func(a, b *series) int { return slices.Compare(a.labels, b.labels) })
		for _, s := range samples {
			s.write(b, m, agent)
		}
	}
}

func (s *series) write(b *bytes.Buffer, m *metric, agent string) {
	labels := `agent="` + escapeLabel.Replace(agent) + `"`
	for i, name := range m.labels {
		labels += "," + name + `="` + escapeLabel.Replace(s.labels[i]) + `"`
	}
	line := func(suffix, labels, value string) {
		b.WriteString(prefix + m.name + suffix + "{" + labels + "} " + value + "\n")
	}
	if m.kind != histogram {
		line("", labels, number(s.value))
		return
	}
	for i, n := range s.buckets {
		bound := "+Inf"
		if i < len(bounds) {
			bound = number(bounds[i])
		}
		line("_bucket", labels+`,le="`+bound+`"`, strconv.FormatUint(n, 10))
	}
	line("_sum", labels, number(s.value))
	line("_count", labels, strconv.FormatUint(s.buckets[len(bounds)], 10))
}

var (
	escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// seconds is Unix time. UnixNano would not reach the year 9999, in which
// certificates end that never do (RFC 5280, section 4.1.2.5).
func seconds(t time.Time) float64 {
	return float64(t.Unix()) + float64(t.Nanosecond())/1e9
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
