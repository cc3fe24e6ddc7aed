package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"redis-cert-agent/agent/journal"
)

// entries returns the texts of a message catalog by MESSAGE_ID
// (https://systemd.io/CATALOG).
func entries(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../redis-cert-agent.catalog")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, entry := range strings.Split("\n"+string(text), "\n-- ")[1:] {
		id, body, _ := strings.Cut(entry, "\n")
		if _, twice := all[id]; twice {
			t.Errorf("%s stands there twice", id)
		}
		all[id] = body
	}
	return all
}

// Each message that a person may meet has an entry: a subject, what happened,
// what the agent will do, what you can do.
func TestCatalogHasEveryEvent(t *testing.T) {
	all := entries(t)
	for _, e := range journal.Events() {
		body, ok := all[e.ID]
		if !ok {
			t.Errorf("%s (%s) is missing", e.Name, e.ID)
			continue
		}
		delete(all, e.ID)
		head, text, _ := strings.Cut(body, "\n\n")
		for _, field := range []string{"Subject: ", "Defined-By: redis-cert-agent\n", "Documentation: man:redis-cert-agent"} {
			if !strings.Contains(head, field) {
				t.Errorf("%s: the head has no %q", e.Name, field)
			}
		}
		if n := len(strings.Split(strings.TrimSpace(text), "\n\n")); n < 3 {
			t.Errorf("%s: %d paragraphs, and three things to say", e.Name, n)
		}
		for _, field := range regexp.MustCompile(`@[^@\n]*@`).FindAllString(body, -1) {
			if !regexp.MustCompile(`^@RCA_(INSTANCE|VERSION|SERIAL|NOT_AFTER|NAMES|METHOD|SERVER|ISSUER|PATH|ATTEMPT|NEXT|ERROR|TARGET)@$|^@_SYSTEMD_UNIT@$`).MatchString(field) {
				t.Errorf("%s: %s is no field of the journal", e.Name, field)
			}
		}
	}
	for id := range all {
		t.Errorf("%s is in the catalog and no event of the agent", id)
	}
}

// The manual of the journal lists the same.
func TestJournalManualHasEveryEvent(t *testing.T) {
	text, err := os.ReadFile("../../docs/journal.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|.*\\| `journalctl MESSAGE_ID=([0-9a-f]{32})").FindAllStringSubmatch(string(text), -1)
	got := map[string]string{}
	for _, r := range rows {
		got[r[1]] = r[2]
	}
	for _, e := range journal.Events() {
		if got[e.Name] != e.ID {
			t.Errorf("%s: docs/journal.md has %q, want %s", e.Name, got[e.Name], e.ID)
		}
		delete(got, e.Name)
	}
	for name := range got {
		t.Errorf("docs/journal.md lists %s, which is no event", name)
	}
}
