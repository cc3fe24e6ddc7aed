package doctor

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"redis-cert-agent/agent/disk"
)

// renewers looks for another program that renews the same files: smallstep's timers,
// certbot, certmonger, cron, and processes that name them.
func (v *visit) renewers(ctx context.Context) {
	files := v.c.Pair.Named()
	ours := []string{files.Cert, files.Key}
	found := v.timers(ctx, ours)
	found = append(found, v.host.mentions(ours, "is in", "/var/lib/certmonger/requests/*", "/etc/letsencrypt/renewal/*.conf", "/etc/cron.d/*", "/etc/crontab", "/var/spool/cron/*", "/var/spool/cron/crontabs/*", "/root/.acme.sh/*/*.conf")...)
	found = append(found, v.host.processes(ours)...)
	if len(found) == 0 {
		v.say(OK, Renewers, "", "no timer, cron job or program that this user can see renews "+files.Cert, "")
		return
	}
	for _, f := range found {
		if v.c.External {
			v.say(OK, Renewers, f.Subject, f.Found+"; the agent only watches", "")
			continue
		}
		v.say(Fault, Renewers, f.Subject, f.Found+", as the agent does: each would replace what the other put there", f.Remedy)
	}
}

// timers returns smallstep's cert-renewer@ timers that renew one of the files.
func (v *visit) timers(ctx context.Context, ours []string) (found []Line) {
	if !v.host.managed() {
		return nil
	}
	text, err := v.host.run(ctx, "systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", "cert-renewer@*.timer")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[2] != "active" {
			continue
		}
		service := strings.TrimSuffix(fields[0], ".timer") + ".service"
		unit, err := v.host.run(ctx, "systemctl", "cat", "--no-pager", service)
		_, instance, _ := strings.Cut(strings.TrimSuffix(fields[0], ".timer"), "@")
		unit = strings.ReplaceAll(unit, "%i", instance)
		if err == nil && mentionsAny([]byte(unit), ours, v.host.root) {
			found = append(found, Line{Subject: fields[0], Found: "it is active and renews " + ours[0], Remedy: "systemctl disable --now " + fields[0] + "; or redis-cert-agent init --from " + strings.TrimSuffix(fields[0], ".timer")})
		}
	}
	return found
}

// mentions returns the files of other renewers that name one of ours.
func (h *host) mentions(ours []string, how string, patterns ...string) (found []Line) {
	for _, pattern := range patterns {
		paths, _ := filepath.Glob(h.path(pattern)) // the patterns are right
		for _, path := range paths {
			text, _, err := disk.ReadInTime(path, 1<<20)
			if err == nil && mentionsAny(text, ours, h.root) {
				name := strings.TrimPrefix(path, h.root)
				found = append(found, Line{Subject: name, Found: ours[0] + " " + how + " it", Remedy: "remove it from " + name + remover(name)})
			}
		}
	}
	return found
}

// remover is the command that takes a file away from its renewer.
func remover(path string) string {
	name := filepath.Base(path)
	switch {
	case strings.Contains(path, "letsencrypt"):
		return ": certbot delete --cert-name " + strings.TrimSuffix(name, ".conf")
	case strings.Contains(path, "certmonger"):
		return ": getcert stop-tracking -i " + name
	}
	return ""
}

// mentionsAny says whether a text names one of the paths, or what it leads to, outside of
// its comments.
func mentionsAny(text []byte, paths []string, root string) bool {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if bytes.HasPrefix(line, []byte("#")) {
			continue
		}
		for _, path := range paths {
			if names(line, path) {
				return true
			}
			if real, err := filepath.EvalSymlinks(root + path); err == nil && names(line, strings.TrimPrefix(real, root)) {
				return true
			}
		}
	}
	return false
}

// names says whether path stands in a line as a whole.
func names(line []byte, path string) bool {
	_, after, ok := bytes.Cut(line, []byte(path))
	return ok && (len(after) == 0 || bytes.IndexByte([]byte("\"' \t\x00,;:)"), after[0]) >= 0)
}

// processes returns programs that run all the time and were told one of our files:
// step ca renew --daemon is one. Servers load it, and this program watches it.
func (h *host) processes(ours []string) (found []Line) {
	dirs, _ := filepath.Glob(filepath.Join(h.places.Proc, "[0-9]*"))
	for _, dir := range dirs {
		line, err := disk.Read(filepath.Join(dir, "cmdline"), 64<<10)
		pid, perr := strconv.Atoi(filepath.Base(dir))
		if err != nil || perr != nil || pid == os.Getpid() || !mentionsAny(line, ours, "") {
			continue
		}
		args := strings.Split(string(line), "\x00")
		program := filepath.Base(args[0])
		if !strings.Contains(string(line), "renew") || strings.HasPrefix(program, "redis-") || strings.HasPrefix(program, "valkey-") {
			continue
		}
		found = append(found, Line{Subject: program + " (pid " + strconv.Itoa(pid) + ")", Found: "it was started to renew " + ours[0], Remedy: "systemctl status " + strconv.Itoa(pid) + ", and stop that unit; or kill " + strconv.Itoa(pid)})
	}
	return found
}
