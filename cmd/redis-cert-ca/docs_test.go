package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"redis-cert-agent/cmd/internal/shell"
)

// The commands that the documentation shows are what this program takes.
func TestCommandsInDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		// Blocks for a shell, and commands within a sentence.
		for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$|`(redis-cert-ca [^`…]*)`").FindAllStringSubmatch(string(text), -1) {
			for _, line := range shell.Commands(m[1] + m[2]) {
				if line[0] != "redis-cert-ca" {
					continue
				}
				seen++
				cmd, rest, err := newRootCommand().Find(line[1:])
				if err == nil {
					err = cmd.ParseFlags(rest)
				}
				if err == nil && cmd.Args != nil {
					err = cmd.Args(cmd, cmd.Flags().Args())
				}
				if err != nil || len(line) > 1 && !cmd.HasParent() {
					t.Errorf("%s: %s: %v", page, line, err)
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("%d commands were found", seen)
	}
}

// Every command's help has examples.
func TestHelpHasExamples(t *testing.T) {
	root := newRootCommand()
	for _, cmd := range append(root.Commands(), root) {
		if !regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(cmd.CommandPath())).MatchString(cmd.Example) {
			t.Errorf("%s has no example of itself: %q", cmd.CommandPath(), cmd.Example)
		}
	}
}
