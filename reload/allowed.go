package reload

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"redis-cert-agent/agent/cert"
)

// clientSuites are the cipher suites that this program offers below TLS 1.3: all that
// crypto/tls has but RC4. Those that crypto/tls leaves out by default come last in its
// hello, whatever their order here, so that only a server that has nothing better, or
// wants them, takes one; and such a server is to be proven too.
var clientSuites = func() (ids []uint16) {
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if slices.Contains(s.SupportedVersions, tls.VersionTLS12) && !strings.Contains(s.Name, "RC4") {
			ids = append(ids, s.ID)
		}
	}
	return ids
}()

// Allowed is what a Redis allows in a handshake, in the words of its parameters.
type Allowed struct {
	Protocols    string // tls-protocols; empty: TLS 1.2 and 1.3
	Ciphers      string // tls-ciphers, for TLS 1.2 and before; empty: OpenSSL's default
	Ciphersuites string // tls-ciphersuites, for TLS 1.3; empty: OpenSSL's default
}

// String names what is set.
func (a Allowed) String() string {
	var set []string
	for _, p := range []struct{ name, value string }{
		{"tls-protocols", a.Protocols}, {"tls-ciphers", a.Ciphers}, {"tls-ciphersuites", a.Ciphersuites},
	} {
		if p.value != "" {
			set = append(set, fmt.Sprintf("%s %q", p.name, oneLine(p.value)))
		}
	}
	if set == nil {
		return "the ciphers of OpenSSL's defaults"
	}
	return strings.Join(set, ", ")
}

// versions returns which of the versions of TLS that this program speaks are allowed.
func (a Allowed) versions() (list []uint16) {
	for _, v := range []struct {
		name string
		id   uint16
	}{{"tlsv1.2", tls.VersionTLS12}, {"tlsv1.3", tls.VersionTLS13}} {
		if a.Protocols == "" || slices.Contains(strings.Fields(strings.ToLower(a.Protocols)), v.name) {
			list = append(list, v.id)
		}
	}
	return list
}

// serves says whether a certificate with the key pub can be served in a version of TLS.
func (a Allowed) serves(version uint16, pub crypto.PublicKey) bool {
	allowed, whole := cipherSuites(cmp.Or(a.Ciphers, "DEFAULT"))
	kind := proofOf(pub)
	return version == tls.VersionTLS13 || !whole || kind == "" ||
		slices.ContainsFunc(allowed, func(s suite) bool { return s.proves() == kind })
}

// suites returns the suites of crypto/tls with which a certificate with the key pub can
// be served in a version of TLS: none where only OpenSSL has one.
func (a Allowed) suites(version uint16, pub crypto.PublicKey) (ids []uint16) {
	if version == tls.VersionTLS13 {
		for _, s := range tls.CipherSuites() {
			if slices.Contains(s.SupportedVersions, version) && (a.Ciphersuites == "" || strings.Contains(a.Ciphersuites, s.Name)) {
				ids = append(ids, s.ID)
			}
		}
		return ids
	}
	allowed, whole := cipherSuites(cmp.Or(a.Ciphers, "DEFAULT"))
	if !whole {
		return clientSuites // any of them, as far as this program can tell
	}
	for _, s := range allowed {
		if kind := proofOf(pub); s.id != 0 && (kind == "" || s.proves() == kind) {
			ids = append(ids, s.id)
		}
	}
	return ids
}

// proofOf is the kind of suite, as suite.proves has it, that a key is for; empty where
// this program does not know it.
func proofOf(pub crypto.PublicKey) string {
	switch pub.(type) {
	case *rsa.PublicKey:
		return "rsa"
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return "ecdsa"
	}
	return ""
}

// Try says why a Redis that allows this could not serve p, or this program could not
// prove it, before anything is changed: by its ciphers, and by a handshake in memory for
// each version of TLS. shown is the leaf whose clients must not be lost, nil when there is
// none: where it serves them in one version more, p would end that. What only OpenSSL
// knows is no fault.
func (a Allowed) Try(ctx context.Context, p *cert.Pair, shown *x509.Certificate) error {
	pub, versions := p.Leaf().PublicKey, a.versions()
	if len(versions) == 0 {
		return newFault(ErrRefused, ErrUnfit, "the new certificate is not loaded, since this program, which speaks TLS 1.2 and 1.3, could not prove it; redis has %s", a).
			withHint(`set tls-protocols to "TLSv1.2 TLSv1.3" in redis.conf`)
	}
	var faults, lost []string
	for _, v := range versions {
		why := ""
		if !a.serves(v, pub) {
			why = fmt.Sprintf("no cipher is for its key, which is %s", cert.KeyTypeOf(pub))
		} else if ids := a.suites(v, pub); len(ids) > 0 {
			if err := shakeHands(ctx, p, v, ids); err != nil {
				why = oneLine(err.Error())
			}
		}
		if why == "" {
			continue
		}
		why = fmt.Sprintf("%s: %s", tls.VersionName(v), why)
		faults = append(faults, why)
		if shown != nil && a.serves(v, shown.PublicKey) {
			lost = append(lost, why)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(faults) == len(versions) {
		lost = faults
	}
	if len(lost) > 0 {
		return newFault(ErrRefused, ErrUnfit, "the new certificate is not loaded, since it would end handshakes (%s); redis has %s",
			strings.Join(lost, "; "), a).withHint("%s", remedies[proofOf(pub)])
	}
	// Without a cipher of its own this program is shown the certificate in TLS 1.2 alone.
	if !slices.Contains(versions, tls.VersionTLS12) && len(a.suites(tls.VersionTLS13, pub)) == 0 {
		return newFault(ErrRefused, ErrUnfit, "the new certificate is not loaded, since this program has no cipher that redis allows and could not prove it; redis has %s", a).
			withHint("allow one more in redis.conf: TLSv1.3 in tls-protocols, or ECDHE-RSA-AES128-GCM-SHA256 (ECDHE-ECDSA-AES128-GCM-SHA256 for an EC key) in tls-ciphers")
	}
	return nil
}

var remedies = map[string]string{
	"ecdsa": "have it issued for an RSA key (key.type: rsa-2048), or allow in redis.conf TLSv1.3, or a cipher that begins with ECDHE-ECDSA",
	"rsa":   "have it issued for an EC key (key.type: ec-p256), or allow in redis.conf TLSv1.3, or a cipher that begins with ECDHE-RSA",
	"":      "have it issued for another kind of key",
}

// shakeHands makes a handshake in memory: a server with p, a version of TLS and these
// suites, and this program as the client. A pair without a key, or with one or a
// certificate that crypto/tls knows less well than OpenSSL does, is not tried.
func shakeHands(ctx context.Context, p *cert.Pair, version uint16, suites []uint16) error {
	unread := slices.ContainsFunc(p.Chain, func(c *x509.Certificate) bool { return cert.Unread(c) != nil })
	if p.Key == nil || unread || !slices.Contains(cert.KeyTypes, cert.KeyTypeOf(p.Leaf().PublicKey)) {
		return nil
	}
	const limit = 30 * time.Second // against hanging: both sides are in this process
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	here, there := newPipe()
	groups := []tls.CurveID{tls.CurveP256} // nothing is asked about these; it is the quickest
	server := tls.Server(there, &tls.Config{
		Certificates: []tls.Certificate{p.TLS()}, MinVersion: version, MaxVersion: version, CipherSuites: suites, SessionTicketsDisabled: true, CurvePreferences: groups,
	})
	served := make(chan error, 1)
	go func() {
		defer there.Close()
		served <- server.HandshakeContext(ctx)
	}()
	offer := clientConfig("")
	offer.CurvePreferences = groups
	err := tls.Client(here, offer).HandshakeContext(ctx)
	close(here.words)
	if err != nil {
		here.Close()
	}
	fault := <-served
	here.Close()
	if fault != nil && (err == nil || alert(err) != "" || hungUp(err)) {
		return fault // of which the client saw the alert
	}
	return err
}

// A patient is a connection on which a client does not wait for the server to read, as on
// a socket: one that refuses what it reads would else wait for ever to say so.
type patient struct {
	net.Conn
	words chan []byte
}

// newPipe returns both ends of a connection in memory, the client's first.
func newPipe() (here patient, there net.Conn) {
	const flights = 16 // more writes than a client needs
	client, there := net.Pipe()
	here = patient{client, make(chan []byte, flights)}
	go func() {
		for p := range here.words {
			_, _ = client.Write(p) // the server tells what becomes of it
		}
	}()
	return here, there
}

func (c patient) Write(p []byte) (int, error) {
	c.words <- slices.Clone(p)
	return len(p), nil
}

// clientConfig is how this program offers TLS. It verifies nothing.
func clientConfig(name string) *tls.Config {
	return &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12, CipherSuites: clientSuites, InsecureSkipVerify: true}
}
