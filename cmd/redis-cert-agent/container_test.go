package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/reload/redistest"
)

const containers = "../../packaging/container/"

// The manifest of the sidecar, run as kubelet would: redis loads what is swapped in the
// Secret, also when one swap follows the other and the files before are gone at once.
func TestContainerSidecar(t *testing.T) {
	t.Parallel()
	s := newPlainHost(t, "sidecar.internal")
	spec, text := readManifest(t, containers+"sidecar.yaml")
	text = strings.NewReplacer("127.0.0.1:6379", s.addr, "redis.default.svc.cluster.local", s.name).Replace(text)
	p := startPod(t, s, spec, text)
	root := redistest.NewRoot(t)
	swap := func(hours int) *redistest.Pair {
		pair := root.Issue(t, redistest.Leaf{Names: []string{s.name, "127.0.0.1"}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Duration(hours) * time.Hour)})
		p.write("tls", map[string]string{"tls.crt": string(pair.CertPEM()), "tls.key": string(pair.KeyPEM()), "ca.crt": string(pair.CAPEM())})
		return pair
	}
	first := swap(20)
	p.write("secrets", map[string]string{"password": secret})
	s.redis = redistest.Start(t, redistest.Options{Addr: s.addr, Password: secret,
		Files: redistest.Files{Cert: p.volume("tls") + "/tls.crt", Key: p.volume("tls") + "/tls.key", CA: p.volume("tls") + "/ca.crt"}})

	p.becomes(p.spec.Ready, 3)
	p.start()
	p.becomes(p.spec.Ready, 0)
	p.becomes(p.spec.Alive, 0)
	p.shows(first)

	p.shows(swap(21))
	for hours := range 20 {
		swap(22 + hours)
	}
	p.shows(swap(50))
	p.becomes(p.spec.Ready, 0)
	left, err := filepath.Glob(p.volume("tls") + "/..2*")
	if err != nil || len(left) != 1 {
		t.Errorf("the volume has %q", left)
	}

	// Who serves nobody is not ready, and alive.
	s.redis.Stop()
	p.becomes(p.spec.Ready, 1)
	p.becomes(p.spec.Alive, 0)
	s.redis.Restart()
	p.becomes(p.spec.Ready, 0)

	// It goes on after a restart of the container, with the same volumes.
	for range 2 {
		if code := p.stop(); code != 0 {
			t.Errorf("SIGTERM: exit %d\n%s", code, s.logs())
		}
		p.start()
		p.becomes(p.spec.Ready, 0)
	}
	p.shows(swap(51))
	p.logged(t)
}

// The manifest of the whole agent: the first certificate, a redis that starts with it, a
// renewal, and a restart of the container that asks for no other.
func TestContainerAgent(t *testing.T) {
	t.Parallel()
	s := newPlainHost(t, "container.internal")
	spec, text := readManifest(t, containers+"agent.yaml")
	text = regexp.MustCompile(`fingerprint: [0-9a-f]+`).ReplaceAllString(text, "fingerprint: "+s.ca.Fingerprint)
	text = regexp.MustCompile(`names: .*`).ReplaceAllString(text, "names: ["+s.name+", 127.0.0.1]")
	text = strings.NewReplacer("127.0.0.1:6379", s.addr, "https://ca.internal:9000", "https://"+s.caRelay.Addr).Replace(text)
	dir := s.path("volumes/state/default")
	p := startPod(t, s, spec, text+"directory: "+dir+"\n")
	p.write("secrets", map[string]string{"password": secret, "provisioner-password": string(s.ca.Password)})
	p.start()
	p.becomes(p.spec.Startup, 0)
	p.becomes(p.spec.Ready, 1)
	s.redis = redistest.Start(t, redistest.Options{Addr: s.addr, Password: secret,
		Files: redistest.Files{Cert: dir + "/current/redis.crt", Key: dir + "/current/redis.key", CA: dir + "/current/ca.crt"}})
	p.becomes(p.spec.Ready, 0)
	p.becomes(probeOf("renew", "--force"), 0)
	p.becomes(p.spec.Ready, 0)
	issued := s.ca.count(s.name)
	if code := p.stop(); code != 0 {
		t.Errorf("SIGTERM: exit %d\n%s", code, s.logs())
	}
	p.start()
	p.becomes(p.spec.Ready, 0)
	if n := s.ca.count(s.name); n != issued || n != 2 {
		t.Errorf("%d certificates before the restart, and %d after it", issued, n)
	}
	p.logged(t)
}

// logged checks that each line is an entry, and none tells of a fault that is still there.
func (p *pod) logged(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(p.path("agent.log"))
	p.must(err)
	events := 0
	for line := range bytes.Lines(text) {
		var entry struct {
			Level, Message, Time string
			ID                   string `json:"message_id"`
		}
		if err := json.Unmarshal(line, &entry); err != nil || entry.Level == "" || entry.Message == "" || entry.Time == "" {
			t.Errorf("no entry: %v: %s", err, line)
		}
		if entry.ID != "" {
			events++
		}
		if bytes.Contains(line, []byte(secret)) {
			t.Errorf("a password: %s", line)
		}
	}
	if events == 0 {
		t.Errorf("no event in the log:\n%s", text)
	}
}

// The image is one static file of at most 20 MB, and what the Dockerfile copies and runs
// is there.
func TestContainerImage(t *testing.T) {
	t.Parallel()
	binary := releasedBinary(t)
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 20e6 {
		t.Errorf("the binary has %d bytes", info.Size())
	}
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Error("the binary needs a loader, and the image has none")
		}
	}
	text, err := os.ReadFile(containers + "Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	user, from := "", ""
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "FROM":
			from = words[1]
		case words[0] == "USER":
			user = words[1]
		case words[0] == "COPY":
			if source := words[len(words)-2]; source != "bin/redis-cert-agent" {
				if _, err := os.Stat("../../" + source); err != nil {
					t.Error(err)
				}
			}
		}
		if i := strings.Index(line, "CMD ["); i >= 0 {
			var words []string
			if err := json.Unmarshal([]byte(line[i+len("CMD "):]), &words); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			accepts(t, words)
		}
	}
	if from != "scratch" || user != "65532:65532" {
		t.Errorf("FROM %s, USER %s", from, user)
	}
}

// accepts checks that the program has the command and the flags of words.
func accepts(t *testing.T, words []string) {
	t.Helper()
	if len(words) > 0 && words[0] == "/redis-cert-agent" {
		words = words[1:]
	}
	cmd, rest, err := newRootCommand().Find(words)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err != nil || !cmd.HasParent() {
		t.Errorf("%q: %v", words, err)
	}
}

// What the examples name is there: commands, flags and keys, and the paths that both
// containers share.
func TestContainerExamples(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sidecar.yaml", "agent.yaml"} {
		spec, text := readManifest(t, containers+name)
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.LoadWithoutSecrets(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c := spec.container(t, "redis-cert-agent")
		for _, words := range [][]string{c.Args, c.Ready.Exec.Command, c.Alive.Exec.Command} {
			accepts(t, words)
		}
		volumes := fmt.Sprint(spec.Volumes)
		for _, m := range c.Mounts {
			if !strings.Contains(volumes, "name:"+m.Name) {
				t.Errorf("%s: there is no volume %s", name, m.Name)
			}
		}
		for _, m := range spec.container(t, "redis").Mounts {
			if m.Name != "data" && !m.ReadOnly {
				t.Errorf("%s: redis can write to %s", name, m.Name)
			}
		}
	}
	text, err := os.ReadFile(containers + "compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Command     []string `yaml:"command"`
			ReadOnly    bool     `yaml:"read_only"`
			Volumes     []string `yaml:"volumes"`
			Healthcheck struct {
				Test []string `yaml:"test"`
			} `yaml:"healthcheck"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	agent := compose.Services["redis-cert-agent"]
	accepts(t, agent.Command)
	accepts(t, agent.Healthcheck.Test[1:])
	if !agent.ReadOnly || agent.Healthcheck.Test[0] != "CMD" {
		t.Errorf("%+v", agent)
	}
	for _, v := range compose.Services["redis"].Volumes {
		if !strings.HasSuffix(v, ":ro") {
			t.Errorf("redis can write to %s", v)
		}
	}
}
