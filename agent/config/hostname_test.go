package config

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestWithHost(t *testing.T) {
	for text, want := range map[string]string{
		"%H":                "redis1.dc2.internal",
		"%l.redis.internal": "redis1.redis.internal",
		"*.%H":              "*.redis1.dc2.internal",
		"redis.internal":    "redis.internal",
		"%h":                "", // a home directory for systemd
		"50%":               "",
	} {
		got, err := withHost(text, "Redis1.DC2.internal.")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
}

// One file is for all hosts.
func TestNamesOfTheHost(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	short, _, _ := strings.Cut(strings.ToLower(host), ".")
	text := strings.Replace(Minimal, "[redis1.internal]", `["%l.redis.internal", 10.0.0.5]`, 1)
	c, err := Check("config.yaml", []byte(text))
	if err != nil || !slices.Equal(c.Names, []string{short + ".redis.internal", "10.0.0.5"}) {
		t.Errorf("%v, %v", c, err)
	}
	_, err = Check("config.yaml", []byte(strings.Replace(Minimal, "[redis1.internal]", `["%h"]`, 1)))
	const want = `names[0]: "%h" has a % that stands for nothing: %H is the name of this host`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
