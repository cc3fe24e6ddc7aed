package acme

import (
	"os/exec"
	"strings"
	"testing"
)

// All that the client may bring into a program beside the standard library.
func TestDependencies(t *testing.T) {
	allowed := []string{
		"redis-cert-agent/agent/ca", "redis-cert-agent/agent/ca/acme", "redis-cert-agent/agent/ca/ratelimit", "redis-cert-agent/agent/cert", "redis-cert-agent/agent/disk", "redis-cert-agent/agent/plain", "redis-cert-agent/agent/plan",
		"redis-cert-agent/agent/option", "redis-cert-agent/agent/secret",
		"github.com/mholt/acmez/v3", "github.com/mholt/acmez/v3/acme", "github.com/miekg/dns",
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	list := strings.Fields(string(out))
	if len(list) < len(allowed) {
		t.Fatalf("go list names %v", list)
	}
next:
	for _, path := range list {
		for _, a := range allowed {
			if path == a || strings.HasPrefix(path, "golang.org/x/") {
				continue next
			}
		}
		t.Errorf("imports %s", path)
	}
}
