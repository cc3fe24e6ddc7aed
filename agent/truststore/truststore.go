// Package truststore puts root certificates into the store of the system, where most
// programs of a host look for what they trust, and takes them out.
package truststore

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/plain"
)

// A Store is the directory in which a distribution takes certificates of
// administrators, and the programs that make its bundles of them.
type Store struct {
	Dir     string
	suffix  string   // of a certificate's file
	added   []string // what is run after files were added
	removed []string // what is run after files were removed
}

// The two kinds of store, as update-ca-certificates(8) of Debian and update-ca-trust(8)
// of Fedora describe them.
var stores = []Store{
	{"/usr/local/share/ca-certificates", ".crt", []string{"update-ca-certificates"}, []string{"update-ca-certificates", "--fresh"}},
	{"/etc/pki/ca-trust/source/anchors", ".pem", []string{"update-ca-trust"}, []string{"update-ca-trust"}},
}

// System returns the store of this host.
func System() (Store, error) {
	for _, s := range stores {
		if _, err := exec.LookPath(s.added[0]); err == nil {
			return s, nil
		}
	}
	return Store{}, errors.New("this host has neither update-ca-certificates nor update-ca-trust: install the package ca-certificates")
}

// path is the file of a root of an instance.
func (s Store) path(instance string, root *x509.Certificate) string {
	return filepath.Join(s.Dir, prefix(instance)+cert.FingerprintOf(root).String()[:digits]+s.suffix)
}

// digits of a root's fingerprint tell its file from those of other roots.
const digits = 16

func prefix(instance string) string { return "redis-cert-agent@" + instance + "." }

// made says whether the store has a file of that name for an instance. The length
// matters: what begins with the name of one instance may belong to another.
func (s Store) made(instance, name string) bool {
	rest, ours := strings.CutPrefix(name, prefix(instance))
	rest, whole := strings.CutSuffix(rest, s.suffix)
	return ours && whole && len(rest) == digits && strings.Trim(rest, "0123456789abcdef") == ""
}

// Install makes the roots of an instance those that the system trusts for it: the
// missing ones come, those that are no longer among them go. It makes the bundles anew
// also when no file changed, since that may be what failed the last time.
func (s Store) Install(ctx context.Context, instance string, roots []*x509.Certificate) (changed bool, err error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return false, err
	}
	keep := map[string]bool{}
	for _, root := range roots {
		path := s.path(instance, root)
		keep[path] = true
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
		if old, err := disk.Read(path, int64(len(text))+1); err == nil && bytes.Equal(old, text) {
			continue
		}
		if err := disk.Share(path, text); err != nil {
			return changed, err
		}
		changed = true
	}
	gone, err := s.remove(instance, keep)
	if err != nil {
		return changed, err
	}
	command := s.added
	if gone {
		command = s.removed
	}
	return changed || gone, update(ctx, command)
}

// Uninstall takes out what Install put there for an instance, and says whether there was
// anything.
func (s Store) Uninstall(ctx context.Context, instance string) (changed bool, err error) {
	changed, err = s.remove(instance, nil)
	if err != nil {
		return changed, err
	}
	return changed, update(ctx, s.removed)
}

// remove removes the files of an instance that are not to be kept.
func (s Store) remove(instance string, keep map[string]bool) (changed bool, err error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	for _, e := range entries {
		path := filepath.Join(s.Dir, e.Name())
		if !s.made(instance, e.Name()) || keep[path] {
			continue
		}
		if rerr := os.Remove(path); rerr != nil {
			err = errors.Join(err, rerr)
			continue
		}
		changed = true
	}
	return changed, err
}

// update makes the bundles anew. It runs without a shell.
func update(ctx context.Context, command []string) error {
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, plain.Clip(plain.OneLine(string(out)), 500))
	}
	return nil
}
