package check

import (
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// page is what docs/check.md says.
var page = sync.OnceValue(func() string {
	text, err := os.ReadFile("../../docs/check.md")
	if err != nil {
		panic(err)
	}
	return string(text)
})

// documented says whether the table of findings has a code. The tests ask it of
// each finding that they provoke.
func documented(code string) bool {
	_, table, _ := strings.Cut(page(), "\n## Findings\n")
	table, _, _ = strings.Cut(table, "\n## ")
	return strings.Contains(table, "`"+code+"`")
}

// docs/check.md shows every key of the JSON.
func TestDocsShowJSON(t *testing.T) {
	example, err := os.ReadFile("testdata/troubled.json.golden")
	if err != nil {
		t.Fatal(err)
	}
	keys := regexp.MustCompile(`(?m)^ *"(\w+)": `).FindAllSubmatch(example, -1)
	if len(keys) < 20 {
		t.Fatalf("%d keys", len(keys))
	}
	for _, k := range keys {
		if !strings.Contains(page(), `"`+string(k[1])+`":`) {
			t.Errorf("docs/check.md does not have the key %s", k[1])
		}
	}
}
