package doctor

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"redis-cert-agent/agent/discover"
)

// A host is what is asked beside the agent: the service manager and files.
type host struct {
	root   string // before absolute paths of the system; empty: none
	places discover.Places
	// run returns what a command prints. The error says that there is no such command, or
	// that it failed.
	run func(ctx context.Context, name string, args ...string) (string, error)
}

func (h *host) defaults() {
	if h.run == nil {
		h.run = output
	}
	if h.places.Proc == "" {
		h.places = discover.Usual()
	}
}

// commandLimit bounds one command of the system.
const commandLimit = 10 * time.Second

func output(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	text, err := cmd.Output()
	return string(text), err
}

// path is where an absolute path of the system is.
func (h *host) path(path string) string { return filepath.Join(h.root, path) }

// managed says whether systemd runs this host, as sd_booted(3) does.
func (h *host) managed() bool {
	_, err := os.Stat(h.path("/run/systemd/system"))
	return err == nil
}

// A unit is what systemd says of one, by the names of its properties.
type unit map[string]string

// properties are those that matter here.
const properties = "Id,LoadState,ActiveState,SubState,UnitFileState,Result,FragmentPath,DropInPaths,User,Group,SupplementaryGroups," +
	"ProtectSystem,ProtectHome,ReadWritePaths,ReadOnlyPaths,InaccessiblePaths,StateDirectory,RuntimeDirectory,ConfigurationDirectory," +
	"RootDirectory,PrivateTmp,PrivateUsers,DynamicUser,MainPID,NRestarts"

// show asks systemd for a unit; nil where it cannot be asked, or knows none of that name.
func (h *host) show(ctx context.Context, name string) unit {
	if !h.managed() {
		return nil
	}
	text, err := h.run(ctx, "systemctl", "show", "--no-pager", "-p", properties, name)
	if err != nil {
		return nil
	}
	u := unit{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			u[key] = value
		}
	}
	if u["LoadState"] == "not-found" {
		return nil
	}
	return u
}

// writable says whether the sandbox of the unit lets its processes write to path, as far
// as systemd.exec(5) decides that.
func (u unit) writable(path string) bool {
	under := func(list, before string) bool {
		for entry := range strings.FieldsSeq(list) {
			entry = strings.TrimLeft(entry, "-+")
			if before != "" {
				entry = filepath.Join(before, entry)
			}
			if within(path, entry) {
				return true
			}
		}
		return false
	}
	if under(u["InaccessiblePaths"], "") {
		return false
	}
	if under(u["ReadWritePaths"], "") || under(u["StateDirectory"], "/var/lib") || under(u["RuntimeDirectory"], "/run") || under(u["ConfigurationDirectory"], "/etc") {
		return true
	}
	home := within(path, "/home") || within(path, "/root") || within(path, "/run/user")
	if home && u["ProtectHome"] != "no" && u["ProtectHome"] != "" || under(u["ReadOnlyPaths"], "") {
		return false
	}
	switch u["ProtectSystem"] {
	case "strict":
		return within(path, "/dev") || within(path, "/proc") || within(path, "/sys")
	case "full":
		return !within(path, "/usr") && !within(path, "/boot") && !within(path, "/efi") && !within(path, "/etc")
	case "yes":
		return !within(path, "/usr") && !within(path, "/boot") && !within(path, "/efi")
	}
	return true
}

// within says whether path is dir, or below it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// credentialFiles returns the files that a unit loads credentials from, by the name of the
// credential. Systemctl show does not print them, so that the unit's text is read.
func (h *host) credentialFiles(ctx context.Context, name string) map[string]string {
	if !h.managed() || os.Geteuid() != 0 {
		return nil
	}
	text, err := h.run(ctx, "systemctl", "cat", "--no-pager", name)
	if err != nil {
		return nil
	}
	_, instance, _ := strings.Cut(name, "@")
	files := map[string]string{}
	for line := range strings.Lines(text) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "LoadCredential=")
		credential, path, both := strings.Cut(value, ":")
		if ok && both && filepath.IsAbs(path) {
			files[credential] = strings.NewReplacer("%i", instance, "%I", instance).Replace(path)
		}
	}
	return files
}

// units looks at the agent's own unit.
func (v *visit) units(ctx context.Context) {
	name := v.c.Unit()
	if !v.host.managed() {
		v.say(OK, Unit, name, "this host has no systemd: whatever starts the agent has to start it again", "")
		return
	}
	v.unit = v.host.show(ctx, name)
	u := v.unit
	state := u["ActiveState"] + " (" + u["SubState"] + "), " + u["UnitFileState"]
	switch {
	case u == nil:
		v.say(Warning, Unit, name, "systemd has no such unit", "install the package, or the unit in systemd/ of the source")
	case u["ActiveState"] == "failed":
		v.say(Fault, Unit, name, state+", result "+u["Result"], "journalctl -u "+name+" -n 50")
	case u["UnitFileState"] == "disabled":
		v.say(Warning, Unit, name, state+": it does not start at the next boot", "systemctl enable "+name)
	case u["ActiveState"] != "active":
		v.say(Warning, Unit, name, state, "systemctl start "+name)
	default:
		v.say(OK, Unit, name, state+", user "+u["User"]+", group "+u["Group"], "")
	}
}
