package main

import (
	"context"
	"crypto/x509"
	"net/url"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/ca/acme"
	"redis-cert-agent/agent/ca/step"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/report"
)

// describe says for people what i is.
func describe(i config.Issuer) report.CA {
	if i.ACME != nil {
		return report.CA{Kind: "acme", URL: i.ACME.Directory}
	}
	return report.CA{Kind: "step", URL: i.Step.URL}
}

// authorityOf returns the certificate authority that i describes. Extra roots
// are trusted beside its own.
func (b base) authorityOf(i config.Issuer, extra []*x509.Certificate) (agent.Authority, error) {
	if i.ACME != nil {
		client, err := b.acmeClient(i.ACME)
		if err != nil {
			return agent.Authority{}, err
		}
		return agent.Authority{CA: describe(i), Issuer: client}, nil
	}
	s := i.Step
	return agent.Authority{CA: describe(i), Issuer: step.New(step.Options{
		URL: s.URL, Fingerprint: s.Fingerprint, Provisioner: s.Provisioner, Password: s.Password.Read,
		Lifetime: s.Lifetime, Timeout: s.Timeout, Roots: extra,
	})}, nil
}

func (b base) acmeClient(c *config.ACME) (*acme.Client, error) {
	roots, err := readRoots("issuer.acme.roots_file", c.RootsFile)
	if err != nil {
		return nil, err
	}
	o := acme.Options{
		URL: c.Directory, Roots: roots, AccountKeyFile: c.AccountKey, Contact: c.Contact, TermsAccepted: c.TermsAccepted,
		Challenge: challenge(c.Challenge), Profile: c.Profile, PreferredChain: c.PreferredChain, Timeout: c.Timeout,
		Warn: func(msg string) { b.log.Warn(msg) },
	}
	if c.EAB != nil {
		o.EAB = &acme.EAB{KeyID: c.EAB.KeyID, Key: c.EAB.HMAC.Read}
	}
	if c.Fingerprint != "" {
		o.FetchRoot = func(ctx context.Context) (*x509.Certificate, error) { return fetchRoot(ctx, c) }
	}
	return acme.New(o), nil
}

// fetchRoot gets the root of a step-ca whose ACME directory c names.
func fetchRoot(ctx context.Context, c *config.ACME) (*x509.Certificate, error) {
	u, err := url.Parse(c.Directory)
	if err != nil {
		return nil, err
	}
	base := url.URL{Scheme: u.Scheme, Host: u.Host}
	return step.FetchRoot(ctx, base.String(), c.Fingerprint)
}

func challenge(c config.Challenge) acme.Challenge {
	switch {
	case c.TLSALPN01 != nil:
		return acme.TLSALPN01{Listen: c.TLSALPN01.Listen}
	case c.DNS01 != nil && len(c.DNS01.Command) > 0:
		return acme.DNS01Command{Command: c.DNS01.Command, Timeout: c.DNS01.Wait}
	case c.DNS01 != nil:
		d := c.DNS01
		u := acme.DNS01Update{Server: d.Server, Zone: d.Zone, KeyName: d.TSIGName, TTL: d.TTL, Propagation: d.Wait}
		if d.TSIGName != "" {
			u.Algorithm, u.Secret = d.TSIGAlgorithm, d.TSIGSecret.Read
		}
		return u
	}
	return acme.HTTP01{Listen: c.HTTP01.Listen}
}
