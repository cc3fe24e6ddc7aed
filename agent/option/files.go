package option

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"

	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/secret"
)

// maxCertificates bounds what is read of a file of certificates. The bundle of a
// Linux distribution has a quarter of it.
const maxCertificates = 1 << 20

// Secret reports a secret that cannot be read, or that form refuses. What form
// says holds none of it; form may be nil.
func Secret(r Report, field string, s secret.Secret, form func([]byte) error) {
	if !s.Set() {
		return
	}
	data, err := s.Read()
	if err == nil && form != nil {
		err = form(data)
	}
	if err != nil {
		r.Fault(field, "%v", err)
	}
}

// Certificates reports a file without any certificate in PEM. Who uses the file
// judges the rest. An empty path is none.
func Certificates(r Report, field, path string) {
	if path == "" {
		return
	}
	text, err := ReadFile(path)
	if err != nil {
		r.Fault(field, "%v; name a PEM file that this user can read", err)
	} else if !bytes.Contains(text, []byte("CERTIFICATE-----")) { // with one of several labels
		r.Fault(field, "there is no certificate in %s; name a file that has some in PEM", Quote(path))
	}
}

// ReadFile reads a file of certificates, up to a bound.
func ReadFile(path string) ([]byte, error) {
	text, _, err := disk.ReadInTime(path, maxCertificates)
	return text, err
}

// Program reports a program that this process cannot run.
func Program(r Report, field, path string) {
	_, err := exec.LookPath(path)
	var lookup *exec.Error
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		r.Fault(field, "there is no program %s; put it there, or name another", Quote(path))
	case errors.Is(err, fs.ErrPermission):
		r.Fault(field, "%s cannot be executed by uid %d; run: chmod 0755 %s", Quote(path), os.Geteuid(), path)
	case errors.As(err, &lookup):
		r.Fault(field, "%s is not a program: %v; name another", Quote(path), lookup.Err)
	default:
		r.Fault(field, "%s is not a program: %v; name another", Quote(path), err)
	}
}
