package setup

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"redis-cert-agent/agent/discover"
	"redis-cert-agent/agent/disk"
)

// write is an action that makes a file. One that is there is left as it is.
func write(path string, text []byte, mode fs.FileMode, shows []string) action {
	return action{
		what:   "write " + path,
		shows:  shows,
		done:   func(context.Context) bool { return exists(path) },
		before: func() (entry, error) { return entry{Wrote: &wrote{path, sum(text)}}, nil },
		do: func(context.Context) error {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if mode == 0o600 {
				return disk.Replace(path, text)
			}
			return disk.Share(path, text)
		},
	}
}

// credential is where the unit of an agent looks for a secret.
func (b *builder) credential(name string) string {
	dir := filepath.Dir(b.Config)
	if unit := b.Plan.Config.Unit(); dir == home && strings.Contains(unit, "@") {
		name = b.Plan.Config.Instance + "." + name
	}
	return filepath.Join(dir, name)
}

// secrets plans the files that systemd hands to the agent.
func (b *builder) secrets() {
	if b.Issuer.Password != nil {
		b.add(write(b.credential("provisioner-password"), line(b.Issuer.Password), 0o600, []string{"the password of the provisioner, mode 0600"}))
	}
	if b.passphrase != "" && b.Plan.Config.Pair.Passphrase.Set() {
		b.add(write(b.credential(passphraseFile), line([]byte(b.passphrase)), 0o600, []string{"the passphrase of the key, which is tls-key-file-pass in redis.conf, mode 0600"}))
	}
	switch {
	case b.RedisUser != "":
		b.add(write(b.credential("redis-password"), line(randomPassword()), 0o600, []string{"a password that is made now, of the Redis user " + b.RedisUser + ", mode 0600"}))
	case b.RedisPassword != nil:
		b.add(write(b.credential("redis-password"), line(b.RedisPassword), 0o600, []string{"the password of Redis, mode 0600"}))
	}
}

// passphraseFile is the name of the file, and of the credential, that has the passphrase of
// the key.
const passphraseFile = "key-passphrase"

// passphrase returns the passphrase of the key that the servers have by their files; empty:
// they have none, or their files may not be read.
func passphrase(servers []found) (all string, err error) {
	first := ""
	for _, s := range servers {
		if s.Conf == "" {
			continue
		}
		one, err := discover.Passphrase(s.Conf)
		if err != nil {
			continue // what cannot be read is said elsewhere
		}
		if first != "" && one != all {
			return "", fmt.Errorf("%s and %s have different passphrases for the key (tls-key-file-pass): set up one after the other, each with --server and with --config /etc/redis-cert-agent/NAME.yaml", first, s.Conf)
		}
		first, all = s.Conf, one
	}
	return all, nil
}

func line(secret []byte) []byte { return append(bytes.Clone(secret), '\n') }

// directory plans that the agent has the directory of files that stay where they are, and
// can read what is in it.
func (b *builder) directory() error {
	if b.paths.Cert == "" {
		return nil
	}
	dir, err := dedicated(b.paths, b.servers)
	if err != nil {
		return nil // a person has written this configuration, and knows
	}
	uid, gid, err := accounts(b.group)
	if err != nil {
		return err
	}
	b.give(rights{Path: dir, UID: uid, GID: gid, Mode: 0o750}, "the agent replaces files in it, and "+b.group+" enters it")
	for _, path := range []string{b.paths.Cert, b.paths.Key, b.paths.CA} {
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() { // none yet, or a link already
			continue
		}
		now, err := rightsOf(path)
		if err != nil {
			return err
		}
		b.add(action{what: "let the agent put a link in the place of " + path, done: b.isLink(path), do: nothing,
			before: func() (entry, error) { return entry{Plain: &now}, nil }})
		b.give(rights{Path: path, UID: now.UID, GID: gid, Mode: 0o640}, "the agent reads it, to take it in")
	}
	return nil
}

func nothing(context.Context) error { return nil }

func (b *builder) isLink(path string) func(context.Context) bool {
	return func(context.Context) bool {
		r, err := readRecord(b.Config)
		return err == nil && slices.ContainsFunc(r.Entries, func(e entry) bool { return e.Plain != nil && e.Plain.Path == path })
	}
}

// give is an action that gives a file or directory rights.
func (b *builder) give(want rights, why string) {
	b.add(action{
		what:  fmt.Sprintf("give %s to %s", want.Path, want.names()),
		shows: []string{why},
		done: func(context.Context) bool {
			now, err := rightsOf(want.Path)
			return err == nil && (now == want || now.link())
		},
		before: func() (entry, error) {
			now, err := rightsOf(want.Path)
			return entry{Rights: &now}, err
		},
		do: func(context.Context) error { return want.give() },
	})
}

func (r rights) link() bool {
	info, err := os.Lstat(r.Path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

func (r rights) names() string {
	name, group := strconv.Itoa(r.UID), strconv.Itoa(r.GID)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return fmt.Sprintf("%s:%s, mode %04o", name, group, r.Mode)
}

// accounts returns the ids of the agent's user and of the group that reads the pair. Who
// is not root runs the agent, too.
func accounts(group string) (uid, gid int, err error) {
	if os.Geteuid() != 0 {
		return os.Geteuid(), os.Getegid(), nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: name the one of Redis in files: {group: NAME}", err)
	}
	gid, err = strconv.Atoi(g.Gid)
	if err != nil {
		return 0, 0, err
	}
	u, err := user.Lookup("redis-cert-agent")
	if err != nil {
		return 0, 0, fmt.Errorf("%w: the package makes it", err)
	}
	uid, err = strconv.Atoi(u.Uid)
	return uid, gid, err
}
