package step

import (
	"os/exec"
	"strings"
	"testing"
)

// The client exists to stay small: all that it may bring into a program beside
// the standard library stands here.
func TestDependencies(t *testing.T) {
	allowed := []string{
		"redis-cert-agent/agent/ca", "redis-cert-agent/agent/ca/step", "redis-cert-agent/agent/cert", "redis-cert-agent/agent/plain",
		"redis-cert-agent/agent/disk", "redis-cert-agent/agent/option", "redis-cert-agent/agent/plan", "redis-cert-agent/agent/secret",
		"go.step.sm/crypto/", "github.com/go-jose/go-jose/v3", "github.com/pkg/errors",
		"filippo.io/edwards25519", "golang.org/x/",
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	list := strings.Fields(string(out))
	if len(list) < 5 {
		t.Fatalf("go list names %v", list)
	}
next:
	for _, path := range list {
		for _, a := range allowed {
			if path == a || strings.HasSuffix(a, "/") && strings.HasPrefix(path, a) || strings.HasPrefix(path, a+"/") && !strings.HasPrefix(a, "redis-cert-agent") {
				continue next
			}
		}
		t.Errorf("imports %s", path)
	}
}
