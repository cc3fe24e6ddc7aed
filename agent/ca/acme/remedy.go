package acme

import (
	"fmt"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
)

// untrusted says what to do when the certificate of the CA's own server comes
// from none of the trusted roots.
func (s *session) untrusted() string {
	if len(s.roots) > 0 {
		return "its certificate comes from none of the configured roots: configure the one it comes from, or find out what answers there"
	}
	return "its certificate comes from none of the system's roots: set issuer.acme.roots_file, or issuer.acme.fingerprint for step-ca"
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
	acme.ProblemTypeBadNonce:                "the CA refused ten nonces in a row: if it runs on several machines, they must share nonces",
	acme.ProblemTypeServerInternal:          "the CA is in trouble: its log or its status page tells more",
	acme.ProblemTypeDNS:                     "check the name's records with the DNS server that the CA asks",
}

// remedy says what to do about a problem document.
func (s *session) remedy(e *ca.Error, p *acme.Problem) string {
	switch p.Type {
	case acme.ProblemTypeCAA:
		hint := "the name's CAA record does not allow this CA"
		if ids := s.meta().CAAIdentities; len(ids) > 0 {
			hint += fmt.Sprintf(": add one with %q", ca.Clean(ids[0], 60))
		}
		return hint
	case acme.ProblemTypeUserActionRequired:
		if p.Instance != "" {
			return "visit " + ca.Clean(p.Instance, 200)
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
	return s.at.StatusHint(e.Status, nil)
}

// proofHint says what to check when the CA did not find a challenge, or found
// something else in its place.
func (s *session) proofHint(t task) string {
	name := t.name()
	switch s.kind {
	case acme.ChallengeTypeHTTP01:
		return fmt.Sprintf("the CA must reach this host at http://%s/.well-known/acme-challenge/, port 80: check the name's addresses in the CA's DNS, firewalls, and what else answers there", name)
	case acme.ChallengeTypeTLSALPN01:
		return fmt.Sprintf("the CA must reach this host at %s, port 443: check the name's addresses in the CA's DNS, firewalls, and what ends TLS in front of it", name)
	case kindDNSPersist01:
		return fmt.Sprintf("the CA must find the TXT record of %s that redis-cert-agent acme record prints: check that its DNS sees it", persistName(t.authz.Identifier.Value))
	}
	return fmt.Sprintf("check that the CA's DNS sees the TXT record of %s", challengeName(t.authz.Identifier.Value))
}
