package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/sys/unix"

	"redis-cert-agent/reload/redistest"
)

// What the tests read of a manifest.
type (
	manifest struct {
		Kind string            `yaml:"kind"`
		Data map[string]string `yaml:"data"`
		Spec struct {
			Template struct {
				Spec podSpec `yaml:"spec"`
			} `yaml:"template"`
		} `yaml:"spec"`
	}
	podSpec struct {
		Security struct {
			FSGroup int `yaml:"fsGroup"`
		} `yaml:"securityContext"`
		Init       []containerSpec  `yaml:"initContainers"`
		Containers []containerSpec  `yaml:"containers"`
		Volumes    []map[string]any `yaml:"volumes"`
	}
	containerSpec struct {
		Name     string   `yaml:"name"`
		Args     []string `yaml:"args"`
		Startup  probe    `yaml:"startupProbe"`
		Ready    probe    `yaml:"readinessProbe"`
		Alive    probe    `yaml:"livenessProbe"`
		Security struct {
			User     int  `yaml:"runAsUser"`
			ReadOnly bool `yaml:"readOnlyRootFilesystem"`
		} `yaml:"securityContext"`
		Mounts []struct {
			Name     string `yaml:"name"`
			Path     string `yaml:"mountPath"`
			ReadOnly bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	probe struct {
		Exec struct {
			Command []string `yaml:"command"`
		} `yaml:"exec"`
	}
)

// readManifest returns the pod and the configuration of the agent in it.
func readManifest(t *testing.T, path string) (spec podSpec, config string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var m manifest
		if err := decoder.Decode(&m); err != nil {
			break
		}
		switch m.Kind {
		case "ConfigMap":
			config = m.Data["config.yaml"]
		case "StatefulSet":
			spec = m.Spec.Template.Spec
		}
	}
	if config == "" || len(spec.Containers) == 0 {
		t.Fatalf("%s has no configuration or no pod", path)
	}
	return spec, config
}

// container returns the container of that name.
func (p podSpec) container(t *testing.T, name string) containerSpec {
	t.Helper()
	all := slices.Concat(p.Init, p.Containers)
	i := slices.IndexFunc(all, func(c containerSpec) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("there is no container %s", name)
	}
	return all[i]
}

// A pod runs the agent as a container of a manifest does, without a container engine: the
// released binary alone in a root that nobody can write to, as the manifest's user, as
// process 1, with the manifest's volumes and no /proc, /dev, /tmp, /etc/passwd or
// resolv.conf.
type pod struct {
	*host
	spec  containerSpec
	group int
	root  string
}

// volume is where the host has a volume. Containers that share one see it at the path at
// which the redis of the test, outside of the root, sees it.
func (p *pod) volume(name string) string { return p.path("volumes", name) }

func startPod(t *testing.T, s *host, spec podSpec, config string) *pod {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may make a root of its own")
	}
	s.must(s.enter())
	p := &pod{host: s, spec: spec.container(t, "redis-cert-agent"), group: spec.Security.FSGroup, root: s.path("root")}
	s.must(os.Chmod(s.dir, 0o755))
	s.must(os.Mkdir(p.root, 0o755))
	s.must(copyFile(releasedBinary(t), filepath.Join(p.root, "redis-cert-agent")))
	shared := map[string]string{}
	for _, m := range spec.container(t, "redis").Mounts {
		shared[m.Name] = m.Path
	}
	for _, m := range p.spec.Mounts {
		s.must(os.MkdirAll(p.volume(m.Name), 0o777))
		if at, ok := shared[m.Name]; ok && m.Name != "secrets" {
			if at != m.Path {
				t.Fatalf("%s is at %s in one container and at %s in another", m.Name, at, m.Path)
			}
			config = strings.ReplaceAll(config, m.Path+"/", p.volume(m.Name)+"/")
		}
	}
	var err error
	s.do(func() { err = p.mount(shared) })
	s.must(err)
	p.write("config", map[string]string{"config.yaml": config})
	return p
}

// mount makes the container's view, in the mount namespace of the host's thread.
func (p *pod) mount(shared map[string]string) error {
	if err := unix.Mount(p.root, p.root, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	for _, m := range p.spec.Mounts {
		at := filepath.Join(p.root, m.Path)
		if _, ok := shared[m.Name]; ok && m.Name != "secrets" {
			at = filepath.Join(p.root, p.volume(m.Name))
		}
		// As kubelet makes an emptyDir, and any volume with an fsGroup.
		if err := os.Chown(p.volume(m.Name), 0, p.group); err != nil {
			return err
		}
		if err := os.Chmod(p.volume(m.Name), os.ModeSetgid|0o777); err != nil {
			return err
		}
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(p.volume(m.Name), at, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		if m.ReadOnly {
			if err := unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
				return err
			}
		}
	}
	if !p.spec.Security.ReadOnly {
		return fmt.Errorf("the manifest lets the root be written to")
	}
	return unix.Mount("", p.root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
}

// write puts files into a volume as kubelet's atomic writer does: into a directory of
// their own that the link ..data leads to after one rename, behind links that stay; the
// directory before is removed at once.
func (p *pod) write(volume string, files map[string]string) {
	p.t.Helper()
	dir := p.volume(volume)
	fresh, err := os.MkdirTemp(dir, time.Now().UTC().Format("..2006_01_02_15_04_05."))
	p.must(err)
	p.must(os.Chmod(fresh, 0o755))
	for name, text := range files {
		p.must(os.WriteFile(filepath.Join(fresh, name), []byte(text), 0o440))
		p.must(os.Chown(filepath.Join(fresh, name), 0, p.group))
	}
	data := filepath.Join(dir, "..data")
	old, _ := os.Readlink(data) // none the first time
	p.must(os.Symlink(filepath.Base(fresh), data+"_tmp"))
	p.must(os.Rename(data+"_tmp", data))
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil && !os.IsExist(err) {
			p.must(err)
		}
	}
	if old != "" {
		p.must(os.RemoveAll(filepath.Join(dir, old)))
	}
}

// command is the container's program with args.
func (p *pod) command(args ...string) *exec.Cmd {
	cmd := exec.Command("/redis-cert-agent", args...)
	cmd.Dir, cmd.Env = "/", []string{"HOSTNAME=redis-0"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: p.root, Cloneflags: syscall.CLONE_NEWPID,
		Credential: &syscall.Credential{Uid: uint32(p.spec.Security.User), Gid: uint32(p.spec.Security.User), Groups: []uint32{uint32(p.group)}},
	}
	return cmd
}

// start starts the container with the manifest's arguments.
func (p *pod) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.path("agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	p.must(err)
	defer log.Close()
	a := &process{cmd: p.command(p.spec.Args...), done: make(chan struct{})}
	a.cmd.Stdout, a.cmd.Stderr = log, log
	p.do(func() { err = a.cmd.Start() })
	p.must(err)
	go func() {
		defer close(a.done)
		_ = a.cmd.Wait() // ProcessState tells
	}()
	p.agent = a
}

// stop ends the container as an engine does, and returns its exit code.
func (p *pod) stop() int {
	p.t.Helper()
	p.must(p.agent.cmd.Process.Signal(syscall.SIGTERM))
	code, err := p.wait()
	p.must(err)
	return code
}

// probe runs a probe and returns its exit code and what it says.
func (p *pod) probe(of probe) (code int, says string) {
	p.t.Helper()
	if len(of.Exec.Command) == 0 || of.Exec.Command[0] != "/redis-cert-agent" {
		p.t.Fatalf("no probe: %q", of.Exec.Command)
	}
	return p.run(of.Exec.Command[1:]...)
}

// run runs the program beside the container's, where the mounts are seen: within do.
func (p *pod) run(args ...string) (code int, says string) {
	cmd := p.command(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run() // ProcessState tells
	if cmd.ProcessState == nil {
		return -1, "it did not start"
	}
	return cmd.ProcessState.ExitCode(), strings.TrimSpace(out.String())
}

// becomes waits until a probe exits with code.
func (p *pod) becomes(of probe, code int) {
	p.t.Helper()
	says := ""
	err := p.until(fmt.Sprintf("%q to exit with %d", of.Exec.Command, code), func() bool {
		var got int
		got, says = p.probe(of)
		return got == code
	})
	if err != nil {
		p.t.Fatalf("%v: it says %q\n%s", err, says, p.logs())
	}
	p.t.Logf("%q exits with %d: %s", of.Exec.Command[1:], code, says)
}

// shows waits until redis shows a leaf.
func (p *pod) shows(pair *redistest.Pair) {
	p.t.Helper()
	err := p.until("redis shows the newest", func() bool {
		chain, err := p.look()
		return err == nil && chain[0].Equal(pair.Leaf())
	})
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.logs())
	}
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}

// probeOf makes a command a probe.
func probeOf(args ...string) (p probe) {
	p.Exec.Command = append([]string{"/redis-cert-agent"}, args...)
	return p
}
