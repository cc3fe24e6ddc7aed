package daemon

import (
	"crypto/x509"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/ca/acme"
	"redis-cert-agent/agent/ca/step"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/option"
	"redis-cert-agent/agent/status"
)

// describe says for people what i is.
func describe(i config.Issuer) status.CA {
	if i.ACME != nil {
		return status.CA{Kind: "acme", URL: i.ACME.URL}
	}
	ca := status.CA{Kind: "step", URL: i.Step.URL}
	if !i.Step.HasPassword() && !i.Step.X5C.Set() {
		ca.Note = "without a password it renews over mTLS; a certificate that has expired takes a provisioner that allows renewal after expiry, or a token (redis-cert-agent enroll)"
	}
	return ca
}

// authorityOf returns the certificate authority that i describes. Extra roots
// are trusted beside those of a step-ca. The pair is that of a client
// which it is asked for; empty: of the servers.
func (d *Daemon) authorityOf(i config.Issuer, extra []*x509.Certificate, pair string) agent.Authority {
	if i.ACME != nil {
		client := newACME(*i.ACME, func(msg string) { d.log.Warn(msg) })
		return agent.Authority{CA: describe(i), Issuer: inTurn{client, &d.pairs.turns, pair != ""}, Pin: pin(i.ACME.Fingerprint)}
	}
	o := *i.Step
	o.Roots = extra
	if pair != "" {
		o.TokenFile = config.PairToken(o.TokenFile, pair)
	}
	return agent.Authority{CA: describe(i), Issuer: step.New(o), Pin: pin(o.Fingerprint)}
}

// An ACMEClient asks one ACME CA.
type ACMEClient = acme.Client

// ACME returns a client for each ACME CA of c. Warn is told what is worth a line.
func ACME(c *config.Config, warn func(string)) []*ACMEClient {
	var clients []*ACMEClient
	for _, i := range c.Issuers {
		if i.ACME != nil {
			clients = append(clients, newACME(*i.ACME, warn))
		}
	}
	return clients
}

func newACME(o acme.Options, warn func(string)) *acme.Client {
	o.FetchRoot, o.NamedRoots, o.Warn = step.FetchRoot, step.NamedRoots, warn
	return acme.New(o)
}

// pin returns a fingerprint in one way of writing it; empty where there is none.
func pin(fingerprint string) string {
	text, err := option.ParseFingerprint(fingerprint)
	if err != nil {
		return ""
	}
	return text
}
