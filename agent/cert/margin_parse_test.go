package cert

import (
	"testing"
	"time"
)

func TestParseMargin(t *testing.T) {
	for text, want := range map[string]Margin{
		"25%": {Share: 0.25}, "21d": {Time: 21 * day}, "25%,21d": {Share: 0.25, Time: 21 * day},
		" 36h , 5% ": {Share: 0.05, Time: 36 * time.Hour}, "0.5%": {Share: 0.005},
	} {
		got, err := ParseMargin(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if again, err := ParseMargin(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q", text, got)
		}
	}
	for _, text := range []string{"", "21", "0d", "-3d", "100%", "0%", "-5%", "25%,10%", "1d,2d", "25%,", "a", "1e9%"} {
		if m, err := ParseMargin(text); err == nil {
			t.Errorf("%q is %+v", text, m)
		}
	}
}
