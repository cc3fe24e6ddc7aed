package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Where the tests of a column of docs/versions.md run.
type column struct {
	suite, server string // of scenes of make e2e; empty: of none
	test          bool   // make test, which CI runs on Debian bookworm
	newer         bool   // make newer
}

var columns = map[string]column{
	"Redis 6.0":  {suite: "bullseye", server: "redis"},
	"Redis 7.0":  {suite: "bookworm", server: "redis", test: true},
	"Redis 8.0":  {suite: "trixie", server: "redis"},
	"Valkey 8.1": {suite: "trixie", server: "valkey"},
	"Redis 8.6":  {newer: true},
	"Valkey 9.1": {newer: true},
}

// scripts are the texts of the scenes of a column, with what they source.
func (c column) scripts(t *testing.T) (all string) {
	scenes := regexp.MustCompile(`(?m)^\s[\w-]+:(\w+):([\w.]+):(\w+)$`).FindAllStringSubmatch(read(t, "../e2e/run.sh"), -1)
	for _, s := range scenes {
		if s[1] != c.suite || s[3] != c.server {
			continue
		}
		script := read(t, "../e2e/"+s[2])
		all += script
		for _, more := range regexp.MustCompile(`(?m)^\. "\$\(dirname "\$0"\)/(\w+\.sh)"$`).FindAllStringSubmatch(script, -1) {
			all += read(t, "../e2e/"+more[1])
		}
	}
	return all
}

// TestVersions holds each cell of docs/versions.md against the tree: what it names is there,
// and runs where the column says.
func TestVersions(t *testing.T) {
	heads, rows := versions(t)
	tree := testNames(t)
	cells := 0
	for _, row := range rows {
		if row[0] == "from" || row[0] == "runs in" {
			continue
		}
		for i, cell := range row[1:] {
			c, ok := columns[heads[i+1]]
			if !ok {
				t.Fatalf("the column %q is not known to this test", heads[i+1])
			}
			if strings.HasPrefix(cell, "— ") {
				continue
			}
			cells++
			names := regexp.MustCompile("`(Test[^`]+)`|\"([^\"]+)\"").FindAllStringSubmatch(cell, -1)
			if len(names) == 0 {
				t.Errorf("%s, %s: %q names nothing", row[0], heads[i+1], cell)
			}
			for _, n := range names {
				if why := c.missing(t, tree, n[1], n[2]); why != "" {
					t.Errorf("%s, %s: %s %s", row[0], heads[i+1], cell, why)
				}
			}
		}
	}
	if cells < 50 {
		t.Errorf("only %d cells were read", cells)
	}
}

// missing says why a test, or else a check, does not show what a column says.
func (c column) missing(t *testing.T, tree []string, test, check string) string {
	scripts := c.scripts(t)
	switch {
	case test == "" && !strings.Contains(scripts, `check "`+check+`"`):
		return "is no check of a scene with " + c.suite + "'s " + c.server
	case test == "":
		return ""
	case !slices.Contains(tree, test):
		return "is not in the tree"
	case c.test:
		return ""
	case c.newer && !c.runsNewer(t, test):
		return "does not run in make newer"
	case !c.newer && !regexp.MustCompile(`(?m)^\s*one \S+ `+regexp.QuoteMeta(test)+`$`).MatchString(scripts):
		return "does not run in tests.sh"
	}
	return ""
}

// runsNewer says whether one of the patterns of make newer is for the test.
func (c column) runsNewer(t *testing.T, test string) bool {
	_, recipe, _ := strings.Cut(read(t, "../../Makefile"), "\nnewer:")
	recipe, _, _ = strings.Cut(recipe, "\n\n")
	name, script, isScript := strings.Cut(test, "/")
	for _, m := range regexp.MustCompile(`-run '([^']+)'`).FindAllStringSubmatch(recipe, -1) {
		pattern, below, hasBelow := strings.Cut(strings.ReplaceAll(m[1], "$$", "$"), "/")
		if regexp.MustCompile(pattern).MatchString(name) && hasBelow == isScript && (!isScript || regexp.MustCompile(below).MatchString(script)) {
			return true
		}
	}
	return false
}

// versions reads the table.
func versions(t *testing.T) (heads []string, rows [][]string) {
	for line := range strings.Lines(read(t, "../../docs/versions.md")) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		var row []string
		for _, cell := range strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|") {
			row = append(row, strings.TrimSpace(cell))
		}
		if heads == nil {
			heads = row
			continue
		}
		if len(row) != len(heads) {
			t.Fatalf("%d cells: %s", len(row), line)
		}
		rows = append(rows, row)
	}
	return heads, rows
}

// testNames are the tests of the tree, and the scripts of TestScripts.
func testNames(t *testing.T) (names []string) {
	for _, dir := range []string{"../../agent", "../../reload", "../../cmd/redis-cert-agent"} {
		files, err := filepath.Glob(dir + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(read(t, f), -1) {
				names = append(names, m[1])
			}
		}
	}
	scripts, err := filepath.Glob("../../cmd/redis-cert-agent/testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts {
		names = append(names, "TestScripts/"+strings.TrimSuffix(filepath.Base(s), ".txtar"))
	}
	return names
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
