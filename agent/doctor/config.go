package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/agent/daemon"

	"log/slog"
)

// configuration reads the file. Without it nothing else can be looked at.
func (v *visit) configuration() bool {
	c, err := config.LoadWithoutSecrets(v.Config)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			v.say(Fault, Configuration, v.Config, strings.TrimPrefix(strings.TrimSpace(line), v.Config+":"), "")
		}
		return false
	}
	v.c, v.report.Instance, v.report.config = c, c.Instance, c
	what := fmt.Sprintf("instance %s, names %s", c.Instance, strings.Join(c.Names, ", "))
	if c.External {
		what += ", another program renews"
	}
	v.say(OK, Configuration, v.Config, what, "")
	return true
}

// lendCredentials lets this process read the credentials that the unit would get, where
// systemd passed none: root reads the files that the unit names. Only links to them are
// made. It returns what takes them away.
func (v *visit) lendCredentials(ctx context.Context) func() {
	const key = "CREDENTIALS_DIRECTORY"
	files := v.host.credentialFiles(ctx, v.c.Unit())
	if os.Getenv(key) != "" || len(files) == 0 {
		return func() {}
	}
	dir, err := os.MkdirTemp("", v.c.Unit()+"-")
	if err != nil {
		return func() {} // the secrets are missing then, which has a line
	}
	for name, path := range files {
		_ = os.Symlink(path, filepath.Join(dir, name))
	}
	os.Setenv(key, dir)
	return func() {
		os.Unsetenv(key)
		os.RemoveAll(dir)
	}
}

// secrets reads the files and secrets that the configuration names.
func (v *visit) secrets(context.Context) {
	_, err := config.Load(v.Config)
	var faults *config.Faults
	switch {
	case err == nil:
		v.say(OK, Secrets, "", "each secret and file that the configuration names can be read", "")
	case errors.As(err, &faults) && os.Geteuid() != 0:
		v.say(Unknown, Secrets, "", err.Error(), "sudo "+v.command())
	default:
		for line := range strings.Lines(err.Error()) {
			found, remedy := split(strings.TrimPrefix(strings.TrimSpace(line), v.Config+":"), "")
			v.say(Fault, Secrets, "", found, remedy)
		}
	}
}

// command is what was called, to be called again.
func (v *visit) command() string {
	return "redis-cert-agent doctor --config " + v.Config
}

// agent asks the running agent to rehearse, or looks without one.
func (v *visit) agent(ctx context.Context) {
	s, err := control.Dial(v.c.Control).Rehearse(ctx)
	if v.running = err == nil; v.running {
		v.s, v.looked = s, true
		v.say(OK, Agent, "", fmt.Sprintf("it runs (version %s, pid %d), and tried what a renewal needs", s.Version, s.PID), "")
		if s.Version != v.Version {
			v.say(Warning, Agent, "", fmt.Sprintf("it is version %s, and this program %s", s.Version, v.Version), "systemctl restart "+v.c.Unit())
		}
	} else if !errors.Is(err, control.ErrNotRunning) {
		v.say(Unknown, Agent, "", err.Error(), "sudo "+v.command())
	} else {
		start := "redis-cert-agent run --config " + v.Config
		if v.host.managed() {
			start = "systemctl enable --now " + v.c.Unit()
		}
		v.say(Warning, Agent, "", "no agent runs; this command looks for itself", start)
	}
	if !v.running {
		if s, err = daemon.New(v.c, v.Version, slog.New(slog.DiscardHandler)).Examine(ctx); err != nil {
			found, remedy := split(err.Error(), "")
			v.say(Fault, Disk, v.c.Pair.Dir, found, remedy)
			return
		}
		v.s, v.looked = s, true
	}
	v.report.status = v.s
}
