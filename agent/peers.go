package agent

import (
	"crypto/x509"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/reload"
)

// keepsPeers returns why the newest pair would be refused where server i, or another of its
// kind, judges who presents it, and the pair that it shows now is not: by CA files that the
// agent does not write, or by a name. Nil: it would not be, or there is nothing to lose, or
// it cannot be told. A user that the certificate stands for is named and no reason to
// refuse it: most users log in by a password, and the login after the load decides.
func (a *Agent) keepsPeers(seen observation, i int, settings reload.Settings, chain []*x509.Certificate) error {
	next, shown := seen.newest.Pair, chain[0]
	if name := settings.PeerName; name != "" && carries(shown, name) && !carries(next.Leaf(), name) {
		return reload.Unfit(fmt.Sprintf("the new certificate is not loaded, since it lacks %q, which the one before carries and tls-expected-peer-name of redis wants of its peers", name),
			"add it to names")
	}
	if !settings.ClientAuth {
		return nil
	}
	if before, after := userOf(shown, settings.ClientUser), userOf(next.Leaf(), settings.ClientUser); before != after {
		text := fmt.Sprintf("%s takes a client by the %s of its certificate for a user (tls-auth-clients-user): the new one stands for %q, the one before for %q",
			a.opt.Servers[i].Name, settings.ClientUser, after, before)
		a.logServer(i).Warn(text, journal.KeyError, text)
	}
	if a.own != nil && settings.CA != "" && a.own.ServesCA(settings.CA) {
		return nil // it gets the roots of the new pair with it
	}
	roots := clientRoots(settings)
	if len(roots) == 0 || clientFault(chain, roots) != nil {
		return nil
	}
	if err := clientFault(next.Chain, roots); err != nil {
		where := settings.CA
		if where == "" {
			where = settings.CADir
		}
		return reload.Unfit(fmt.Sprintf("the new certificate is not loaded, since redis would refuse who presents it: %v; it trusts what is in %s, which the agent does not write", err, where),
			fmt.Sprintf("name %s as tls-ca-cert-file in redis.conf, or add the new root there", a.caPath()))
	}
	return nil
}

// caPath returns where the agent, or the other program, puts the CA certificates.
func (a *Agent) caPath() string {
	if a.own != nil {
		return a.own.CAPath()
	}
	return "the file of paths.ca"
}

func carries(leaf *x509.Certificate, name string) bool { return cert.VerifyName(leaf, name) == nil }

// userOf returns the user that a certificate stands for.
func userOf(leaf *x509.Certificate, by string) string {
	switch {
	case by == "CN":
		return leaf.Subject.CommonName
	case by == "URI" && len(leaf.URIs) > 0:
		return leaf.URIs[0].String()
	}
	return ""
}

// clientFault returns why OpenSSL, with these roots, would refuse a client with chain.
func clientFault(chain, roots []*x509.Certificate) error {
	q := cert.Question{Leaf: chain[0], Sent: chain[1:], Uses: []cert.Use{cert.AsClient}, Time: within(chain, now()), Roots: roots}
	return cert.Judge(q).Refusal(cert.OpenSSL)
}

// hashed is a name that OpenSSL looks up in a directory of CA certificates.
var hashed = regexp.MustCompile(`^[0-9a-f]{8}\.[0-9]+$`)

// maxHashed is how many files of a directory are read.
const maxHashed = 500

// clientRoots returns the CA certificates by which a server judges its clients; none where
// any of them cannot be read.
func clientRoots(settings reload.Settings) (roots []*x509.Certificate) {
	var paths []string
	if settings.CA != "" {
		paths = append(paths, settings.CA)
	}
	if settings.CADir != "" {
		names, _ := filepath.Glob(filepath.Join(settings.CADir, "*.*"))
		for _, path := range names {
			if hashed.MatchString(filepath.Base(path)) {
				paths = append(paths, path)
			}
		}
	}
	if len(paths) > maxHashed {
		return nil
	}
	for _, path := range paths {
		text, _, err := disk.ReadInTime(path, maxWatched)
		if err != nil {
			return nil
		}
		certs, err := cert.ParseCertificates(text)
		if err != nil || slices.ContainsFunc(certs, func(c *x509.Certificate) bool { return cert.Unread(c) != nil }) {
			return nil
		}
		roots = cert.Merge(roots, certs)
	}
	return roots
}
