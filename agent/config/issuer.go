package config

import (
	"fmt"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Issuer says who issues the certificates. Exactly one kind is set.
type Issuer struct {
	Step *Step
	ACME *ACME
}

// Step is a step-ca with a JWK provisioner.
type Step struct {
	URL         string // https, without a trailing slash
	Fingerprint string // SHA-256 of the root certificate, 64 lower-case hex digits
	Provisioner string
	Password    Secret
	Lifetime    time.Duration // zero: the CA's own default
	Timeout     time.Duration // of one request
}

// ACME is a CA that speaks RFC 8555. RootsFile and Fingerprint are not both
// set; when neither is, the roots of the system hold.
type ACME struct {
	Directory      string   // https URL of the directory, as it was written
	Contact        []string // "mailto:ops@example.com"; may be empty
	TermsAccepted  bool
	RootsFile      string // absolute path of a PEM file, or empty
	Fingerprint    string // SHA-256 of a step-ca's root, 64 lower-case hex digits, or empty
	AccountKey     string // absolute path; there may be no such file yet
	EAB            *EAB   // nil: no external account binding
	Profile        string // empty: the CA's own default
	PreferredChain string // common name of a root, or empty: the CA's own default
	Challenge      Challenge
	Timeout        time.Duration // of one order
}

// EAB binds the ACME account to one that the CA knows already (RFC 8555,
// 7.3.4).
type EAB struct {
	KeyID string
	HMAC  Secret // base64url, as the CA hands it out
}

func defaultStep() *Step {
	return &Step{
		Password: Secret{credential: "provisioner-password", key: "password_file"},
		Timeout:  20 * time.Second,
	}
}

func defaultACME() *ACME {
	return &ACME{Challenge: Challenge{HTTP01: defaultHTTP01()}, Timeout: 5 * time.Minute}
}

// issuerField names the i-th of n issuers. A file that has only one may write
// it without a list.
func issuerField(d *document, i, n int) string {
	if n == 1 && !d.has("issuer[0]") {
		return "issuer"
	}
	return fmt.Sprintf("issuer[%d]", i)
}

// issuers decodes one issuer, or a list of them.
func (d *document) issuers(dst *[]Issuer) decoder {
	one := func(field string, n ast.Node) {
		var i Issuer
		d.issuer(&i)(field, n)
		*dst = append(*dst, i)
	}
	return func(field string, n ast.Node) {
		if kind(n) == "a list" {
			d.sequence(field, n, "", one)
			return
		}
		one(field, n)
	}
}

// nobody decodes issuer: none, and leaves the rest to issuers.
func (d *document) nobody(dst *bool, issuers decoder) decoder {
	return func(field string, n ast.Node) {
		text, ok := scalar(n)
		if !ok {
			issuers(field, n)
			return
		}
		d.texts[field] = text
		*dst = text == "none"
		if !*dst {
			d.fault(field, "%s is no certificate authority; write step: or acme: under it, or none where another hand renews", quote(text))
		}
	}
}

// issuer decodes the mapping that has one key, the kind of the issuer.
func (d *document) issuer(dst *Issuer) decoder {
	return d.section(keys{
		"step": func(field string, n ast.Node) {
			s := defaultStep()
			dst.Step = s
			d.mapping(field, n, keys{
				"url":           into(d, &s.URL, normalURL),
				"fingerprint":   into(d, &s.Fingerprint, normalFingerprint),
				"provisioner":   d.text(&s.Provisioner),
				"password_file": d.secret(&s.Password),
				"lifetime":      into(d, &s.Lifetime, parseDuration),
				"timeout":       into(d, &s.Timeout, parseDuration),
			})
		},
		"acme": func(field string, n ast.Node) {
			a := defaultACME()
			dst.ACME = a
			d.mapping(field, n, keys{
				"directory":       d.text(&a.Directory),
				"contact":         d.list(&a.Contact, normalContact),
				"terms_accepted":  into(d, &a.TermsAccepted, parseBool),
				"roots_file":      d.text(&a.RootsFile),
				"fingerprint":     into(d, &a.Fingerprint, normalFingerprint),
				"account_key":     d.text(&a.AccountKey),
				"eab":             d.eab(&a.EAB),
				"profile":         d.text(&a.Profile),
				"preferred_chain": d.text(&a.PreferredChain),
				"challenge":       d.challenge(&a.Challenge),
				"timeout":         into(d, &a.Timeout, parseDuration),
			})
		},
	})
}

func (d *document) eab(dst **EAB) decoder {
	return func(field string, n ast.Node) {
		e := &EAB{}
		*dst = e
		d.mapping(field, n, keys{"key_id": d.text(&e.KeyID), "hmac_file": d.secret(&e.HMAC)})
	}
}
