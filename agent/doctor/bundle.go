package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/daemon"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/journal"
)

// Bundle returns what a bug report needs, as one text that people can read before they
// send it, and no secret: what the doctor found, the status, the last events, the
// configuration without what may be a secret, and the versions of what is around.
//
// Two nets hold secrets back. Nothing is taken in that is made to hold one. And whatever
// the files and credentials hold that the configuration or the unit name is taken out of
// the text, wherever it stands, as are blocks of private keys.
func (r *Report) Bundle(ctx context.Context, o Options) []byte {
	o.host.defaults()
	var b bytes.Buffer
	section := func(name, text string) { fmt.Fprintf(&b, "=== %s\n%s\n\n", name, strings.TrimRight(text, "\n")) }
	section("versions", versions(ctx, o))
	var lines strings.Builder
	for _, l := range r.Lines {
		if l.Check == Configuration || l.Check == Secrets {
			l.Found = regexp.MustCompile(quoted).ReplaceAllString(l.Found, `"…"`) // the value that is wrong may be one that went astray
		}
		_ = l.WriteText(&lines, false) // memory takes it
	}
	section("doctor", lines.String())
	text, secrets, err := config.Redacted(o.Config)
	section("configuration", orError(text, err))
	if c := r.config; c != nil {
		section("status", encoded(r.status))
		records, err := journal.ReadHistory(daemon.HistoryPath(c))
		if err != nil {
			section("history", err.Error())
		} else {
			section("history", encoded(records))
		}
		section("files", listing(c.Pair.Dir))
		unit := c.Unit()
		section("unit", orError(o.host.run(ctx, "systemctl", "show", "--no-pager", "-p", properties, unit)))
		section("journal", orError(o.host.run(ctx, "journalctl", "--no-pager", "-o", "short-iso", "-n", "300", "-u", unit)))
	}
	return o.host.withoutSecrets(ctx, b.Bytes(), r.config, secrets)
}

// Compiled where they are needed: the daemon has no use for them.
const (
	quoted     = `"[^"]*"`
	privateKey = `(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`
	bearer     = `(?i)(bearer|basic|password[=:]|token[=:]) *[^\s"]+`
)

func orError(text string, err error) string {
	if err != nil {
		return text + "(" + err.Error() + ")"
	}
	return text
}

func encoded(v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	return orError(string(text), err)
}

func versions(ctx context.Context, o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "redis-cert-agent %s, %s %s/%s\n", o.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, path := range []string{"/proc/version", "/etc/os-release"} {
		if text, err := disk.Read(o.host.path(path), 4096); err == nil {
			b.Write(text)
		}
	}
	for _, command := range [][]string{{"systemctl", "--version"}, {"redis-server", "--version"}, {"valkey-server", "--version"}} {
		if text, err := o.host.run(ctx, command[0], command[1:]...); err == nil {
			b.WriteString(text)
		}
	}
	return b.String()
}

// listing lists a directory with modes and owners, and no content.
func listing(dir string) string {
	var b strings.Builder
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintln(&b, err)
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil // it has just gone
		}
		target, _ := os.Readlink(path)
		fmt.Fprintf(&b, "%s %s %8d %s %s %s\n", info.Mode(), owner(info), info.Size(), info.ModTime().UTC().Format("2006-01-02T15:04:05Z"), path, target)
		return nil
	})
	return b.String()
}

// leastSecret is the shortest content that is taken for a secret: shorter ones are words
// of the report itself.
const leastSecret = 4

// withoutSecrets takes out of a text what is known to be secret.
func (h *host) withoutSecrets(ctx context.Context, text []byte, c *config.Config, places []string) []byte {
	const removed = "(secret)"
	for _, s := range h.known(ctx, c, places) {
		for _, form := range [][]byte{s, bytes.TrimSpace(s)} {
			if len(form) >= leastSecret {
				text = bytes.ReplaceAll(text, form, []byte(removed))
			}
		}
	}
	text = regexp.MustCompile(privateKey).ReplaceAll(text, []byte(removed))
	return regexp.MustCompile(bearer).ReplaceAll(text, []byte("$1 "+removed))
}

// known returns the content of everything that holds a secret, as far as this user may
// read it: what the configuration names, and what the unit gets.
func (h *host) known(ctx context.Context, c *config.Config, places []string) (secrets [][]byte) {
	paths := map[string]bool{}
	for _, place := range places {
		if name, ok := strings.CutPrefix(place, "credential:"); ok {
			place = filepath.Join(os.Getenv("CREDENTIALS_DIRECTORY"), name)
		}
		paths[place] = true
	}
	patterns := []string{"/etc/redis-cert-agent/*"}
	if c != nil {
		paths[filepath.Join(c.Pair.Dir, "acme-account.key")] = true
		for _, path := range h.credentialFiles(ctx, c.Unit()) {
			paths[path] = true
		}
		patterns = append(patterns, filepath.Join("/run/credentials", c.Unit()+".service", "*"))
	}
	for _, pattern := range patterns {
		found, _ := filepath.Glob(h.path(pattern))
		for _, path := range found {
			if !strings.HasSuffix(path, ".yaml") && !strings.HasSuffix(path, ".example") && !strings.HasSuffix(path, ".pem") && !strings.HasSuffix(path, ".crt") {
				paths[path] = true
			}
		}
	}
	for path := range paths {
		if text, _, err := disk.ReadInTime(path, 64<<10); err == nil {
			secrets = append(secrets, text)
		}
	}
	return secrets
}
