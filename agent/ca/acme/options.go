package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/option"
	"redis-cert-agent/agent/secret"
)

// DefaultTimeout bounds one order when Options.Timeout is zero.
const DefaultTimeout = 5 * time.Minute

// Options say which CA to ask, as whom, and how to prove the names. URL and
// AccountKeyFile are required.
type Options struct {
	// URL is that of the CA's directory, https.
	URL string
	// RootsFile is a PEM file of roots that are trusted for the connection to the
	// CA, and that clients of the certificate get to trust. Without it, and
	// without Roots and Fingerprint, both come from the system's roots.
	RootsFile string
	// Roots are used as those of RootsFile.
	Roots []*x509.Certificate
	// Fingerprint is the SHA-256 of a root, in hex, for the same use, for a CA
	// from which FetchRoot can get the root.
	Fingerprint string
	// FetchRoot gets the root with that fingerprint from the CA at url. It is
	// called until it succeeds once; where it fails, the roots that the CA named
	// before serve.
	FetchRoot func(ctx context.Context, url, fingerprint string) (*x509.Certificate, error)
	// NamedRoots gets the roots that the CA at url, which has that fingerprint, wants
	// clients to trust. Known are trusted for the connection as well.
	NamedRoots func(ctx context.Context, url, fingerprint string, known []*x509.Certificate) (ca.Named, error)

	// AccountKeyFile holds the account's private key in PEM. It is made when
	// it does not exist, with mode 0600, and never changed; its directory must
	// exist.
	AccountKeyFile string
	// LimitsFile keeps what Let's Encrypt counts, beside the process; empty: it is not kept.
	LimitsFile string
	// Contact holds URLs at which the CA may reach the operator, as
	// mailto:ops@example.com. They are sent when the account is made.
	Contact []string
	// TermsAccepted tells the CA, when the account is made, that the operator
	// agrees to its terms of service. Without it, a CA that has terms is not
	// asked for anything.
	TermsAccepted bool
	// EAB binds a new account to one that the operator has with the CA (RFC
	// 8555, section 7.3.4). Nil is none.
	EAB *EAB

	// Challenge proves the names; HTTP01{} when nil.
	Challenge Challenge
	// Otherwise are tried, in this order, where the one before cannot be put up on
	// this host, or the CA does not offer it.
	Otherwise []Challenge
	// Profile is the name of one of the CA's profiles; empty leaves it to the
	// CA.
	Profile string
	// PreferredChain is the common name of a root, or of the topmost issuer in
	// a chain. Where the CA offers several chains, the one that leads there is
	// taken; the CA's default when none does.
	PreferredChain string

	// Timeout bounds one order, from the first request to the certificate. The
	// CA may take a third of it to validate all names, and another third to
	// issue. The taking down of challenges comes after it.
	Timeout time.Duration
	// Warn is told, in one line, what is worth a line in the log though
	// nothing failed: that an account was made, that a DNS record stayed
	// behind, that the preferred chain is not offered. May be nil.
	Warn func(msg string)
}

// EAB is a key that a CA hands out to those who have an account with it.
type EAB struct {
	KeyID string
	// Key is the HMAC key in base64url, as CAs hand it out. It is read when an
	// account is made, and only then.
	Key secret.Secret
}

// DefaultOptions returns what holds for a CA of which nothing is said.
func DefaultOptions() Options {
	return Options{Challenge: DefaultHTTP01(), Timeout: DefaultTimeout}
}

// Faults tells what cannot work. Fields have the names of the configuration.
func (o Options) Faults(r option.Report) {
	o.accountFaults(r)
	option.AbsoluteOrNone(r, "roots_file", o.RootsFile)
	if o.Fingerprint != "" || r.Given("fingerprint") {
		if _, err := option.ParseFingerprint(o.Fingerprint); err != nil {
			r.Fault("fingerprint", "%s %v", option.Quote(o.Fingerprint), err)
		}
		if o.RootsFile != "" {
			r.Fault("fingerprint", "roots_file is given too; keep one of them: fingerprint for a step-ca, roots_file for any other")
		}
	}
	option.Word(r, "profile", o.Profile, "the name of a profile", "shortlived")
	option.Word(r, "preferred_chain", o.PreferredChain, "the common name of a root", "ISRG Root X1")
	option.Positive(r, "timeout", o.Timeout)
	if o.Challenge == nil {
		return // whoever reads a configuration has told so
	}
	for i, how := range o.challenges() {
		field := o.challengeField(i) + "." + how.kind()
		how.Faults(option.Under(r, field))
		wait := field + ".wait"
		// The default gives way to a short timeout silently: the order ends anyway.
		if bound := how.bound(); r.Given(wait) && o.Timeout > 0 && bound >= o.Timeout {
			r.Fault(wait, "%s is not less than the timeout of the whole order, %s; write less, or a longer timeout", bound, o.Timeout)
		}
	}
}

// challenges returns all challenges, in the order in which they are tried.
func (o Options) challenges() []Challenge { return append([]Challenge{o.Challenge}, o.Otherwise...) }

// challengeField names the i-th challenge in a configuration.
func (o Options) challengeField(i int) string {
	if len(o.Otherwise) == 0 {
		return "challenge"
	}
	return fmt.Sprintf("challenge[%d]", i)
}

// accountFaults tells what keeps the client from its account.
func (o Options) accountFaults(r option.Report) {
	option.CA(r, "directory", o.URL, "https://ca.internal:9000/acme/acme/directory")
	for i, c := range o.Contact {
		if _, err := ParseContact(c); err != nil {
			r.Fault(fmt.Sprintf("contact[%d]", i), "%s %v", option.Quote(c), err)
		}
	}
	option.Absolute(r, "account_key", o.AccountKeyFile)
	if o.EAB != nil && o.EAB.KeyID == "" {
		r.Fault("eab.key_id", "missing; write the key identifier that the CA gave you together with the HMAC key")
	}
	if o.EAB != nil && !o.EAB.Key.Set() {
		r.Fault("eab.hmac_file", "missing; write the path of the file that holds the HMAC key of the CA, or credential:NAME")
	}
}

// Provable tells which of names no challenge can prove, whatever the CA.
func (o Options) Provable(names []string) error {
	var first error
	for _, how := range o.challenges() {
		err := provable(how, names)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// provable tells which of names how cannot prove, whatever the CA. RFC
// 8555 leaves wildcards to the CA, and CAs accept dns-01 only, as no other
// challenge shows control of a whole domain (CA/Browser Forum BR, 3.2.2.4). RFC
// 8738, section 7: 'The existing "dns-01" challenge MUST NOT be used to validate
// IP identifiers.'
func provable(how Challenge, names []string) error {
	isIP := func(n string) bool { _, err := netip.ParseAddr(n); return err == nil }
	isWildcard := func(n string) bool { return strings.HasPrefix(n, "*.") }
	ip, wildcard := slices.IndexFunc(names, isIP), slices.IndexFunc(names, isWildcard)
	dns := how.kind() == kindDNS01 || how.kind() == kindDNSPersist01
	switch {
	case ip >= 0 && wildcard >= 0:
		return fmt.Errorf("no challenge proves both %s and %s: wildcards need dns-01, and IP addresses any other; leave one of them out of names", option.Quote(names[wildcard]), option.Quote(names[ip]))
	case wildcard >= 0 && !dns:
		return fmt.Errorf("only dns-01 proves a wildcard, and names has %s; write dns-01 with server or command, or name the hosts one by one", option.Quote(names[wildcard]))
	case ip >= 0 && dns:
		return fmt.Errorf("%s proves no IP address (RFC 8738), and names has %s; write http-01 or tls-alpn-01, or leave the address out of names", how.kind(), option.Quote(names[ip]))
	}
	return nil
}

// FileFaults looks at the files and secrets that o names.
func (o Options) FileFaults(r option.Report) {
	option.Certificates(r, "roots_file", o.RootsFile)
	if _, err := cert.ReadCertificates(o.RootsFile); err != nil {
		r.Fault("roots_file", "%v", err)
	}
	// The first order makes the key; what is in the file, it says as well.
	if _, err := readAccountKeyFile(o.AccountKeyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.Fault("account_key", "%v", err)
	}
	if o.EAB != nil {
		option.Secret(r, "eab.hmac_file", o.EAB.Key, func(text []byte) error { _, err := macKey(text); return err })
	}
	if o.Challenge != nil {
		for i, how := range o.challenges() {
			how.FileFaults(option.Under(r, o.challengeField(i)+"."+how.kind()))
		}
	}
}

// readAccountKeyFile returns the text of an account's key, unless others can use
// the account too.
func readAccountKeyFile(path string) ([]byte, error) {
	text, info, err := disk.ReadInTime(path, maxKeyFile)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w; give it to the user of the agent with chown, mode 0600", err)
	}
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("others can access %s (mode %04o); run: chmod 0600 %[1]s", path, mode)
	}
	return text, nil
}

// ParseContact makes a mail address the URL that RFC 8555, 7.3, asks for: one
// address, and no header fields. Its error follows the quoted text in a message.
func ParseContact(s string) (string, error) {
	address := strings.TrimPrefix(s, "mailto:")
	parsed, err := mail.ParseAddress(address)
	_, domain, _ := strings.Cut(address, "@")
	if err == nil {
		_, err = option.ParseZone(domain)
	}
	if err != nil || parsed.Address != address || strings.ContainsAny(address, `?%&,/#*"`) ||
		strings.ContainsFunc(address, func(r rune) bool { return r > 127 }) {
		return "", errors.New("is not a mail address; write it like ops@example.com")
	}
	return "mailto:" + address, nil
}
