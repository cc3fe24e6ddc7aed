package notify

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"redis-cert-agent/agent/secret"
)

// A place is reached without a message, and a secret URL stays out of what is said.
func TestReach(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	dir := t.TempDir()
	roots, hook := filepath.Join(dir, "roots.pem"), filepath.Join(dir, "hook")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(roots, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	write(hook, server.URL+"/hooks/very-secret")
	for _, tt := range []struct {
		name  string
		s     Sender
		fault string // empty: none
	}{
		{"webhook", Webhook{Service{URL: server.URL, RootsFile: roots}}, ""},
		{"a secret URL", Slack{Service{URLFile: secret.File(hook), RootsFile: roots}}, ""},
		{"other roots", Slack{Service{URLFile: secret.File(hook)}}, "certificate signed by unknown authority"},
		{"nobody listens", Webhook{Service{URL: "https://127.0.0.1:1/hooks/very-secret"}}, "connection refused"},
		{"no token", Webhook{Service{URL: server.URL, RootsFile: roots, TokenFile: secret.File(filepath.Join(dir, "none"))}}, "no such file"},
		{"no key", PagerDuty{Service: Service{URL: server.URL, RootsFile: roots}, KeyFile: secret.File(filepath.Join(dir, "none"))}, "no such file"},
		{"a command", Command{Args: []string{"/bin/true"}}, ""},
		{"no command", Command{Args: []string{"/nowhere/true"}}, "does not run"},
	} {
		found, err := Reach(t.Context(), tt.s)
		text := found
		if err != nil {
			text = err.Error()
		}
		if (err == nil) != (tt.fault == "") || !strings.Contains(text, tt.fault) || strings.Contains(text, "very-secret") {
			t.Errorf("%s: %q, %v", tt.name, found, err)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
