// Package roots decides which roots stand in the bundle of CA certificates, and for how
// long, while authorities move from one to the next.
//
// A root that an authority names is added before the first certificate below it is
// loaded. It leaves only when no authority names it any more, nothing that the agent
// manages needs it, and a grace period has passed since both hold: an authority that is
// broken, or in other hands, must not lock out clients by forgetting a root. A root that no
// authority has ever named, as those of the configuration and of other programs, stays.
//
// What has to outlive the process for this is a [Book] in a file. It holds no secret, and
// without it nothing leaves too early: the grace period begins anew.
package roots

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
)

// LeastGrace is the grace period where nothing is configured and no certificate lives
// longer.
const LeastGrace = 30 * 24 * time.Hour

// maxBook bounds what is read of the file.
const maxBook = 1 << 20

// A Root is a root that an authority has named.
type Root struct {
	Name  string    `json:"name"`           // for people
	By    []string  `json:"by,omitempty"`   // who named it when last asked
	First time.Time `json:"first"`          // when it was first named
	Stood bool      `json:"stood"`          // it has stood in the bundle
	Gone  time.Time `json:"gone,omitempty"` // since when nobody names nor needs it; zero: somebody does
}

// A Book is what is remembered of roots.
type Book struct {
	Roots   map[string]*Root `json:"roots"`   // by fingerprint
	Longest time.Duration    `json:"longest"` // the longest lifetime of a certificate that was seen
	Loaded  string           `json:"loaded"`  // the digest of the bundle that every server has loaded

	path    string
	written []byte
}

// Read reads the book at path; an empty path keeps none. A file that cannot be read is as
// good as none.
func Read(path string) *Book {
	b := &Book{Roots: map[string]*Root{}, path: path}
	if path == "" {
		return b
	}
	text, err := disk.Read(path, maxBook)
	read := Book{}
	if err != nil || json.Unmarshal(text, &read) != nil {
		return b
	}
	for id, r := range read.Roots {
		if r != nil {
			b.Roots[id] = r
		}
	}
	b.Longest, b.Loaded, b.written = read.Longest, read.Loaded, text
	return b
}

// Write writes the book down where it has changed.
func (b *Book) Write() error {
	if b.path == "" {
		return nil
	}
	text, err := json.Marshal(b)
	if err != nil || bytes.Equal(text, b.written) {
		return err
	}
	if err := disk.Replace(b.path, text); err != nil {
		return err
	}
	b.written = text
	return nil
}

// Digest stands for a bundle, whatever the order in it.
func Digest(bundle []*x509.Certificate) string {
	var ids []string
	for _, c := range bundle {
		ids = append(ids, cert.FingerprintOf(c).String())
	}
	slices.Sort(ids)
	sum := sha256.New()
	for _, id := range ids {
		sum.Write([]byte(id))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Named notes which roots an authority names, in place of those that it named before, and
// says whether these are others.
func (b *Book) Named(by string, named []*x509.Certificate, now time.Time) (changed bool) {
	before := b.namedBy(by)
	for _, r := range b.Roots {
		r.By = slices.DeleteFunc(r.By, func(s string) bool { return s == by })
	}
	for _, c := range named {
		r := b.root(c, now)
		r.By = append(r.By, by)
		slices.Sort(r.By)
	}
	return !slices.Equal(before, b.namedBy(by))
}

// namedBy returns the fingerprints of the roots that an authority names.
func (b *Book) namedBy(by string) (ids []string) {
	for _, id := range slices.Sorted(maps.Keys(b.Roots)) {
		if slices.Contains(b.Roots[id].By, by) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Knew notes that c, which stands in the bundle, was named by an authority before.
func (b *Book) Knew(c *x509.Certificate, now time.Time) { b.root(c, now).Stood = true }

func (b *Book) root(c *x509.Certificate, now time.Time) *Root {
	id := cert.FingerprintOf(c).String()
	if b.Roots[id] == nil {
		b.Roots[id] = &Root{Name: cert.CommonName(c), First: now}
	}
	return b.Roots[id]
}

// NamedBy returns who of sources names r now.
func (r *Root) NamedBy(sources []string) []string {
	return slices.DeleteFunc(slices.Clone(r.By), func(s string) bool { return !slices.Contains(sources, s) })
}

// Saw notes the lifetime of a certificate.
func (b *Book) Saw(c *x509.Certificate) { b.Longest = max(b.Longest, c.NotAfter.Sub(c.NotBefore)) }

// Grace returns the grace period: what is configured, or else the longer of LeastGrace and
// the longest lifetime that was seen, so that every certificate below a root that leaves has
// ended.
func (b *Book) Grace(configured time.Duration) time.Duration {
	if configured > 0 {
		return configured
	}
	return max(LeastGrace, b.Longest)
}

// Facts is what is known at one time.
type Facts struct {
	Bundle     []*x509.Certificate   // what the servers trust
	Sources    []string              // who may name roots: an authority that the configuration no longer has says nothing
	Learned    []*x509.Certificate   // what authorities named in their last answers
	Configured []*x509.Certificate   // what the configuration wants in the bundle
	Chains     [][]*x509.Certificate // of every certificate that the agent manages or watches, the leaf first
	Grace      time.Duration         // as configured; zero: the default
	Complete   bool                  // each authority has said which roots it has; the time can be believed; all Chains are known
}

// Next updates what is known of the roots in the bundle, and returns those that are to be
// added to it and those that are to leave.
func (b *Book) Next(now time.Time, f Facts) (added, left []*x509.Certificate) {
	for _, c := range f.Learned {
		r := b.Roots[cert.FingerprintOf(c).String()]
		if r == nil || r.Stood || slices.ContainsFunc(f.Bundle, c.Equal) {
			continue // one that stood there was taken out by a person, and comes back with the next certificate
		}
		added = append(added, c)
	}
	grace := b.Grace(f.Grace)
	for _, c := range f.Bundle {
		r := b.Roots[cert.FingerprintOf(c).String()]
		if r == nil {
			continue
		}
		r.Stood = true
		switch {
		case len(r.NamedBy(f.Sources)) > 0, slices.ContainsFunc(f.Configured, c.Equal), Needed(c, f.Bundle, f.Chains):
			r.Gone = time.Time{}
		case r.Gone.IsZero(), r.Gone.After(now): // the clock may have been set back
			r.Gone = now
		case f.Complete && !now.Before(r.Gone.Add(grace)):
			left = append(left, c)
		}
	}
	// What nobody names and does not stand there is forgotten.
	maps.DeleteFunc(b.Roots, func(id string, r *Root) bool {
		return len(r.By) == 0 && !slices.ContainsFunc(f.Bundle, func(c *x509.Certificate) bool { return cert.FingerprintOf(c).String() == id })
	})
	return added, left
}

// Needed says whether one of the chains leads to the bundle by root alone, for clients in
// Go or for those with OpenSSL.
func Needed(root *x509.Certificate, bundle []*x509.Certificate, chains [][]*x509.Certificate) bool {
	others := slices.DeleteFunc(slices.Clone(bundle), root.Equal)
	for _, chain := range chains {
		if len(chain) == 0 {
			continue
		}
		if leads(chain, bundle) && !leads(chain, others) || verifies(chain, bundle) && !verifies(chain, others) {
			return true
		}
	}
	return false
}

func leads(chain, roots []*x509.Certificate) bool { return cert.Way(chain, roots) != nil }

// verifies is asked for a time at which the whole chain is valid, if there is one.
func verifies(chain, roots []*x509.Certificate) bool {
	at := chain[0].NotBefore
	for _, c := range slices.Concat(chain, roots) {
		if c.NotBefore.After(at) && c.NotBefore.Before(chain[0].NotAfter) {
			at = c.NotBefore
		}
	}
	_, err := cert.Paths(chain[0], chain[1:], cert.Pool(roots), at, x509.ExtKeyUsageAny)
	return err == nil
}
