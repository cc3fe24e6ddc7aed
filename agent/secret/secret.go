// Package secret says where a secret is, and reads it when it is used.
//
// A configuration names a file or a systemd credential and never holds the
// secret itself, so that a password that is changed in its file takes effect by
// itself and none stays in memory.
package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"redis-cert-agent/agent/disk"
)

// maxSecret bounds a secret file. systemd's own bound on credentials is one
// megabyte; a key has a few kilobytes.
const maxSecret = 64 << 10

// A Secret is where a secret is. The zero Secret is none. Two are equal when
// they were parsed from the same text for the same key.
type Secret struct {
	file       string
	credential string // a name below $CREDENTIALS_DIRECTORY
	key        string // the configuration key that names it, for messages
	read       *func() ([]byte, error)
}

// File is the secret in a file.
func File(path string) Secret { return Secret{file: path} }

// Credential is the secret in a systemd credential (systemd.exec(5),
// LoadCredential=). Key is the configuration key that can name another place;
// the error about a missing credential mentions it.
func Credential(name, key string) Secret { return Secret{credential: name, key: key} }

// Func is the secret that read returns, for callers that have no file.
func Func(read func() ([]byte, error)) Secret { return Secret{read: &read} }

// Set tells whether there is a secret to read.
func (s Secret) Set() bool { return s.file != "" || s.credential != "" || s.read != nil }

// Path returns the file that holds the secret, or "" for a credential.
func (s Secret) Path() string { return s.file }

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
	if s.read != nil {
		return (*s.read)()
	}
	path, err := s.path()
	if err != nil {
		return nil, err
	}
	data, info, err := disk.ReadInTime(path, maxSecret)
	if errors.Is(err, fs.ErrNotExist) && s.credential != "" {
		return nil, fmt.Errorf("there is no credential %q; %s", s.credential, s.remedy())
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%s cannot be read by uid %d; name a credential instead (credential:NAME), which systemd reads as root, or give it to this user with chown", path, os.Geteuid())
	}
	if errors.Is(err, disk.ErrNotRegular) {
		return nil, fmt.Errorf("%s is not a regular file; name a file that holds the secret", path)
	}
	if errors.Is(err, disk.ErrTooLarge) {
		return nil, fmt.Errorf("%s is larger than %d bytes; this is not a secret", path, maxSecret)
	}
	if errors.Is(err, disk.ErrHangs) {
		return nil, fmt.Errorf("%w; put the secret on a disk of this host", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; put the secret there, mode 0600", err)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("others can access %s (mode %04o); run: chmod %04o %s", path, mode, mode&0o770, path)
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

// Text is Read for a secret that is used as a string.
func (s Secret) Text() (string, error) {
	data, err := s.Read()
	return string(data), err
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
	return fmt.Sprintf("write it to the file that LoadCredential=%s: names in the unit (/etc/redis-cert-agent/%s%[1]s) and restart the service, or name a file of mode 0600 with %[3]s: /path", s.credential, instancePrefix(), key)
}

// instancePrefix is what the names of the files begin with that a unit made from
// the template redis-cert-agent@.service loads. systemd names the directory of the
// credentials after the unit.
func instancePrefix() string {
	unit := strings.TrimSuffix(filepath.Base(os.Getenv("CREDENTIALS_DIRECTORY")), ".service")
	if _, instance, found := strings.Cut(unit, "@"); found {
		return instance + "."
	}
	return ""
}

// stripNewline removes one \n or \r\n, as an editor or echo leaves it.
func stripNewline(b []byte) []byte {
	if rest, ok := bytes.CutSuffix(b, []byte("\n")); ok {
		return bytes.TrimSuffix(rest, []byte("\r"))
	}
	return b
}

// Optional returns s, or none when it is a credential that systemd did not pass
// or passed empty.
func (s Secret) Optional() Secret {
	if s.credential == "" {
		return s
	}
	path, err := s.path()
	if err != nil {
		return Secret{}
	}
	if data, _, err := disk.ReadInTime(path, maxSecret); errors.Is(err, fs.ErrNotExist) || err == nil && len(stripNewline(data)) == 0 {
		return Secret{}
	}
	return s
}

// Parse takes an absolute path, or credential:NAME. Key is the configuration
// key under which text stands. The error does not repeat text, which may be the
// secret itself.
func Parse(text, key string) (Secret, error) {
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
