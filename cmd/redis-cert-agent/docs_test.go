package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"redis-cert-agent/agent/journal"
	"redis-cert-agent/cmd/internal/shell"
)

// pages are the README and the documentation.
func pages(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(paths) < 10 {
		t.Fatal(paths, err)
	}
	all := map[string]string{}
	for _, path := range append(paths, "../../README.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(path, "../../")] = string(text)
	}
	return all
}

// A block is what stands between two fences, and its language.
var block = regexp.MustCompile("(?ms)^ *```([a-z]*)\n(.*?)^ *```$")

// Every block of the documentation has a language, and its commands are what this program,
// redis-cert-ca and make take. The scene packaging/e2e/docs.sh runs the blocks for a shell
// on a real host, with all the programs of others in them.
func TestCommandsInDocs(t *testing.T) {
	for name, text := range pages(t) {
		t.Run(name, func(t *testing.T) {
			for _, b := range block.FindAllStringSubmatch(text, -1) {
				switch b[1] {
				case "":
					t.Errorf("this block has no language: sh for commands, console for commands with what they print\n%s", b[2])
				case "sh":
					try(t, b[2])
				case "console":
					for line := range strings.Lines(b[2]) {
						if line, ok := strings.CutPrefix(line, "$ "); ok {
							try(t, line)
						}
					}
				}
			}
			for _, span := range regexp.MustCompile("`((?:redis-cert-agent|make) [^`]*)`").FindAllStringSubmatch(text, -1) {
				try(t, strings.TrimSuffix(strings.ReplaceAll(span[1], "\\|", "|"), "…"))
			}
		})
	}
}

// try says what is wrong with the commands in a text for a shell.
func try(t *testing.T, text string) {
	t.Helper()
	for _, c := range shell.Commands(text) {
		if c[0] == "ssh" && len(c) > 2 {
			c = c[2:] // what runs on the other host
		}
		switch filepath.Base(c[0]) {
		case "redis-cert-agent":
			if err := parses(c); err != nil {
				t.Error(err)
			}
		case "make":
			makefile, err := os.ReadFile("../../Makefile")
			if err != nil || !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(c[1])+`:`).Match(makefile) {
				t.Errorf("%s: there is no such target (%v)", c, err)
			}
		case "journalctl":
			journalQuery(t, c)
		}
	}
}

// journalQuery looks for the kinds of entries and the fields that a query names.
func journalQuery(t *testing.T, c shell.Command) {
	t.Helper()
	fields, err := os.ReadFile("../../docs/journal.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range c[1:] {
		field, value, _ := strings.Cut(word, "=")
		if !strings.HasPrefix(field, "RCA_") && field != "MESSAGE_ID" {
			continue
		}
		if !strings.Contains(string(fields), "| `"+field+"` |") {
			t.Errorf("%s: there is no field %s", c, field)
		}
		if field == "MESSAGE_ID" && !slices.ContainsFunc(journal.Events(), func(e journal.Event) bool { return e.ID == value }) {
			t.Errorf("%s: there is no such kind of entry", c)
		}
	}
}

// docs/README.md names every page, and every link of a page leads to a page and a heading
// that are there.
func TestLinksInDocs(t *testing.T) {
	all := pages(t)
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)
	for name := range all {
		if dir, page := filepath.Split(name); dir == "docs/" && page != "README.md" && !strings.Contains(all["docs/README.md"], "]("+page+")") {
			t.Errorf("docs/README.md does not name %s", page)
		}
		for _, l := range link.FindAllStringSubmatch(all[name], -1) {
			to := name
			if l[1] != "" {
				to = filepath.Join(filepath.Dir(name), l[1])
			}
			if _, err := os.Stat("../../" + to); err != nil {
				t.Errorf("%s leads to %s: %v", name, l[0], err)
			}
			if l[2] != "" && !slices.Contains(anchors(all[to]), l[2]) {
				t.Errorf("%s leads to %s, and there is no such heading", name, l[0])
			}
		}
	}
}

// anchors are those that GitHub makes of the headings of a page.
func anchors(page string) (all []string) {
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		h := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, h[1])
		all = append(all, h)
	}
	return all
}

// The README is for people who have three minutes.
func TestReadmeIsShort(t *testing.T) {
	if n := len(strings.Fields(pages(t)["README.md"])); n > 1000 {
		t.Errorf("README.md has %d words, and 1000 is what one reads in the time: move text to docs/", n)
	}
}

// parses says whether the program takes such a command line: there is such a command, with
// such flags, and as many arguments.
func parses(line shell.Command) error {
	root := newRootCommand()
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Find(line[1:])
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	if cmd.Args == nil {
		return nil
	}
	if err := cmd.Args(cmd, cmd.Flags().Args()); err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	return nil
}

// docs/troubleshooting.md has every kind of problem, every entry of the journal that is a
// warning or worse, and every refusal of Redis that has a remedy. What it quotes is what the
// program says.
func TestTroubleshooting(t *testing.T) {
	page := pages(t)["docs/troubleshooting.md"]
	for file, pattern := range map[string]string{
		"agent/status/problem.go": `(?m)^\t[A-Z]\w+ += "([a-z-]+)"`,
		"reload/answer.go":        `(?m)^\t\{"([^"]+)", Err`,
	} {
		source, err := os.ReadFile("../../" + file)
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(string(source), -1)
		if err != nil || len(found) < 8 {
			t.Fatalf("%s: found %d (%v)", file, len(found), err)
		}
		for _, f := range found {
			if f[1] != "warning" && f[1] != "critical" && !strings.Contains(page, "`"+f[1]) {
				t.Errorf("it does not have `%s` of %s", f[1], file)
			}
		}
	}
	for _, e := range journal.Events() {
		if e.Level >= slog.LevelWarn && !strings.Contains(page, "\n| `"+e.Name+"` |") {
			t.Errorf("it does not have the entry %s", e.Name)
		}
	}
	said := literals(t)
	for _, cell := range regexp.MustCompile("(?m)^\\|(?: `[a-z-]+` \\|)? `([^`]+)`").FindAllStringSubmatch(page, -1) {
		for _, part := range strings.Split(cell[1], "…") {
			part = strings.Trim(strings.ReplaceAll(part, "\\|", "|"), " :;,")
			if len(part) > 12 && !strings.Contains(said, part) {
				t.Errorf("nothing in this program says %q, of %q", part, cell[1])
			}
		}
	}
}

// literals returns what the strings in the program's source have, with … for each verb.
func literals(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{"../../agent", "../../reload", "."} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
					text, _ := strconv.Unquote(l.Value)
					all.WriteString(text + "\n")
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}
