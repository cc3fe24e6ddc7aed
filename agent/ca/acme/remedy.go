package acme

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
)

const hintReach = "check that the CA runs and that this host may reach it"

// transportHint says what to do when no answer came.
func (s *session) transportHint(err error) string {
	var verify *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &verify):
		return s.trustHint(verify)
	case errors.As(err, &plain), strings.Contains(err.Error(), "HTTP response to HTTPS"):
		return "this port does not speak TLS: check the URL"
	}
	return hintReach
}

// trustHint says what to do when the CA's own certificate does not verify.
func (s *session) trustHint(err *tls.CertificateVerificationError) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return "the CA's certificate is for other names: use one of them in the URL"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "compare this host's clock with the CA's; the CA's own certificate may have expired"
	case len(s.roots) > 0:
		return "its certificate comes from none of the configured roots: configure the one it comes from, or find out what answers there"
	}
	return "its certificate comes from none of the system's roots: set issuer.acme.roots_file, or issuer.acme.fingerprint for step-ca"
}

// statusHint says what to do about a status that came without a problem
// document.
func statusHint(status int) string {
	switch {
	case status == http.StatusNotFound:
		return "is this the directory of an ACME CA? check the URL"
	case status == http.StatusProxyAuthRequired:
		return "the proxy that the environment names wants a login"
	case status == http.StatusTooManyRequests:
		return "the CA limits requests; the agent asks again later"
	case status >= http.StatusInternalServerError:
		return "the CA is in trouble: its log or its status page tells more"
	}
	return ""
}

// remedies say what to do about a problem, by its type (RFC 8555, section 6.7).
var remedies = map[string]string{
	acme.ProblemTypeExternalAccountRequired: "set issuer.acme.eab to the key id and the HMAC key that the CA hands out",
	acme.ProblemTypeRejectedIdentifier:      "the CA's policy does not allow this name: leave it out of names, or have its administrator allow it",
	acme.ProblemTypeUnsupportedIdentifier:   "the CA does not certify names of this kind: leave it out of names, or use another CA",
	acme.ProblemTypeRateLimited:             "the agent asks again later; do not delete the account's key, and see the CA's limits",
	acme.ProblemTypeBadCSR:                  "try another key.type; the CA may also ask for fewer names",
	acme.ProblemTypeBadPublicKey:            "the CA does not take keys of this kind: choose another key.type",
	acme.ProblemTypeBadSignatureAlgorithm:   "the CA does not take the account's key: move it away to get one of ECDSA P-256",
	acme.ProblemTypeInvalidContact:          "set issuer.acme.contact to a mail address that the CA can write to",
	acme.ProblemTypeUnsupportedContact:      "set issuer.acme.contact to a mail address",
	acme.ProblemTypeBadNonce:                "the CA refused ten nonces in a row: if it is several machines, they must share them",
	acme.ProblemTypeServerInternal:          "the CA is in trouble: its log or its status page tells more",
	acme.ProblemTypeDNS:                     "check the name's records with the DNS server that the CA asks",
}

// remedy says what to do about a problem document.
func (s *session) remedy(e *Error, p *acme.Problem) string {
	switch p.Type {
	case acme.ProblemTypeCAA:
		hint := "the name's CAA record does not allow this CA"
		if ids := s.meta().CAAIdentities; len(ids) > 0 {
			hint += fmt.Sprintf(": add one with %q", ca.Cut(clean(ids[0]), 60))
		}
		return hint
	case acme.ProblemTypeUserActionRequired:
		if p.Instance != "" {
			return "visit " + ca.Cut(clean(p.Instance), 200)
		}
		return "the CA's terms may have changed: accept them at its site"
	case acme.ProblemTypeUnauthorized:
		if e.Op == opAccount && s.c.opts.EAB == nil {
			return fmt.Sprintf("if the account was deactivated, move %s away to get a new one", s.c.opts.AccountKeyFile)
		}
	}
	if hint := remedies[p.Type]; hint != "" {
		return hint
	}
	return statusHint(e.Status)
}

// proofHint says what to check when the CA did not find a challenge, or found
// something else.
func (s *session) proofHint(t task) string {
	name := t.name()
	switch s.c.opts.Challenge.kind() {
	case acme.ChallengeTypeHTTP01:
		return fmt.Sprintf("the CA must reach this host at http://%s/.well-known/acme-challenge/, port 80: check the name's addresses in the CA's DNS, firewalls, and what else answers there", name)
	case acme.ChallengeTypeTLSALPN01:
		return fmt.Sprintf("the CA must reach this host at %s, port 443: check the name's addresses in the CA's DNS, firewalls, and what ends TLS in front of it", name)
	}
	return fmt.Sprintf("check that the CA's DNS sees the TXT record of %s", challengeName(t.authz.Identifier.Value))
}
