package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"unicode"
)

func validateIssuers(c *Config, d *document) {
	if c.MonitorOnly {
		validateMonitorOnly(c, d)
		return
	}
	if len(c.Issuers) == 0 {
		d.fault("issuer", "no certificate authority is given; write step: or acme: under it")
	}
	for i, issuer := range c.Issuers {
		field := issuerField(d, i, len(c.Issuers))
		if issuer.Step != nil {
			validateStep(issuer.Step, field+".step", d)
		}
		if issuer.ACME != nil {
			validateACME(issuer.ACME, field+".acme", c, d)
		}
		switch {
		case issuer.Step == nil && issuer.ACME == nil:
			d.fault(field, "no certificate authority is given; write step: or acme: under it")
		case issuer.Step != nil && issuer.ACME != nil:
			d.fault(field, "step and acme are in one mapping, which tells no order; write them as a list, the one to ask first at its head, like [{step: {…}}, {acme: {…}}]")
		}
	}
}

// validateMonitorOnly wants to know where the pair is that another hand renews,
// and nothing of what only an authority could heed.
func validateMonitorOnly(c *Config, d *document) {
	if len(c.Issuers) > 0 {
		d.fault("issuer", "none and an authority exclude each other; keep one of them")
	}
	switch {
	case c.Paths.Cert == "" && c.Paths.Key == "":
		d.fault("paths.cert", "missing; without an issuer the agent watches the files that another hand renews: write the tls-cert-file of redis.conf, and its tls-key-file as paths.key")
	case c.Paths.CA == "" && c.Roots.File == "":
		d.fault("roots.file", "missing; without paths.ca nothing tells which CA clients trust: write the root's PEM file, for a public CA like /etc/ssl/certs/ca-certificates.crt, or the tls-ca-cert-file of redis.conf as paths.ca")
	}
}

func validateStep(s *Step, field string, d *document) {
	validateURL(s.URL, field+".url", "https://ca.internal:9000", d)
	if s.Fingerprint == "" {
		d.fault(field+".fingerprint", "missing; get it from: step certificate fingerprint root_ca.crt")
	} else {
		validateFingerprint(s.Fingerprint, field+".fingerprint", d)
	}
	if s.Provisioner == "" {
		d.fault(field+".provisioner", "missing; write the name of a JWK provisioner of the CA, from: step ca provisioner list")
	}
	if !s.Password.Set() {
		d.fault(field+".password_file", "missing; write the path of a file, or credential:NAME")
	}
	if s.Lifetime < 0 || s.Lifetime == 0 && d.has(field+".lifetime") {
		d.fault(field+".lifetime", "%s is not a lifetime; write it like 24h, or leave it out for the CA's default", s.Lifetime)
	}
	positive(d, field+".timeout", s.Timeout)
}

func validateACME(a *ACME, field string, c *Config, d *document) {
	validateURL(a.Directory, field+".directory", "https://ca.internal:9000/acme/acme/directory", d)
	for i, contact := range a.Contact {
		f := fmt.Sprintf("%s.contact[%d]", field, i)
		if normal, err := normalContact(contact); err != nil {
			d.fault(f, "%s %v", quote(contact), err)
		} else if normal != contact {
			d.fault(f, "%s does not begin with mailto:", quote(contact))
		}
	}
	validateTrust(a, field, d)
	validateAccountKey(a.AccountKey, field+".account_key", c, d)
	if a.EAB != nil && a.EAB.KeyID == "" {
		d.fault(field+".eab.key_id", "missing; write the key identifier that the CA gave you together with the HMAC key")
	}
	if a.EAB != nil && !a.EAB.HMAC.Set() {
		d.fault(field+".eab.hmac_file", "missing; write the path of the file that holds the HMAC key of the CA, or credential:NAME")
	}
	word(d, field+".profile", a.Profile, "the name of a profile", "shortlived")
	word(d, field+".preferred_chain", a.PreferredChain, "the common name of a root", "ISRG Root X1")
	positive(d, field+".timeout", a.Timeout)
	validateChallenge(a, field+".challenge", c.Names, d)
}

// validateTrust checks what the CA is recognised by.
func validateTrust(a *ACME, field string, d *document) {
	file := a.RootsFile != "" || d.has(field+".roots_file")
	fingerprint := a.Fingerprint != "" || d.has(field+".fingerprint")
	if file {
		absolute(d, field+".roots_file", a.RootsFile)
	}
	if fingerprint {
		validateFingerprint(a.Fingerprint, field+".fingerprint", d)
	}
	if file && fingerprint {
		d.fault(field+".fingerprint", "roots_file is given too; keep one of them: fingerprint for a step-ca, roots_file for any other")
	}
}

// validateAccountKey keeps the key, which is reused for ever, from the places
// where the agent puts, replaces and removes other files.
func validateAccountKey(path, field string, c *Config, d *document) {
	if !d.has(field) && !filepath.IsAbs(c.Directory) {
		return // it follows directory, which has its own fault
	}
	absolute(d, field, path)
	path = filepath.Clean(path)
	for _, other := range []string{c.Paths.Cert, c.Paths.Key, c.Paths.CA} {
		if other != "" && filepath.Clean(other) == path {
			d.fault(field, "%s is already among paths; the account has a key of its own, so name another file", quote(path))
		}
	}
	rel, err := filepath.Rel(c.Directory, path)
	if err != nil {
		return
	}
	switch first, _, _ := strings.Cut(rel, string(filepath.Separator)); first {
	case ".", "current", "generations", "lock":
		d.fault(field, "%s is a place of the certificates; write a file beside, like %s", quote(path), filepath.Join(c.Directory, "acme-account.key"))
	}
}

func validateFingerprint(text, field string, d *document) {
	if normal, err := normalFingerprint(text); err != nil {
		d.fault(field, "%s %v", quote(text), err)
	} else if normal != text {
		d.fault(field, "%s is not in lower case without colons", quote(text))
	}
}

func validateURL(text, field, example string, d *document) {
	if text == "" {
		d.fault(field, "missing; write it like %s", example)
		return
	}
	u, err := url.Parse(text)
	switch {
	case err == nil && u.User != nil || strings.Contains(text, "@"):
		// Not quoted: there may be a password in it.
		d.fault(field, "the URL has a user or password in it; write it like %s", example)
	case err == nil && u.Scheme == "http":
		d.fault(field, "%s is not encrypted; write https:// instead of http://", quote(text))
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		d.fault(field, "%s is not the URL of a CA; write it like %s", quote(text), example)
	}
}

// word checks a string that only the CA can judge further.
func word(d *document, field, value, what, example string) {
	if value == "" && !d.has(field) {
		return
	}
	if strings.TrimSpace(value) == "" || strings.ContainsFunc(value, unicode.IsControl) {
		d.fault(field, "%s is not %s; write it like %s, or leave it out for the CA's default", quote(value), what, example)
	}
}
