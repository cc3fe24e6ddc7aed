package option

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5s": 5 * time.Second, "2m": 2 * time.Minute, "7d": 168 * time.Hour, "1.5d": 36 * time.Hour,
		"1d12h": 36 * time.Hour, "0s": 0, "0d": 0, "-1d": -24 * time.Hour, "100ms": 100 * time.Millisecond,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "5 sec", "d", "1d-2h", "1dd", "NaNd", "Infd", "1e300d", "999999h999999h", "2m d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
