package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"redis-cert-agent/agent/ca/acme"
	"redis-cert-agent/agent/ca/step"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/metrics"
	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/secret"
	"redis-cert-agent/reload"
)

// maxFile bounds a configuration file. A sane one has two kilobytes.
const maxFile = 1 << 20

// Config is a whole configuration, with every default filled in. It holds the
// Options of the packages that use them; the table in keys.go tells what each key
// means.
type Config struct {
	Path     string // the file it was loaded from, as the caller named it
	Instance string
	Control  string       // absolute path of a unix socket
	Pair     pair.Options // with External, of its External
	Issuers  []Issuer     // the next is asked when the one before fails
	External bool         // issuer: none: another program renews the pair
	Names    []string     // DNS names in lower case, IP addresses in canonical form
	KeyType  cert.KeyType // empty: that of the pair before
	ReuseKey bool
	Servers  []reload.Server // that the file names by their address
	Sources  []Source        // of more servers
	Roots    Roots

	ClientPairs []ClientPair

	Usages []string // "server", "client"; nil: find out
	Policy plan.Policy

	ClockWait time.Duration // how long after boot a clock that is not synchronised holds back renewals
	Monitor   Monitor
	Metrics   metrics.Outlets
	Notify    []notify.Target
	Heartbeat *notify.Heartbeat // nil: none
}

// SharedCA returns the file with the CA certificates that clients of this host may read.
func (c *Config) SharedCA() string {
	if !c.External {
		return c.Pair.SharedCA()
	}
	return cmp.Or(c.Pair.Paths.CA, c.Roots.File)
}

// Issuer says who issues the certificates. Exactly one kind is set.
type Issuer struct {
	Step *step.Options
	ACME *acme.Options
}

// Roots says what Redis trusts beside the issuing CA.
type Roots struct {
	File  string        // PEM, or empty
	Exact bool          // ca.crt holds only these and the CA's; else it keeps what it has
	Grace time.Duration // how long a root stays that nobody names nor needs; 0: as roots.Book.Grace says
}

// Monitor says what is watched beside the pair, and when an end is near.
type Monitor struct {
	Files []string // PEM files with certificates that other programs renew, as clients'; absolute paths
	cert.Margins
}

// Load reads the file at path, and checks it and the files and secrets it
// names. When something is wrong the error is a *Faults with one line for each
// fault; when the file cannot be read it is that error.
func Load(path string) (*Config, error) {
	c, d, err := read(path)
	if err != nil {
		return nil, err
	}
	world := d.err() == nil
	c.fileFaults(d)
	if faults := d.all(); faults != nil {
		faults.World = world
		return nil, faults
	}
	c.part()
	return c, nil
}

// LoadWithoutSecrets is Load for a command that only talks to a running
// agent: the secrets and files that the configuration names are not looked at.
func LoadWithoutSecrets(path string) (*Config, error) {
	c, d, err := read(path)
	if err != nil {
		return nil, err
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	c.part()
	return c, nil
}

func read(path string) (*Config, *document, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	c, d := parse(path, data, systemAccounts{})
	return c, d, nil
}

func readFile(path string) ([]byte, error) {
	data, _, err := disk.ReadInTime(path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read configuration: %w; write it there, or name another file with --config", err)
	case errors.Is(err, disk.ErrTooLarge):
		return nil, fmt.Errorf("read configuration: %s is larger than %d bytes; this is not a configuration file", path, maxFile)
	case err != nil:
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return data, nil
}

// parse decodes and checks; the document holds the faults. It reads no file but
// the account databases behind a, and whether systemd passed a password.
func parse(path string, data []byte, a accounts) (*Config, *document) {
	c := defaults(path)
	d := newDocument(path)
	d.accounts = a
	if root := d.root(data); root != nil {
		d.mapping("", root, c.keys())
		c.derive(d)
		c.faults(d)
	}
	return c, d
}

// defaults returns what a file that says nothing means. What follows from
// other keys is filled in by derive.
func defaults(path string) *Config {
	instance := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	if instance == "config" {
		instance = "default"
	}
	return &Config{
		Path:      path,
		Instance:  instance,
		Pair:      pair.DefaultOptions(),
		Policy:    plan.DefaultPolicy(),
		ClockWait: 2 * time.Minute,
		Monitor:   Monitor{Margins: cert.DefaultMargins()},
	}
}

// tokenName is the name of a one-time token in the directory of its pair.
const tokenName = "token"

// TokenFile returns where a one-time token for the pair of that name is looked for; an
// empty name is that of the servers. It is empty where there is no step-ca.
func (c *Config) TokenFile(pair string) string {
	for _, issuer := range c.Issuers {
		switch {
		case issuer.Step != nil && pair == "":
			return issuer.Step.TokenFile
		case issuer.Step != nil:
			return PairToken(issuer.Step.TokenFile, pair)
		}
	}
	return ""
}

// PairToken returns where a one-time token for a client's pair is looked for, beside file,
// that for the servers' pair.
func PairToken(file, pair string) string { return file + "-" + pair }

// Unit is the unit of systemd that runs with this configuration.
func (c *Config) Unit() string {
	name := strings.TrimSuffix(filepath.Base(c.Path), filepath.Ext(c.Path))
	if name == "config" {
		return "redis-cert-agent"
	}
	return "redis-cert-agent@" + name
}

// derive fills in the defaults that follow from what the file says.
func (c *Config) derive(d *document) {
	if !d.Given("directory") {
		c.Pair.Dir = filepath.Join("/var/lib/redis-cert-agent", c.Instance)
	}
	if !d.Given("control") {
		c.Control = filepath.Join("/run/redis-cert-agent", c.Instance, "control.sock")
	}
	if !d.Given("files.group") {
		c.Pair.GID = d.accounts.defaultGroup()
	}
	for i, issuer := range c.Issuers {
		if issuer.ACME != nil {
			issuer.ACME.LimitsFile = filepath.Join(c.Pair.Dir, "acme-limits.json")
		}
		if issuer.ACME != nil && !d.Given(c.issuerField(d, i)+".acme.account_key") {
			issuer.ACME.AccountKeyFile = filepath.Join(c.Pair.Dir, "acme-account.key")
		}
	}
	for i, issuer := range c.Issuers {
		if s := issuer.Step; s != nil {
			field := c.issuerField(d, i) + ".step"
			if !d.Given(field+".token_file") && filepath.IsAbs(c.Pair.Dir) {
				s.TokenFile = filepath.Join(c.Pair.Dir, tokenName)
			}
		}
	}
	for i := range c.Servers {
		s, field := &c.Servers[i], fmt.Sprintf("servers[%d]", i)
		if !d.Given(field+".name") && len(c.Names) > 0 {
			s.Name = c.Names[0]
		}
		if !d.Given(field + ".password_file") {
			s.Password = secret.Credential("redis-password", "password_file").Optional()
		}
	}
	c.derivePairs(d)
	notify.Identify(c.Notify)
}

// Check is [LoadWithoutSecrets] of a text that is not in its file yet.
func Check(path string, text []byte) (*Config, error) {
	c, d := parse(path, text, systemAccounts{})
	if err := d.err(); err != nil {
		return nil, err
	}
	c.part()
	return c, nil
}
