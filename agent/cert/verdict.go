package cert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Clients are programs that verify a certificate, by what they verify it with. The
// values are bits.
type Clients uint8

// The clients.
const (
	Go      Clients = 1 << iota // crypto/x509
	OpenSSL                     // redis itself, redis-cli and most others, with OpenSSL's default settings
	Strict                      // OpenSSL with X509_V_FLAG_X509_STRICT, as Python 3.13 and newer by default
)

// String names the clients as people know them.
func (c Clients) String() string {
	var names []string
	for _, n := range []struct {
		bit  Clients
		name string
	}{{OpenSSL, "clients with OpenSSL"}, {Go, "clients in Go"}, {Strict, "clients that verify strictly (Python 3.13 and newer)"}} {
		if c&n.bit != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, " and ")
}

// A Use is what a certificate is presented as.
type Use int

// The uses.
const (
	AsServer Use = iota
	AsClient
)

// A Question asks whether a certificate would be accepted.
type Question struct {
	Leaf   *x509.Certificate
	Sent   []*x509.Certificate // what comes behind it in a handshake, in any order
	Names  []string            // DNS names and IP addresses by which clients know a server
	Uses   []Use               // none: whatever for
	Time   time.Time
	Roots  []*x509.Certificate // what the other side trusts; nil: whatever the chain leads to
	System *x509.CertPool      // where Roots is nil: the roots of the system, which cannot be listed
}

// A Finding is one reason to refuse a certificate, or something that this program cannot
// judge.
type Finding struct {
	Code    string // stable; see the constants
	Refuses Clients
	Cert    *x509.Certificate // the one that is at fault
	Text    string            // what is wrong
	Remedy  string
}

// The codes of findings.
const (
	CodeTime      = "time"           // the clock is past the end, or before the beginning
	CodeUntrusted = "untrusted"      // no path to a trusted root
	CodeAnchor    = "trust-anchor"   // what is trusted is no root
	CodeKeyID     = "key-identifier" // the leaf names another issuer's key than its issuer has
	CodeUsage     = "usage"
	CodeKeyUsage  = "key-usage"
	CodeNoCA      = "no-ca"
	CodeSignature = "signature"
	CodeWeak      = "weak"
	CodeCurve     = "curve" // no client has the curve of its key
	CodeName      = "name"
	CodeSize      = "size"
	CodeStrict    = "strict"
	CodeUnjudged  = "unjudged" // this program cannot tell
	CodeChain     = "chain"    // another reason of Go's
)

// A Verdict says who accepts a certificate, and who refuses it and why.
type Verdict struct {
	// Path is the way that OpenSSL takes from the leaf, as far as it gets.
	Path     []*x509.Certificate
	Findings []Finding
	// GoPaths are the ways to a trusted root that crypto/x509 accepts for the last of the
	// uses that it accepts, whatever it says of the names.
	GoPaths [][]*x509.Certificate
	// Go is the error of crypto/x509, unchanged: nil when a Go client accepts. What
	// decides whom a password is sent to goes by it alone.
	Go error
}

// Judge answers q. It asks nobody and reads nothing.
//
// crypto/x509 decides for Go. What OpenSSL does is told by its rules, which the tests
// hold against openssl itself: it takes one path, the trusted certificates first, and
// does not come back from it; it asks more of key identifiers, usages, trust anchors and
// wildcards, and less of names in the subject.
func Judge(q Question) Verdict {
	if len(q.Sent) > maxSent {
		q.Sent = q.Sent[:maxSent]
	}
	if q.System != nil {
		return judge(q) // those roots cannot be listed, nor compared
	}
	digest := q.digest()
	if v, ok := recall(q, digest); ok {
		return v
	}
	v := judge(q)
	remember(q, digest, v)
	return v
}

func judge(q Question) Verdict {
	j := &judgement{q: q, leaf: q.Leaf}
	j.go_()
	j.path()
	for i := range j.way {
		j.certificate(i)
	}
	j.uses()
	j.curve()
	j.names()
	j.size()
	j.reconcile()
	return Verdict{Path: j.way, Findings: j.found, GoPaths: j.goPaths, Go: j.goErr}
}

// maxSent is how many certificates are looked at beside the leaf: more than any real
// chain has, and few enough that a hostile one costs little.
const maxSent = 32

type judgement struct {
	q    Question
	leaf *x509.Certificate

	goPaths [][]*x509.Certificate // the first one is the one that matters
	goErr   error

	way     []*x509.Certificate // as OpenSSL builds it
	whole   bool                // it leads to a root that is trusted
	partial bool                // it leads to something else that is trusted
	found   []Finding
}

// go_ asks crypto/x509.
func (j *judgement) go_() {
	if why := Unread(j.leaf); why != nil {
		j.goErr = fmt.Errorf("%w: %w", ErrForeignCertificate, why)
		return
	}
	roots := j.q.System
	if j.q.Roots != nil {
		roots = Pool(j.q.Roots)
	}
	if roots == nil {
		line := lineage(j.leaf, j.q.Sent)
		roots = Pool(line[len(line)-1:])
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	for i, use := range j.q.Uses {
		if i == 0 {
			usages = nil
		}
		usages = append(usages, extended[use])
	}
	for _, usage := range usages {
		paths, err := Paths(j.leaf, j.q.Sent, roots, j.q.Time, usage)
		if err != nil {
			j.goErr = err
			return
		}
		j.goPaths = paths
	}
	if j.is(AsServer) {
		for _, name := range j.q.Names {
			if err := VerifyName(j.leaf, name); err != nil {
				j.goErr = err
				return
			}
		}
	}
}

// Paths returns the ways from leaf to a trusted root that crypto/x509 accepts at a time,
// for a usage. Nil roots are those of the system.
func Paths(leaf *x509.Certificate, sent []*x509.Certificate, roots *x509.CertPool, at time.Time, usage x509.ExtKeyUsage) ([][]*x509.Certificate, error) {
	return leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: Pool(sent), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage},
	})
}

var extended = map[Use]x509.ExtKeyUsage{AsServer: x509.ExtKeyUsageServerAuth, AsClient: x509.ExtKeyUsageClientAuth}

func (j *judgement) is(u Use) bool { return slices.Contains(j.q.Uses, u) }

func (j *judgement) find(f Finding) { j.found = append(j.found, f) }

// reconcile makes the findings agree with what crypto/x509 has said, which is the truth
// about Go.
func (j *judgement) reconcile() {
	if j.goErr == nil {
		for i := range j.found {
			j.found[i].Refuses &^= Go
		}
		j.found = slices.DeleteFunc(j.found, func(f Finding) bool { return f.Refuses == 0 && f.Code != CodeUnjudged })
		return
	}
	var invalid x509.CertificateInvalidError
	constrained := errors.As(j.goErr, &invalid) && (invalid.Reason == x509.CANotAuthorizedForThisName || invalid.Reason == x509.NameConstraintsWithoutSANs)
	if !constrained && slices.ContainsFunc(j.found, func(f Finding) bool { return f.Refuses&Go != 0 }) {
		return
	}
	if cannotJudge(j.goErr) {
		if !slices.ContainsFunc(j.found, func(f Finding) bool { return f.Code == CodeUnjudged }) {
			j.unjudged(j.leaf, strings.TrimPrefix(j.goErr.Error(), "x509: "))
		}
		return
	}
	refuses := Go
	if constrained {
		refuses = everybody
	}
	j.find(Finding{CodeChain, refuses, j.leaf, "no way from it to the trusted roots holds: " + strings.TrimPrefix(j.goErr.Error(), "x509: "),
		"have it issued again, and put its issuers behind it as the CA gives them"})
}

// cannotJudge says that an error of crypto/x509 is about what it does not know, and not
// about what is wrong.
func cannotJudge(err error) bool {
	var critical x509.UnhandledCriticalExtension
	return errors.Is(err, ErrForeignCertificate) || errors.Is(err, x509.ErrUnsupportedAlgorithm) || errors.As(err, &critical)
}

func (j *judgement) unjudged(c *x509.Certificate, why string) {
	j.find(Finding{CodeUnjudged, 0, c, "this program cannot judge " + j.called(c) + ": " + why,
		"redis and its clients may know it: see that they accept it"})
}

// Refusal returns why one of the clients would refuse the certificate; nil when all of
// them take it, as far as this program can tell.
func (v Verdict) Refusal(by Clients) error {
	var texts []string
	for _, f := range v.Findings {
		if f.Refuses&by != 0 && !slices.Contains(texts, f.Text) {
			texts = append(texts, f.Text)
		}
	}
	if texts == nil {
		return nil
	}
	return errors.New(strings.Join(texts, "; "))
}

// Nobody returns why no client takes the certificate, by Go's rules or by OpenSSL's; nil
// when one of the two does.
func (v Verdict) Nobody() error {
	if v.Refusal(Go) == nil || v.Refusal(OpenSSL) == nil {
		return nil
	}
	return v.Refusal(Go | OpenSSL)
}
