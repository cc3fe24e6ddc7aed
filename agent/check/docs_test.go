package check

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// docs/check.md tells every code, and every key of the JSON.
func TestDocs(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	docs, source, example := read("../../docs/check.md"), read("result.go"), read("testdata/troubled.json.golden")
	codes := regexp.MustCompile(`(?m)^\tCode\w+ += "(.*?)"`).FindAllStringSubmatch(source, -1)
	keys := regexp.MustCompile(`(?m)^ *"(\w+)": `).FindAllStringSubmatch(example, -1)
	if len(codes) < 20 || len(keys) < 20 {
		t.Fatalf("%d codes, %d keys", len(codes), len(keys))
	}
	for _, c := range codes {
		if !strings.Contains(docs, "`"+c[1]+"`") {
			t.Errorf("the code %s is not told", c[1])
		}
	}
	for _, k := range keys {
		if !strings.Contains(docs, `"`+k[1]+`":`) {
			t.Errorf("the key %s is not told", k[1])
		}
	}
}
