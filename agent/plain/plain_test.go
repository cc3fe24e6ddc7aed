package plain

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 999 * time.Millisecond: "0 s", time.Second: "1 s", 80 * time.Second: "1 min 20 s", 600 * time.Second: "10 min",
		time.Hour: "1 h", 90 * time.Minute: "1 h 30 min", 16 * time.Hour: "16 h", 27 * time.Hour: "1 d 3 h", 300 * time.Hour: "12 d",
		400 * 24 * time.Hour: "1 y 35 d", 100000 * 24 * time.Hour: "273 y",
	} {
		if got := Span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// An end in the year 9999 (RFC 5280, section 4.1.2.5) is further away than a
// time.Duration reaches.
func TestBetween(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for want, to := range map[string]time.Time{
		"1 d 3 h": now.Add(27 * time.Hour), "7978 y": time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), "0 s": now,
	} {
		if got := Between(now, to); got != want {
			t.Errorf("%v: %q, want %q", to, got, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	const foreign = " two\r\nlines,\ta tab \x1b[31mred\x7f\u202e \xff"
	if got := OneLine(foreign); got != "two lines, a tab [31mred" {
		t.Errorf("got %q", got)
	}
}

func TestClip(t *testing.T) {
	for text, want := range map[string]string{"": "", "äöü": "äöü", "äöüß": "äö…"} {
		if got := Clip(text, 3); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestHint(t *testing.T) {
	refused := hinting{"redis refused", "give it a password"}
	for want, err := range map[string]error{
		"give it a password": fmt.Errorf("reload: %w", refused),
		"":                   fmt.Errorf("reload: %w; it goes on with the old one", refused),
	} {
		if got := Hint(err); got != want {
			t.Errorf("%v: hint %q, want %q", err, got, want)
		}
	}
	if got := Hint(errors.New("no hint")); got != "" {
		t.Errorf("hint %q of an error that has none", got)
	}
}

type hinting struct{ text, hint string }

func (h hinting) Error() string { return h.text + ": " + h.hint }
func (h hinting) Hint() string  { return h.hint }
