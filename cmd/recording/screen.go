package main

import (
	"bytes"
	"fmt"
	"html"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// A screen has lines of a terminal, each with the time at which it appears.
type screen struct {
	lines []line
	now   time.Duration
}

type line struct {
	at   time.Duration
	text string // with the escape sequences of colours (ECMA-48, SGR)
}

// Between a command and the next one a reader wants to read.
const pause = 1800 * time.Millisecond

// prompt shows a command.
func (s *screen) prompt(command string) {
	if len(s.lines) > 0 {
		s.now += pause
		s.lines = append(s.lines, line{s.now, ""})
	}
	colour := "\x1b[1m"
	if strings.HasPrefix(command, "#") {
		colour = "\x1b[2m"
	}
	s.lines = append(s.lines, line{s.now, "\x1b[2m$\x1b[0m " + colour + command + "\x1b[0m"})
	s.now += 500 * time.Millisecond
}

// print shows what a command printed in that time.
func (s *screen) print(text string, took time.Duration) {
	s.now += took
	text = strings.ReplaceAll(text, "\r\n", "\n")
	for one := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if i := strings.LastIndex(one, "\x1b[K"); i >= 0 {
			one = one[i+3:] // a line of progress that was taken away
		}
		s.lines = append(s.lines, line{s.now, strings.TrimLeft(one, "\r")})
	}
}

// The size of a cell and of the frame, in pixels, and what is cut off.
const (
	cellWidth, cellHeight = 7.83, 18
	frame                 = 16
	columns               = 116
)

const style = `
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace; white-space: pre; fill: #1f2328 }
.back { fill: #f6f8fa; stroke: #d1d9e0 }
.b { font-weight: 600 } .d { fill: #59636e } .r { fill: #cf222e } .g { fill: #1a7f37 } .y { fill: #9a6700 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .back { fill: #0d1117; stroke: #3d444d }
.d { fill: #9198a1 } .r { fill: #ff7b72 } .g { fill: #3fb950 } .y { fill: #d29922 }
}
@keyframes later { from { opacity: 0 } to { opacity: 0 } }
@media (prefers-reduced-motion: reduce) { text { animation: none !important } }
`

// draw draws the screen. Lines appear in the time in which they did and then stay; what
// knows no animation shows all of them.
func (s *screen) draw() []byte {
	var b bytes.Buffer
	width, height := columns*cellWidth+2*frame, float64(len(s.lines)*cellHeight+2*frame)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, "<title>A rotation by hand, on a terminal</title>\n<style>%s</style>\n", style)
	fmt.Fprintf(&b, `<rect class="back" x="0.5" y="0.5" width="%.0f" height="%.0f" rx="6"/>`+"\n", width-1, height-1)
	for i, l := range s.lines {
		if l.text == "" {
			continue
		}
		appear := ""
		if l.at > 0 {
			appear = fmt.Sprintf(` style="animation: later %.1fs step-end"`, l.at.Seconds())
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d"%s>%s</text>`+"\n", frame, frame+13+i*cellHeight, appear, spans(l.text))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

var sgr = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// classes are those of the colours that the program uses.
var classes = map[string]string{"1": "b", "2": "d", "31": "r", "32": "g", "33": "y"}

// spans turns a line with escape sequences into text and tspan elements.
func spans(text string) string {
	var b strings.Builder
	class, left := "", columns
	put := func(part string) {
		if n := utf8.RuneCountInString(part); n > left {
			part = string([]rune(part)[:max(left-1, 0)]) + "…"
		}
		left -= utf8.RuneCountInString(part)
		switch {
		case part == "" || part == "…" && left < 0:
		case class == "":
			b.WriteString(html.EscapeString(part))
		default:
			fmt.Fprintf(&b, `<tspan class="%s">%s</tspan>`, class, html.EscapeString(part))
		}
	}
	for {
		at := sgr.FindStringSubmatchIndex(text)
		if at == nil {
			put(text)
			return b.String()
		}
		put(text[:at[0]])
		class = classes[text[at[2]:at[3]]]
		text = text[at[1]:]
	}
}
