package pair

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/secret"
)

// parse parses what there is, and adds what is wrong with it to errs, the faults
// of reading. A missing text is no error here.
func parse(t texts, errs [3]error, passphrase secret.Secret) (chain []*x509.Certificate, key crypto.Signer, ca []*x509.Certificate, _ [3]error) {
	if t[certRole] != nil && errs[certRole] == nil {
		chain, errs[certRole] = cert.ParseChain(t[certRole])
	}
	if t[keyRole] != nil && errs[keyRole] == nil {
		key, errs[keyRole] = cert.OpenKey(t[keyRole], opener(passphrase))
	}
	switch {
	case t[caRole] == nil || errs[caRole] != nil:
	case len(bytes.TrimSpace(t[caRole])) == 0:
		errs[caRole] = errNoCA
	default:
		ca, errs[caRole] = cert.ParseCertificates(t[caRole])
	}
	return chain, key, ca, errs
}

// opener returns what reads a passphrase; nil where there is none.
func opener(s secret.Secret) func() ([]byte, error) {
	if !s.Set() {
		return nil
	}
	return s.Read
}

// errNoCA says what cert-manager leaves in ca.crt where the issuer is an ACME CA.
var errNoCA = errors.New("it is empty, and redis does not load an empty file: put the root of the issuer there, " +
	"or take it out of paths and redis.conf and name roots.file")

// judge concludes whether another program was there.
func (v *view) judge() {
	if v.asWritten() {
		c := v.Current.Pair
		v.CA, v.matched = c.CA, &cert.Pair{Chain: c.Chain, Key: c.Key}
		return
	}
	errs := v.match()
	if v.text[certRole] == nil && v.text[keyRole] == nil && errs[certRole] == nil && errs[keyRole] == nil {
		return // there is no pair; a CA alone is none
	}
	if err := v.faults(errs); err != nil {
		v.Foreign = &Foreign{Err: err, Files: v.changed()}
		return
	}
	p := &cert.Pair{Chain: v.matched.Chain, Key: v.matched.Key, CA: v.CA}
	if v.Current == nil || v.Current.Err != nil || !equal(p, v.Current.Pair) {
		v.Foreign = &Foreign{Pair: p, Files: v.changed()}
	}
}

// asWritten says whether redis reads the current generation and that is whole.
func (v *view) asWritten() bool {
	if v.Current == nil || v.Current.Err != nil {
		return false
	}
	for _, p := range v.parts {
		if !p.through {
			return false
		}
	}
	return true
}

// match parses what redis would read and holds certificate and key against each
// other. It returns what is wrong with each file.
func (v *view) match() [3]error {
	var reading [3]error
	for r, p := range v.parts {
		reading[r] = p.err
	}
	chain, key, ca, errs := parse(v.text, reading, v.passphrase)
	v.CA = ca
	if chain != nil && key != nil {
		if p, err := cert.New(chain, key, nil); err == nil {
			v.matched = p
		} else {
			errs[keyRole] = fmt.Errorf("%s: %w in %s: replace the one that is old, or remove both", v.parts[keyRole].from, err, v.parts[certRole].from)
		}
	}
	v.missing(&errs)
	return errs
}

// faults returns one error for those of errs that are not nil.
func (v *view) faults(errs [3]error) error {
	for r, err := range errs {
		if err != nil {
			errs[r] = fault(v.parts[r].from, err)
		}
	}
	return plain.Join(errs[:]...)
}

// fault says what is wrong with a file, naming it once, and what to do when it
// may not be read.
func fault(path string, err error) error {
	if !strings.Contains(err.Error(), path) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: %s", err, remedy(err))
	}
	return err
}

// missing adds the fault of half a pair.
func (v *view) missing(errs *[3]error) {
	for r, other := range map[role]role{certRole: keyRole, keyRole: certRole} {
		if v.text[r] == nil && errs[r] == nil && v.text[other] != nil {
			errs[r] = fmt.Errorf("missing, while %s is there: put it beside it, or remove both", v.parts[other].from)
		}
	}
}

// changed lists the files that are not as the agent wrote them.
func (v *view) changed() []string {
	var files []string
	for r, p := range v.parts {
		switch {
		case v.Current == nil:
			if v.text[r] != nil || p.err != nil {
				files = append(files, p.from)
			}
		case p.through && v.Current.errs[r] != nil:
			files = append(files, p.from)
		case !p.through && (p.err != nil || !bytes.Equal(v.text[r], v.Current.text[r])):
			files = append(files, p.from)
		}
	}
	if len(files) == 0 && v.Current != nil && v.Current.Err != nil {
		files = []string{filepath.Join(v.Current.dir, recordName)}
	}
	return files
}

// equal compares what redis would make of two pairs. Equal leaves have equal
// keys, because both pairs match.
func equal(a, b *cert.Pair) bool {
	return digest(a.Chain) == digest(b.Chain) && digest(a.CA) == digest(b.CA)
}
