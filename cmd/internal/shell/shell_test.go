package shell

import (
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	for text, want := range map[string]string{
		"a b":                               "a b",
		"a 'b c' \"d # e\"   # f\n\n# g\nh": "a b c d # e|h",
		"a --x=y \\\n  b | c && d; e":       "a --x=y b|c|d|e",
		"sudo A=b a <c >d 2>&1 e 2> f":      "a e",
		"a 'b|c' |\n  d":                    "a b|c|d",
		"a --if 'x = 1' 'y' && sudo b":      "a --if x = 1 y|b",
		"":                                  "",
		"curl http://a/b?c=d#e":             "curl http://a/b?c=d#e",
	} {
		var got []string
		for _, c := range Commands(text) {
			got = append(got, c.String())
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
