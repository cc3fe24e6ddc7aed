package authority

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"redis-cert-agent/agent/disk"
)

// Init writes a new authority into o.Dir, mode 0700, and tells about it. Where
// root runs it, the files belong to the owner of that directory.
//
// It refuses a directory that holds anything (ErrExists). When it fails it
// leaves nothing behind; when it is killed it leaves a directory that Start
// refuses and that the next Init clears.
func Init(o InitOptions) (*Info, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("init: %w", err)
	}
	o.Dir = dir
	files, root, err := newFiles(o, time.Now())
	if err != nil {
		return nil, fmt.Errorf("init %s: %w", dir, err)
	}
	if err := install(dir, files, writeFile); err != nil {
		return nil, fmt.Errorf("init %s: %w", dir, err)
	}
	info := &Info{
		Dir:             dir,
		URL:             serverURL(o.DNS[0], o.Address),
		Fingerprint:     fingerprint(root.cert),
		ProvisionerName: o.Provisioner,
		PasswordFile:    PasswordFile(dir),
		RootFile:        filepath.Join(dir, rootFile),
		RootKeyFile:     filepath.Join(dir, rootKeyFile),
		KeyPasswordFile: filepath.Join(dir, passwordFile),
		ConfigFile:      filepath.Join(dir, configFile),
	}
	if o.ACME && info.URL != "" {
		info.ACMEDirectory = info.URL + "/acme/" + acmeName + "/directory"
	}
	return info, nil
}

// newFiles makes the keys, certificates and configuration of an authority and
// returns the files that hold them, by their path below the directory.
func newFiles(o InitOptions, now time.Time) (map[string][]byte, issuer, error) {
	root, err := newRoot(o.Name, now, caLifetime)
	if err != nil {
		return nil, issuer{}, err
	}
	intermediate, err := newIntermediate(root, o.Name, now, caLifetime)
	if err != nil {
		return nil, issuer{}, err
	}
	keyPassword, provisionerPassword := newPassword(), newPassword()
	rootKey, err := root.keyPEM(keyPassword)
	if err != nil {
		return nil, issuer{}, err
	}
	intermediateKey, err := intermediate.keyPEM(keyPassword)
	if err != nil {
		return nil, issuer{}, err
	}
	cfg, err := newConfig(o, provisionerPassword)
	if err != nil {
		return nil, issuer{}, err
	}
	cfgJSON, err := json.MarshalIndent(cfg, "", "  ")
	if err != nil {
		return nil, issuer{}, fmt.Errorf("encode ca.json: %w", err)
	}
	return map[string][]byte{
		rootFile:                root.certPEM(),
		intermediateFile:        intermediate.certPEM(),
		rootKeyFile:             rootKey,
		intermediateKeyFile:     intermediateKey,
		passwordFile:            keyPassword,
		provisionerPasswordFile: provisionerPassword,
		configFile:              append(cfgJSON, '\n'),
	}, root, nil
}

// newPassword returns 256 random bits as 43 printable characters, without a
// newline: some clients take every byte of a password file for the password.
func newPassword() []byte {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand.Read
	return []byte(base64.RawURLEncoding.EncodeToString(b[:]))
}

// serverURL returns the base URL of a server that name leads to and that
// listens on address; "" if address leaves the port open.
func serverURL(name, address string) string {
	_, port, err := net.SplitHostPort(address)
	if port == "0" {
		return "" // Start chooses
	}
	if err != nil || port == "443" {
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		return "https://" + name
	}
	return "https://" + net.JoinHostPort(name, port)
}

// unfinished is the directory that stands in an authority's directory while Init
// writes it. Init makes it only where nothing else is, and removes it last:
// where it stands beside no ca.json, an Init was broken off, and everything
// that is there was written by it.
//
// Nothing is prepared beside the directory and renamed, as the parent often may
// not be written to, and as the directory may be a mount point.
const unfinished = ".init"

// install writes files below dir, ca.json last: without it there is no
// authority. Each file is written by write: writeFile.
func install(dir string, files map[string][]byte, write func(path string, data []byte) error) (err error) {
	made, err := prepare(dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, clear(dir))
			if made {
				os.Remove(dir) // empty now; what clear says is the better error
			}
		}
	}()
	names := slices.Sorted(maps.Keys(files))
	names = append(slices.DeleteFunc(names, func(name string) bool { return name == configFile }), configFile)
	for _, name := range []string{unfinished, "db"} {
		if err := disk.MakeDir(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := write(filepath.Join(dir, name), files[name]); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(dir, unfinished)); err != nil {
		return err
	}
	return disk.SyncDir(dir)
}

// prepare makes dir, or takes an existing one in which nothing stands but what
// a broken-off Init left. It reports whether it made it.
func prepare(dir string) (made bool, err error) {
	err = os.Mkdir(dir, 0o700)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	if _, err := os.Stat(filepath.Join(dir, configFile)); err == nil {
		return false, fmt.Errorf("%w the certificate authority that is there: run it, or choose another directory", ErrExists)
	}
	if err := clear(dir); err != nil {
		return false, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if e.Name() != "lost+found" { // a file system's own
			return false, fmt.Errorf("%w what is there (%s): choose a directory that does not exist yet or is empty", ErrExists, e.Name())
		}
	}
	return false, os.Chmod(dir, 0o700)
}

// clear removes what a broken-off Init left in dir, and nothing else.
func clear(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, unfinished)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range []string{"config", "db", "secrets", "certs", unfinished} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// writeFile puts data at path whole or not at all, mode 0600, in a directory that
// it makes if need be.
func writeFile(path string, data []byte) error {
	if err := disk.MakeDir(filepath.Dir(path)); err != nil {
		return err
	}
	return disk.Replace(path, data)
}
