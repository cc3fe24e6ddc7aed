package step

import (
	"crypto/x509"
	"net/url"
	"strings"
	"time"

	"redis-cert-agent/agent/option"
	"redis-cert-agent/agent/secret"
)

// DefaultTimeout bounds one request when Options.Timeout is zero.
const DefaultTimeout = 20 * time.Second

// Options say which CA to ask and as whom.
type Options struct {
	// URL is where step-ca listens: https, a host, perhaps a port, no path.
	URL string
	// Fingerprint is the SHA-256 of a root of the CA in hex. Upper case and
	// colons are tolerated.
	Fingerprint string
	// Provisioner is the name of a provisioner of type JWK; with X5C, of that type.
	Provisioner string
	// TokenFile is where somebody may put a one-time token. It comes before every other
	// way to ask, and is removed when the CA has answered. Empty: nowhere.
	TokenFile string
	// X5C is used in place of Password.
	X5C X5C
	// Password may be none: then a certificate is renewed over mutual TLS, and a fresh one
	// takes a token that somebody brings. It is the exact bytes of the provisioner's password. It is read when
	// the provisioner's key has to be decrypted: at the first one-time token, and
	// again when the CA has another key.
	Password secret.Secret
	// Lifetime is what to ask of the CA; zero leaves it to the provisioner.
	// Renewals keep the lifetime of the certificate that they replace, so that
	// one of another lifetime is replaced by a one-time token instead.
	Lifetime time.Duration
	// Timeout bounds one request, from the dial to the last byte.
	Timeout time.Duration
	// Roots are trusted beside the pinned one and those of each request.
	Roots []*x509.Certificate
}

// DefaultOptions returns what holds for a CA of which nothing is said.
func DefaultOptions() Options {
	return Options{Password: secret.Credential("provisioner-password", "password_file"), Timeout: DefaultTimeout}
}

// Faults tells what cannot work. Fields have the names of the configuration.
func (o Options) Faults(r option.Report) {
	o.caFaults(r)
	if o.Provisioner == "" {
		r.Fault("provisioner", "missing; write the name of a JWK provisioner of the CA, from: step ca provisioner list")
	}
	o.X5C.Faults(option.Under(r, "x5c"))
	option.AbsoluteOrNone(r, "token_file", o.TokenFile)
	if o.Lifetime < 0 || o.Lifetime == 0 && r.Given("lifetime") {
		r.Fault("lifetime", "%s is not a lifetime; write it like 24h, or leave it out for the CA's default", o.Lifetime)
	}
	option.Positive(r, "timeout", o.Timeout)
}

// HasPassword says whether there is a password. A credential that systemd did not pass is
// none.
func (o Options) HasPassword() bool { return o.Password.Optional().Set() }

// caFaults tells what keeps the client from finding its CA.
func (o Options) caFaults(r option.Report) {
	const example = "https://ca.internal:9000"
	option.CA(r, "url", o.URL, example)
	// step-ca has no meaning for a path, and what stands there would end up in
	// error messages.
	if u, err := url.Parse(o.URL); err == nil && strings.Trim(u.Path, "/") != "" {
		r.Fault("url", "%s has more than a host and a port; write https://%s", option.Quote(o.URL), u.Host)
	}
	if o.Fingerprint == "" {
		r.Fault("fingerprint", "missing; get it from: step certificate fingerprint root_ca.crt")
	} else if _, err := option.ParseFingerprint(o.Fingerprint); err != nil {
		r.Fault("fingerprint", "%s %v", option.Quote(o.Fingerprint), err)
	}
}

// FileFaults looks at the secret that o names.
func (o Options) FileFaults(r option.Report) {
	if r.Given("password_file") || o.HasPassword() {
		option.Secret(r, "password_file", o.Password, nil)
	}
	option.Certificates(r, "x5c.cert", o.X5C.Cert)
	option.Secret(r, "x5c.key", o.X5C.Key, nil)
}
