package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxFile bounds a configuration file. A sane one has two kilobytes.
const maxFile = 1 << 20

// Config is a whole configuration, with every default filled in. Reference
// tells what each key means.
type Config struct {
	Path      string // the file it was loaded from, as the caller named it
	Instance  string
	Directory string   // absolute
	Control   string   // absolute path of a unix socket
	Issuers   []Issuer // the next is asked when the one before fails; none with MonitorOnly
	Names     []string // DNS names in lower case, IP addresses in canonical form
	Key       Key
	Servers   []Server
	Paths     Paths
	Files     Files
	Roots     Roots
	Usages    []string // "server", "client"; nil: find out
	Keep      int
	Jitter    float64 // a fraction of the lifetime: 0.05 is 5%
	ClockWait time.Duration

	MonitorOnly bool // issuer: none: another hand renews
	Monitor     Monitor
	Metrics     Metrics
	Notify      []Notify
	Heartbeat   *Heartbeat // nil: none
}

// Key says what private key a new certificate gets.
type Key struct {
	Type  string // one of KeyTypes
	Reuse bool
}

// Server is one Redis on this host.
type Server struct {
	Address            string // host:port, TLS
	Name               string // what the served certificate is verified against
	Control            string // "unix:/path", "plain:host:port", or empty: Address
	User               string
	Password           Secret
	ClientCert         string // path, or empty
	ClientKey          Secret
	ConfigCommand      string
	InsecureSkipVerify bool
	Timeout            time.Duration
}

// Paths are plain files that an existing redis.conf names; empty when it
// names the agent's own directory.
type Paths struct {
	Cert, Key, CA string
}

// Files says who owns what the agent writes.
type Files struct {
	UID, GID int // -1: leave the agent's own
	Mode     fs.FileMode
}

// Roots says what Redis trusts beside the issuing CA.
type Roots struct {
	File   string // PEM, or empty
	Policy string // "merge" or "exact"
}

// KeyTypes lists the values of key.type, the default first.
var KeyTypes = []string{"ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519"}

// Load reads the file at path, and checks it and the files and secrets it
// names. When something is wrong the error is a *Faults with one line for each
// fault; when the file cannot be read it is that error.
func Load(path string) (*Config, error) {
	c, d, err := read(path)
	if err != nil {
		return nil, err
	}
	checkFiles(c, d)
	if err := d.err(); err != nil {
		return nil, err
	}
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
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read configuration: %w; write it there, or name another file with --config", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read configuration: %s is larger than %d bytes; this is not a configuration file", path, maxFile)
	}
	return data, nil
}

// parse decodes and validates; the document holds the faults. It reads no
// file but the account databases behind a.
func parse(path string, data []byte, a accounts) (*Config, *document) {
	c := defaults(path)
	d := newDocument(path)
	if root := d.root(data); root != nil {
		d.decode(c, root, a)
		derive(c, d, a)
		validate(c, d)
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
		Key:       Key{Type: KeyTypes[0]},
		Files:     Files{UID: -1, GID: -1, Mode: 0o640},
		Roots:     Roots{Policy: "merge"},
		Keep:      3,
		Jitter:    0.05,
		ClockWait: 2 * time.Minute,
		Monitor:   DefaultMonitor(),
	}
}

func defaultServer() Server {
	return Server{ConfigCommand: "CONFIG", Timeout: 5 * time.Second}
}

// derive fills in the defaults that follow from what the file says.
func derive(c *Config, d *document, a accounts) {
	if !d.has("directory") {
		c.Directory = filepath.Join("/var/lib/redis-cert-agent", c.Instance)
	}
	if !d.has("control") {
		c.Control = filepath.Join("/run/redis-cert-agent", c.Instance, "control.sock")
	}
	if !d.has("files.group") {
		c.Files.GID = a.defaultGroup()
	}
	for i, issuer := range c.Issuers {
		field := issuerField(d, i, len(c.Issuers)) + ".acme.account_key"
		if issuer.ACME != nil && !d.has(field) {
			issuer.ACME.AccountKey = filepath.Join(c.Directory, "acme-account.key")
		}
	}
	for i := range c.Servers {
		s, field := &c.Servers[i], fmt.Sprintf("servers[%d]", i)
		if !d.has(field+".name") && len(c.Names) > 0 {
			s.Name = c.Names[0]
		}
		if !d.has(field + ".password_file") {
			s.Password = optionalCredential("redis-password", "password_file")
		}
	}
}
