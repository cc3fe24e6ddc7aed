package main

import (
	"strings"
	"testing"

	"redis-cert-agent/agent/config"
)

// A place keeps its identity, and with it what it knows, wherever it stands in
// the list and whatever it is called; it tells nothing of a URL.
func TestTargets(t *testing.T) {
	hook := func(url string) *config.Webhook { return &config.Webhook{URL: url} }
	secretFile := config.FileSecret("/etc/a")
	all := []config.Notify{
		{Webhook: hook("https://a/secret")},
		{Webhook: hook("https://b/secret")},
		{Slack: hook("https://a/secret")},
		{Slack: &config.Webhook{URLFile: secretFile}},
		{PagerDuty: &config.PagerDuty{URL: "https://a/secret", KeyFile: secretFile}},
		{Command: []string{"/tell", "a", "b"}},
		{Command: []string{"/tell", "a b"}},
		{Command: []string{"/tell", "a b"}},
	}
	targets := targetsOf(&config.Config{Notify: all})
	var names []string
	ids := map[string]string{}
	for _, target := range targets {
		names = append(names, target.Name)
		if other, ok := ids[target.ID]; ok {
			t.Errorf("%s and %s are the same", target.Name, other)
		}
		ids[target.ID] = target.Name
		if strings.Contains(target.ID+target.Name, "secret") || len(target.ID) < 16 {
			t.Errorf("%s is known as %s", target.Name, target.ID)
		}
	}
	if got := strings.Join(names, " "); got != "webhook[0] webhook[1] slack[0] slack[1] pagerduty command[0] command[1] command[2]" {
		t.Errorf("names %s", got)
	}
	alone := targetsOf(&config.Config{Notify: all[1:2]})
	if alone[0].Name != "webhook" || alone[0].ID != targets[1].ID {
		t.Errorf("alone it is %+v", alone[0])
	}
}
