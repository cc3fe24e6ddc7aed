package notify

import (
	"strings"
	"testing"

	"redis-cert-agent/agent/secret"
)

// A target keeps its identity, and with it the memory of what it was told, wherever it
// stands in the list. The identity tells nothing of a URL.
func TestTargets(t *testing.T) {
	hook := func(url string) Service { return Service{URL: url} }
	secretFile := secret.File("/etc/a")
	targets := []Target{
		{Sender: Webhook{hook("https://a/secret")}},
		{Sender: Webhook{hook("https://b/secret")}},
		{Sender: Slack{hook("https://a/secret")}},
		{Sender: Slack{Service{URLFile: secretFile}}},
		{Sender: PagerDuty{hook("https://a/secret"), secretFile}},
		{Sender: Command{Args: []string{"/tell", "a", "b"}}},
		{Sender: Command{Args: []string{"/tell", "a b"}}},
		{Sender: Command{Args: []string{"/tell", "a b"}}},
	}
	Identify(targets)
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
	alone := []Target{{Sender: targets[1].Sender}}
	Identify(alone)
	if alone[0].Name != "webhook" || alone[0].ID != targets[1].ID {
		t.Errorf("alone it is %+v", alone[0])
	}
}
