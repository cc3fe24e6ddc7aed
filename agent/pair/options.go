package pair

import (
	"bytes"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"redis-cert-agent/agent/option"
	"redis-cert-agent/agent/secret"
)

// Paths are the files that an existing redis.conf names, as absolute paths.
// Cert and Key are both set or both empty. CA may be empty.
type Paths struct{ Cert, Key, CA string }

func (p Paths) byRole() [3]string {
	paths := [3]string{certRole: p.Cert, keyRole: p.Key, caRole: p.CA}
	for r, path := range paths {
		if path != "" {
			paths[r] = filepath.Clean(path)
		}
	}
	return paths
}

// Options say where the agent's own pair lives and who may read it.
type Options struct {
	Dir   string      // the directory of this pair alone; made with mode 0751 when missing
	Paths Paths       // plain files that lead into Dir; may be empty
	UID   int         // owner of the files; -1: the agent's user, or the owner of Dir when the agent is root
	GID   int         // group of files and directories; -1: left to the system
	Mode  fs.FileMode // of the files; 0 means 0640; others never get access
	Keep  int         // how many previous generations Prune leaves

	// Passphrase opens keys that are encrypted, and new ones are encrypted with it; none:
	// they are not.
	Passphrase secret.Secret

	OpenParent bool // Dir may lie in directories that others can write to
}

// ExternalOptions say where the files are that another program renews.
type ExternalOptions struct {
	Dir   string // the agent's own directory; made with mode 0751 when missing
	GID   int    // its group; -1: left to the system
	Paths Paths  // the files; Cert and Key are set, and may be one file

	Passphrase secret.Secret // opens the key where it is encrypted

	OpenParent bool // as in Options
}

// External returns the options for files that another program renews at o.Paths.
func (o Options) External() ExternalOptions {
	return ExternalOptions{Dir: o.Dir, GID: o.GID, Paths: o.Paths, Passphrase: o.Passphrase, OpenParent: o.OpenParent}
}

const defaultMode = 0o640

// DefaultOptions returns what holds where nothing is said. The directory has no
// default here.
func DefaultOptions() Options { return Options{UID: -1, GID: -1, Mode: defaultMode, Keep: 3} }

// Faults tells what cannot work. Fields have the names of the configuration.
func (o Options) Faults(r option.Report) {
	option.Absolute(r, "directory", o.Dir)
	o.Paths.faults(r)
	seen := map[string]string{}
	for _, f := range o.Paths.fields() {
		if other, ok := seen[filepath.Clean(f.path)]; ok && f.path != "" {
			r.Fault(f.field, "%s is already %s; the agent writes each into a file of its own", option.Quote(f.path), other)
		}
		seen[filepath.Clean(f.path)] = f.field
	}
	switch m := o.Mode; {
	case m == 0 && !r.Given("files.mode"):
	case m&0o007 != 0:
		r.Fault("files.mode", "\"%04o\" lets everybody read the private key; write \"0640\" or \"0600\"", m)
	case m&^0o660 != 0:
		r.Fault("files.mode", "\"%04o\" makes a key executable; write \"0640\" or \"0600\"", m)
	case m&0o400 == 0:
		r.Fault("files.mode", "\"%04o\" keeps the agent itself from reading; write \"0640\" or \"0600\"", m)
	}
	if o.Keep < 0 || o.Keep == 0 && r.Given("keep") {
		r.Fault("keep", "%d previous generations leave nothing to roll back to; write 1 or more", o.Keep)
	}
}

// mostPassphrase is what OpenSSL takes (PEM_BUFSIZE).
const mostPassphrase = 1024

// FileFaults looks at the passphrase, which field names.
func (o Options) FileFaults(r option.Report, field string) {
	option.Secret(r, field, o.Passphrase, func(text []byte) error {
		switch {
		case len(text) > mostPassphrase:
			return fmt.Errorf("%s holds %d bytes, and redis takes a passphrase of %d at most", o.Passphrase, len(text), mostPassphrase)
		case bytes.ContainsAny(text, "\x00\r\n"):
			return fmt.Errorf("%s holds more than one line: a passphrase of redis is one", o.Passphrase)
		}
		return nil
	})
}

// Faults tells what cannot work. One file may hold certificate, key and CA, as
// other programs want it, since it is only read.
func (o ExternalOptions) Faults(r option.Report) {
	option.Absolute(r, "directory", o.Dir)
	if o.Paths.Cert == "" && o.Paths.Key == "" {
		r.Fault("paths.cert", "missing; without an issuer the agent watches the files that another program renews: write the tls-cert-file of redis.conf, and its tls-key-file as paths.key")
	}
	o.Paths.faults(r)
}

type pathField struct{ field, path string }

func (p Paths) fields() []pathField {
	return []pathField{{"paths.cert", p.Cert}, {"paths.key", p.Key}, {"paths.ca", p.CA}}
}

func (p Paths) faults(r option.Report) {
	given := func(f pathField) bool { return f.path != "" || r.Given(f.field) }
	all := p.fields()
	cert, key, ca := given(all[0]), given(all[1]), given(all[2])
	if (key || ca) && !cert {
		r.Fault("paths.cert", "missing; certificate and key go together: write the tls-cert-file of redis.conf")
	}
	if (cert || ca) && !key {
		r.Fault("paths.key", "missing; certificate and key go together: write the tls-key-file of redis.conf")
	}
	for _, f := range all {
		option.AbsoluteOrNone(r, f.field, f.path)
	}
}

// Owns says whether path is a place that the store makes, replaces and removes.
// Nobody else may keep a file there.
func (o Options) Owns(path string) bool {
	rel, err := filepath.Rel(o.Dir, filepath.Clean(path))
	if err != nil {
		return false
	}
	switch first, _, _ := strings.Cut(rel, string(filepath.Separator)); first {
	case ".", "current", "generations", "found", "pairs", "lock", "distrusted.json", fileNames[caRole]:
		return true
	}
	return false
}

// Named returns the files that redis.conf names: those of Paths, or else those
// that `current` leads to.
func (o Options) Named() Paths {
	current := filepath.Join(o.Dir, "current")
	p := Paths{
		Cert: filepath.Join(current, fileNames[certRole]),
		Key:  filepath.Join(current, fileNames[keyRole]),
		CA:   filepath.Join(current, fileNames[caRole]),
	}
	if o.Paths.Cert != "" {
		p.Cert, p.Key = o.Paths.Cert, o.Paths.Key
	}
	if o.Paths.CA != "" {
		p.CA = o.Paths.CA
	}
	return p
}
