package authority

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"redis-cert-agent/agent/plain"

	"github.com/smallstep/certificates/authority/config"
	"go.step.sm/crypto/pemutil"
)

// Rotation is how far an authority has come from one root to the next.
//
// AddRoot, UseRoot and RetireRoot are its steps. Each changes ca.json and takes
// effect when the authority is started the next time. From then on hosts need
// Wait to follow, before the next step is safe.
type Rotation struct {
	InUse Root   // new certificates stand below it
	Added *Root  // hosts are told to trust it as well; nil if there is none
	Old   []Root // no longer used, and still trusted

	// Since is when the authority was first started with these roots; zero if
	// it was not started since the last step.
	Since time.Time

	// Wait is the longest lifetime of a certificate: each is renewed within it,
	// or has expired.
	Wait time.Duration

	dir      string
	crt, key string                     // the files of the intermediate
	rest     map[string]json.RawMessage // the whole of ca.json
}

// Root is one root of an authority.
type Root struct {
	Cert        *x509.Certificate
	Fingerprint string // SHA-256, 64 hex digits
	File        string
}

// AddRoot gives the authority in dir a second root, with an intermediate of its
// own: the first step. Once started, the authority tells hosts of both and signs
// as before, so that every host trusts the new root before it is used. The new
// root lives as long as the one in use.
func AddRoot(dir string) (*Rotation, error) {
	return rotate(dir, "add a root", func(r *Rotation) error {
		if r.Added != nil || len(r.Old) > 0 {
			return errors.New("a rotation is under way: finish it first")
		}
		current := r.InUse.Cert
		name := strings.TrimSuffix(current.Subject.CommonName, " Root CA")
		lifetime := current.NotAfter.Sub(current.NotBefore) - caBackdate
		// The new root is the younger one, also when both are made in the same second.
		now := time.Now()
		if after := current.NotBefore.Add(caBackdate + time.Second); now.Before(after) {
			now = after
		}
		root, err := newRoot(name, now, lifetime)
		if err != nil {
			return err
		}
		intermediate, err := newIntermediate(root, name, now, lifetime)
		if err != nil {
			return err
		}
		r.Added = &Root{Cert: root.cert, Fingerprint: fingerprint(root.cert)}
		r.Added.File = r.file(rootFile, *r.Added)
		return r.write(root, intermediate)
	})
}

// UseRoot makes the authority in dir sign below the root that AddRoot made: the
// second step. The old root remains trusted. Before all hosts had the time to
// learn of the new root it refuses, unless forced.
func UseRoot(dir string, force bool) (*Rotation, error) {
	return rotate(dir, "use the added root", func(r *Rotation) error {
		if r.Added == nil {
			return errors.New("there is none: add it first")
		}
		if err := r.early(); err != nil && !force {
			return err
		}
		r.crt, r.key = r.file(intermediateFile, *r.Added), r.file(intermediateKeyFile, *r.Added)
		if _, err := os.Stat(r.key); err != nil {
			return fmt.Errorf("its intermediate: %w", err)
		}
		r.InUse, r.Added, r.Old = *r.Added, nil, append(r.Old, r.InUse)
		return nil
	})
}

// RetireRoot makes the authority in dir distrust what is no longer used: the
// last step. What was issued below it can no longer be renewed then, so that it
// refuses, unless forced, while there may be such a certificate. Files stay.
func RetireRoot(dir string, force bool) (*Rotation, error) {
	return rotate(dir, "retire the old root", func(r *Rotation) error {
		if len(r.Old) == 0 {
			return errors.New("there is none: add and use a new one first")
		}
		if err := r.early(); err != nil && !force {
			return err
		}
		r.Old = nil
		return nil
	})
}

// early returns why the next step is not safe yet; nil if it is.
func (r *Rotation) early() error {
	if r.Since.IsZero() {
		return fmt.Errorf("the authority was not started since the last step: restart it, and give hosts %s to renew", plain.Span(r.Wait))
	}
	if safe := r.Since.Add(r.Wait); time.Now().Before(safe) {
		return fmt.Errorf("hosts have until %s to renew: wait, or --force it once all of them have", plain.Stamp(safe))
	}
	return nil
}

// rotate reads the rotation in dir, lets change take a step, and writes it.
func rotate(dir, step string, change func(*Rotation) error) (*Rotation, error) {
	r, err := ReadRotation(dir)
	if err == nil {
		err = change(r)
	}
	if err == nil {
		err = r.save()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", step, err)
	}
	r.Since = time.Time{}
	return r, nil
}

// ReadRotation returns how far the authority in dir has come.
func ReadRotation(dir string) (*Rotation, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	cfg, _, err := load(dir)
	if err != nil {
		return nil, err
	}
	r := &Rotation{dir: dir, crt: cfg.IntermediateCert, key: cfg.IntermediateKey, Wait: maxLifetime(cfg)}
	text, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &r.rest); err != nil {
		return nil, fmt.Errorf("parse %s: %w", configFile, err)
	}
	var certs []*x509.Certificate
	for i, path := range cfg.Root {
		cert, err := pemutil.ReadCertificate(path)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
		root := Root{Cert: cert, Fingerprint: fingerprint(cert), File: path}
		switch {
		case i == 0:
			r.InUse = root
		case cert.NotBefore.After(r.InUse.Cert.NotBefore):
			r.Added = &root
		default:
			r.Old = append(r.Old, root)
		}
	}
	r.Since, err = servedSince(dir, certs)
	return r, err
}

// maxLifetime returns the longest lifetime that cfg allows.
func maxLifetime(cfg *config.Config) time.Duration {
	if c := cfg.AuthorityConfig.Claims; c != nil && c.MaxTLSDur != nil {
		return c.MaxTLSDur.Duration
	}
	return config.GlobalProvisionerClaims.MaxTLSDur.Duration
}

// file returns where a file of root stands: that of the first root where Init
// wrote it, that of another with the beginning of its fingerprint.
func (r *Rotation) file(name string, root Root) string {
	path := filepath.Join(r.dir, name)
	if root.File == filepath.Join(r.dir, rootFile) {
		return path
	}
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "_" + root.Fingerprint[:16] + ext
}

// write writes the files of the added root.
func (r *Rotation) write(root, intermediate issuer) error {
	password, err := readSecret(filepath.Join(r.dir, passwordFile))
	if err != nil {
		return err
	}
	rootKey, err := root.keyPEM(password)
	if err != nil {
		return err
	}
	intermediateKey, err := intermediate.keyPEM(password)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		rootFile:            root.certPEM(),
		rootKeyFile:         rootKey,
		intermediateFile:    intermediate.certPEM(),
		intermediateKeyFile: intermediateKey,
	} {
		if err := writeFile(r.file(name, *r.Added), data); err != nil {
			return err
		}
	}
	return nil
}

// save replaces ca.json.
func (r *Rotation) save() error {
	paths := []string{r.InUse.File} // first the one that the intermediate stands below
	if r.Added != nil {
		paths = append(paths, r.Added.File)
	}
	for _, root := range r.Old {
		paths = append(paths, root.File)
	}
	for key, value := range map[string]any{"root": paths, "crt": r.crt, "key": r.key} {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		r.rest[key] = text
	}
	text, err := json.MarshalIndent(r.rest, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(r.dir, configFile), append(text, '\n'))
}

// servedFile lists the roots of the last start, by fingerprint. It is written
// only when they are others than before, so that its time is since when hosts
// can know of them.
const servedFile = "db/served-roots"

func served(roots []*x509.Certificate) []byte {
	var text []byte
	for _, root := range roots {
		text = fmt.Appendln(text, fingerprint(root))
	}
	return text
}

// recordServed notes that an authority in dir has started with these roots.
func recordServed(dir string, roots []*x509.Certificate) error {
	path := filepath.Join(dir, servedFile)
	if text, err := os.ReadFile(path); err == nil && bytes.Equal(text, served(roots)) {
		return nil
	}
	return writeFile(path, served(roots))
}

// servedSince returns when an authority in dir was first started with these
// roots; zero if the last was started with others.
func servedSince(dir string, roots []*x509.Certificate) (time.Time, error) {
	path := filepath.Join(dir, servedFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Equal(text, served(roots)) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
