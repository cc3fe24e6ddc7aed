package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unwanted are the trees that the agent is kept free of, by the beginning of
// their paths. The CA itself is what an agent that imports its client becomes;
// the rest is what comes along with it.
var unwanted = []string{
	"github.com/smallstep/certificates",
	"github.com/smallstep/nosql",
	"go.step.sm/crypto/kms",
	"go.step.sm/linkedca",
	"github.com/aws/",
	"github.com/Azure/",
	"github.com/AzureAD/",
	"github.com/GoogleCloudPlatform/",
	"github.com/googleapis/",
	"cloud.google.com/",
	"google.golang.org/api",
	"google.golang.org/genproto",
	"google.golang.org/grpc",
	"github.com/hashicorp/vault",
}

// maxBinary bounds the stripped binary, in bytes.
const maxBinary = 16_000_000

func TestLinksNoCAAndNoCloud(t *testing.T) {
	packages := lines(t, "go", "list", "-deps", "-f", "{{.ImportPath}}", ".")
	if len(packages) < 100 {
		t.Fatalf("go list names only %v", packages)
	}
	refuse(t, packages)
}

func TestBinary(t *testing.T) {
	binary := releasedBinary(t)
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxBinary {
		t.Errorf("the binary has %d bytes, more than %d: see `go tool nm -size -sort size` of an unstripped one", info.Size(), maxBinary)
	}

	// What the binary says of itself: "\tdep\tgithub.com/redis/go-redis/v9\tv9.21.0\th1:…".
	var modules []string
	for _, line := range lines(t, "go", "version", "-m", binary) {
		if fields := strings.Fields(line); len(fields) > 1 && (fields[0] == "dep" || fields[0] == "=>") {
			modules = append(modules, fields[1])
		}
	}
	if len(modules) < 5 {
		t.Fatalf("go version -m names only %v", modules)
	}
	refuse(t, modules)
}

// releasedBinary builds the agent as it is released.
func releasedBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "redis-cert-agent")
	flags, err := os.ReadFile("../../packaging/build.flags")
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"build"}, strings.Fields(string(flags))...)
	build := exec.Command("go", append(args, "-ldflags", "-s -w -funcalign=16", "-o", binary, ".")...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// refuse fails for each path that is unwanted.
func refuse(t *testing.T, paths []string) {
	t.Helper()
	for _, path := range paths {
		for _, u := range unwanted {
			if strings.HasPrefix(path+"/", u) {
				t.Errorf("the agent links %s", path)
			}
		}
	}
}

func lines(t *testing.T, name string, args ...string) []string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
