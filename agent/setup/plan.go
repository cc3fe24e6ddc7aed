package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/discover"
	"redis-cert-agent/agent/pair"
)

// An action is one thing to do.
type action struct {
	what   string   // "write /etc/redis-cert-agent/config.yaml"
	shows  []string // what exactly, a line each
	done   func(context.Context) bool
	before func() (entry, error) // what takes it back; nil: nothing needs to
	do     func(context.Context) error
}

// A Plan is what makes a host ready, in order.
type Plan struct {
	Config *config.Config // that the agent will have
	Notes  []string       // what is left for a person, a paragraph each

	actions []action
}

// New looks at the host and says what is to be done. It changes nothing.
func New(ctx context.Context, o Options, places discover.Places) (*Plan, error) {
	record, err := readRecord(o.Config)
	if err != nil {
		return nil, err
	}
	if len(o.Servers) == 0 {
		o.Servers = record.Servers
	}
	servers, err := choose(ctx, o, places)
	if err != nil {
		return nil, err
	}
	record.Servers = o.Servers
	b := builder{Options: o, Plan: &Plan{}, servers: servers, group: group(servers)}
	if b.passphrase, err = passphrase(servers); err != nil {
		return nil, err
	}
	if err := b.configuration(); err != nil {
		return nil, err
	}
	b.secrets()
	b.renewer()
	if err := b.directory(); err != nil {
		return nil, err
	}
	b.dropIn()
	b.start()
	b.firstCertificate()
	if err := b.redis(); err != nil {
		return nil, err
	}
	b.prove()
	for i := range b.Plan.actions {
		b.Plan.actions[i].remembered(record)
	}
	return b.Plan, nil
}

// remembered puts what takes the action back into the record, before it is done.
func (s *action) remembered(r *record) {
	do, before := s.do, s.before
	if before == nil {
		return
	}
	s.do = func(ctx context.Context) error {
		e, err := before()
		if err != nil {
			return err
		}
		if err := r.add(e); err != nil {
			return err
		}
		return do(ctx)
	}
}

// Show says what Do would do, and returns whether there is anything.
func (p *Plan) Show(ctx context.Context, w io.Writer) bool {
	any := false
	for _, s := range p.actions {
		if s.done(ctx) {
			continue
		}
		any = true
		fmt.Fprintf(w, "will %s\n", s.what)
		for _, line := range s.shows {
			fmt.Fprintf(w, "       %s\n", line)
		}
	}
	return any
}

// Do does what is not done yet, and says each thing when it is. The first that fails ends
// it: another call goes on from there.
func (p *Plan) Do(ctx context.Context, out io.Writer) error {
	w := &inTurn{w: out}
	for _, s := range p.actions {
		if s.done(ctx) {
			fmt.Fprintf(w, "there already: %s\n", s.what)
			continue
		}
		waits := time.AfterFunc(time.Second, func() { fmt.Fprintf(w, "under way: %s\n", s.what) })
		err := s.do(ctx)
		waits.Stop()
		if err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		fmt.Fprintf(w, "done: %s\n", s.what)
	}
	return nil
}

// An inTurn is written to by an action and by who waits for it.
type inTurn struct {
	mu sync.Mutex
	w  io.Writer
}

func (t *inTurn) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w.Write(line)
}

// A builder collects the actions of a plan.
type builder struct {
	Options
	Plan    *Plan
	servers []found
	group   string     // that reads the pair
	paths   pair.Paths // of files that stay where they are; empty: the agent's own

	passphrase string // of the key, which the servers have; empty: none
}

func (b *builder) add(s action) { b.Plan.actions = append(b.Plan.actions, s) }

func (b *builder) note(format string, args ...any) {
	b.Plan.Notes = append(b.Plan.Notes, fmt.Sprintf(format, args...))
}

// configuration plans the file, or takes the one that is there.
func (b *builder) configuration() error {
	used, err := inUse(b.servers)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(b.Config); err == nil {
		c, err := config.LoadWithoutSecrets(b.Config)
		if err != nil {
			return err
		}
		b.Plan.Config, b.paths = c, c.Pair.Paths
		b.place(c)
		return nil
	}
	if err := b.Fault(); err != nil {
		return err
	}
	if used.Cert != "" {
		if _, err := dedicated(used, b.servers); err == nil {
			b.paths = used
		} else {
			b.note("The servers load %s, and that stays so: %v. Let them load the agent's files instead, with the lines that follow.", used.Cert, err)
		}
	}
	text := b.text()
	c, err := config.Check(b.Config, []byte(text))
	if err != nil {
		return fmt.Errorf("what would be written to %s is refused: %w", b.Config, err)
	}
	b.Plan.Config = c
	b.add(write(b.Config, []byte(text), 0o644, strings.Split(strings.TrimSuffix(text, "\n"), "\n")))
	return nil
}

// place gives servers without TLS the address that the configuration has for them.
func (b *builder) place(c *config.Config) {
	for i, s := range b.servers {
		if s.plain && len(c.Servers) == len(b.servers) {
			b.servers[i].address = c.Servers[i].Address
		}
	}
}

// text is the configuration.
func (b *builder) text() string {
	var t strings.Builder
	t.WriteString("# Written by redis-cert-agent init. Every key: man redis-cert-agent.yaml\n")
	t.WriteString(b.Issuer.text(b.secretFile("provisioner-password", b.Issuer.Password != nil)))
	if b.passphrase != "" {
		fmt.Fprintf(&t, "key:\n  passphrase_file: %s\n", scalar(cmp.Or(b.secretFile(passphraseFile, true), "credential:"+passphraseFile)))
	}
	fmt.Fprintf(&t, "names: %s\n", list(b.Names))
	var addresses []string
	for _, s := range b.servers {
		addresses = append(addresses, s.address)
	}
	password := b.secretFile("redis-password", b.RedisUser != "" || b.RedisPassword != nil)
	if b.RedisUser == "" && password == "" {
		fmt.Fprintf(&t, "servers: %s\n", list(addresses))
	} else {
		t.WriteString("servers:\n")
		for _, a := range addresses {
			fmt.Fprintf(&t, "  - address: %s\n", scalar(a))
			optional(&t, "    user", b.RedisUser)
			optional(&t, "    password_file", password)
		}
	}
	if b.paths.Cert != "" {
		fmt.Fprintf(&t, "paths:\n  cert: %s\n  key: %s\n", scalar(b.paths.Cert), scalar(b.paths.Key))
		optional(&t, "  ca", b.paths.CA)
	}
	if b.group != "redis" {
		fmt.Fprintf(&t, "files: {group: %s}\n", scalar(b.group))
	}
	if b.Directory != "" {
		fmt.Fprintf(&t, "directory: %s\ncontrol: %s\n", scalar(b.Directory), scalar(filepath.Join(b.Directory, "control.sock")))
	}
	return t.String()
}

func optional(t *strings.Builder, key, value string) {
	if value != "" {
		fmt.Fprintf(t, "%s: %s\n", key, scalar(value))
	}
}

// secretFile names the file of a secret where the unit does not hand it over; empty: it
// does, or there is none.
func (b *builder) secretFile(name string, given bool) string {
	if !given || filepath.Dir(b.Config) == home {
		return ""
	}
	return filepath.Join(filepath.Dir(b.Config), name)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
