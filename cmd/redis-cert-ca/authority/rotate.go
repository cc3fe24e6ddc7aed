package authority

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/smallstep/certificates/authority/config"
	"go.step.sm/crypto/pemutil"
)

// AddRoot gives the authority in dir a second root, with an intermediate of
// its own, and returns its fingerprint. From the next Start on, clients are
// told of it, and nothing else changes: the first step of a rotation, which
// gives every host the time to trust the new root before it is used.
//
// It lives as long as the root that is in use.
func AddRoot(dir string) (string, error) {
	c, err := readRoots(dir)
	if err != nil {
		return "", fmt.Errorf("add root: %w", err)
	}
	current := c.roots[0].cert
	name := strings.TrimSuffix(current.Subject.CommonName, " Root CA")
	lifetime := current.NotAfter.Sub(current.NotBefore) - caBackdate
	root, err := newRoot(name, time.Now(), lifetime)
	if err != nil {
		return "", fmt.Errorf("add root: %w", err)
	}
	intermediate, err := newIntermediate(root, name, time.Now(), lifetime)
	if err != nil {
		return "", fmt.Errorf("add root: %w", err)
	}
	password, err := readSecret(filepath.Join(dir, passwordFile))
	if err != nil {
		return "", fmt.Errorf("add root: %w", err)
	}
	if err := c.write(root, intermediate, password); err != nil {
		return "", fmt.Errorf("add root: %w", err)
	}
	c.roots = append(c.roots, rootAt{c.at(rootFile, fingerprint(root.cert)), root.cert})
	if err := c.save(); err != nil {
		return "", fmt.Errorf("add root: %w", err)
	}
	return fingerprint(root.cert), nil
}

// UseRoot makes the authority in dir sign, from the next Start on, below the
// root that AddRoot returned. The others remain trusted: the second step.
func UseRoot(dir, fp string) error {
	c, err := readRoots(dir)
	if err != nil {
		return fmt.Errorf("use root: %w", err)
	}
	i := c.index(fp)
	if i < 0 {
		return fmt.Errorf("use root: %s is not a root of %s", fp, dir)
	}
	root := c.roots[i]
	c.roots = slices.Insert(slices.Delete(c.roots, i, i+1), 0, root)
	c.crt, c.key = c.at(intermediateFile, fp), c.at(intermediateKeyFile, fp)
	if err := c.save(); err != nil {
		return fmt.Errorf("use root: %w", err)
	}
	return nil
}

// RemoveRoot makes the authority in dir distrust a root, from the next Start
// on: the last step. What was issued below it can no longer be renewed. Its
// files stay.
func RemoveRoot(dir, fp string) error {
	c, err := readRoots(dir)
	if err != nil {
		return fmt.Errorf("remove root: %w", err)
	}
	i := c.index(fp)
	if i < 0 {
		return fmt.Errorf("remove root: %s is not a root of %s", fp, dir)
	}
	if i == 0 {
		return fmt.Errorf("remove root: %s is in use: use another first", fp)
	}
	c.roots = slices.Delete(c.roots, i, i+1)
	if err := c.save(); err != nil {
		return fmt.Errorf("remove root: %w", err)
	}
	return nil
}

// rootAt is a root certificate and the file it stands in.
type rootAt struct {
	path string
	cert *x509.Certificate
}

// roots is the part of ca.json that a rotation changes. The first root is the
// one that the intermediate in crt and key stands below.
type roots struct {
	dir      string
	roots    []rootAt
	crt, key string
	rest     map[string]json.RawMessage // the whole of ca.json, kept as it is
}

func (c *roots) index(fp string) int {
	return slices.IndexFunc(c.roots, func(r rootAt) bool { return fingerprint(r.cert) == fp })
}

// at returns where a file of the root with this fingerprint stands: that of
// the first root as Init wrote it, those of the others with its beginning.
func (c *roots) at(name, fp string) string {
	path := filepath.Join(c.dir, name)
	if first, err := pemutil.ReadCertificate(filepath.Join(c.dir, rootFile)); err == nil && fingerprint(first) == fp {
		return path
	}
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "_" + fp[:16] + ext
}

func (c *roots) write(root, intermediate issuer, password []byte) error {
	rootKey, err := root.keyPEM(password)
	if err != nil {
		return err
	}
	intermediateKey, err := intermediate.keyPEM(password)
	if err != nil {
		return err
	}
	fp := fingerprint(root.cert)
	for name, data := range map[string][]byte{
		rootFile:            root.certPEM(),
		rootKeyFile:         rootKey,
		intermediateFile:    intermediate.certPEM(),
		intermediateKeyFile: intermediateKey,
	} {
		if err := writeFile(c.at(name, fp), data); err != nil {
			return err
		}
	}
	return nil
}

func readRoots(dir string) (*roots, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, configFile)
	cfg, err := config.LoadConfiguration(file)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c := &roots{dir: dir, crt: cfg.IntermediateCert, key: cfg.IntermediateKey}
	if err := json.Unmarshal(data, &c.rest); err != nil {
		return nil, fmt.Errorf("parse %s: %w", file, err)
	}
	for _, path := range cfg.Root {
		cert, err := pemutil.ReadCertificate(path)
		if err != nil {
			return nil, err
		}
		c.roots = append(c.roots, rootAt{path, cert})
	}
	return c, nil
}

// save replaces ca.json in one step.
func (c *roots) save() error {
	var paths []string
	for _, r := range c.roots {
		paths = append(paths, r.path)
	}
	for key, value := range map[string]any{"root": paths, "crt": c.crt, "key": c.key} {
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		c.rest[key] = data
	}
	data, err := json.MarshalIndent(c.rest, "", "  ")
	if err != nil {
		return err
	}
	file := filepath.Join(c.dir, configFile)
	tmp := file + ".new"
	if err := os.Remove(tmp); err != nil && !os.IsNotExist(err) { // left by a crash
		return err
	}
	if err := writeFile(tmp, append(data, '\n')); err != nil {
		return err
	}
	if err := os.Rename(tmp, file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}
