package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxSecret bounds a secret file. systemd's own bound on credentials is one
// megabyte; a key has a few kilobytes.
const maxSecret = 64 << 10

// Secret says where a secret is: a file, or a systemd credential. It never
// holds the secret. The zero Secret is none.
type Secret struct {
	file       string
	credential string // a name below $CREDENTIALS_DIRECTORY
	key        string // the YAML key that names it, for messages
}

// FileSecret is the secret in a file.
func FileSecret(path string) Secret { return Secret{file: path} }

// CredentialSecret is the secret in a systemd credential (systemd.exec(5),
// LoadCredential=).
func CredentialSecret(name string) Secret { return Secret{credential: name} }

// Set tells whether there is a secret to read.
func (s Secret) Set() bool { return s.file != "" || s.credential != "" }

// String tells where the secret is, as the configuration file writes it.
func (s Secret) String() string {
	if s.credential != "" {
		return "credential:" + s.credential
	}
	return s.file
}

// Read reads the secret and strips one trailing newline. It refuses a file
// that others can access, and an empty one. The errors say what to do, and
// never hold any of the secret.
func (s Secret) Read() ([]byte, error) {
	if !s.Set() {
		return nil, errors.New("no secret is configured")
	}
	path, err := s.path()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && s.credential != "" {
		return nil, fmt.Errorf("there is no credential %q; %s", s.credential, s.remedy())
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%s cannot be read by uid %d; give it to this user with chown, or hand it over as a credential", path, os.Geteuid())
	}
	if err != nil {
		return nil, fmt.Errorf("%w; put the secret there, mode 0600", err)
	}
	defer f.Close()
	if err := checkAccess(f, path); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSecret {
		return nil, fmt.Errorf("%s is larger than %d bytes; this is not a secret", path, maxSecret)
	}
	data = stripNewline(data)
	if len(data) == 0 && s.credential != "" {
		// LoadCredential= with SetCredential= as its fallback gives an empty
		// one where the file is missing.
		return nil, fmt.Errorf("the credential %q is empty; %s", s.credential, s.remedy())
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%s is empty; write the secret into it", path)
	}
	return data, nil
}

func (s Secret) path() (string, error) {
	if s.credential == "" {
		return s.file, nil
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return "", fmt.Errorf("there is no credential %q, as systemd passed none to this process; %s", s.credential, s.remedy())
	}
	return filepath.Join(dir, s.credential), nil
}

func (s Secret) remedy() string {
	key := s.key
	if key == "" {
		key = "password_file"
	}
	return fmt.Sprintf("write it to the file that LoadCredential=%s: names in the unit (/etc/redis-cert-agent/%[1]s) and restart the service, or name a file of mode 0600 with %s: /path", s.credential, key)
}

func checkAccess(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file; name a file that holds the secret", path)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return fmt.Errorf("others can access %s (mode %04o); run: chmod %04o %s", path, mode, mode&0o770, path)
	}
	return nil
}

// stripNewline removes one \n or \r\n, as an editor or echo leaves it.
func stripNewline(b []byte) []byte {
	if rest, ok := bytes.CutSuffix(b, []byte("\n")); ok {
		return bytes.TrimSuffix(rest, []byte("\r"))
	}
	return b
}

// optionalCredential is the named credential if systemd passed it and it is
// not empty, else none.
func optionalCredential(name, key string) Secret {
	s := Secret{credential: name, key: key}
	path, err := s.path()
	if err != nil {
		return Secret{}
	}
	if data, err := os.ReadFile(path); errors.Is(err, fs.ErrNotExist) || err == nil && len(stripNewline(data)) == 0 {
		return Secret{}
	}
	return s
}

// parseSecret takes an absolute path, or credential:NAME.
func parseSecret(text, key string) (Secret, error) {
	name, credential := strings.CutPrefix(text, "credential:")
	switch {
	case credential && (name == "" || strings.ContainsAny(name, "/\x00") || name == "." || name == ".."):
		return Secret{}, errors.New("this does not name a credential; write credential:NAME, without slashes")
	case credential:
		return Secret{credential: name, key: key}, nil
	case !filepath.IsAbs(text) || strings.ContainsRune(text, 0):
		return Secret{}, errors.New("this is neither an absolute path nor credential:NAME; the secret itself must not stand here")
	}
	return Secret{file: text, key: key}, nil
}
