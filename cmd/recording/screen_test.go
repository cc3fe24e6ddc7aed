package main

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"
)

// A line keeps its text and its colours, is cut at the width of the terminal, and what was
// taken away on the way there does not show.
func TestDraw(t *testing.T) {
	var s screen
	s.prompt("run a && b")
	s.print("agent: \x1b[32mok\x1b[0m <x>\r\nworking, 1 s\r\x1b[Kdone\r\n"+strings.Repeat("é", columns+1)+"\r\n", 300*time.Millisecond)
	svg := string(s.draw())
	for _, want := range []string{
		`<tspan class="d">$</tspan> <tspan class="b">run a &amp;&amp; b</tspan></text>`,
		`>agent: <tspan class="g">ok</tspan> &lt;x&gt;</text>`,
		`style="animation: later 0.8s step-end">done</text>`,
		">" + strings.Repeat("é", columns-1) + "…</text>",
	} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %s in\n%s", want, svg)
		}
	}
	if err := xml.Unmarshal([]byte(svg), new(struct{})); err != nil {
		t.Error(err)
	}
}
