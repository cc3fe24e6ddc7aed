package reload

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"redis-cert-agent/agent/cert"
)

// recognise decides whether the peer at remote, which shows chain, is one that
// may be sent a password. That the peer holds the leaf's key too is for the
// handshake to prove. How verification was relaxed is for Server.Warn; empty
// says that it was not.
//
// A leaf that is distrusted is recognised by nothing. Else a peer is recognised
// when its chain verifies to the roots, now, with the server's name. When that
// fails, and the peer is on this host, it is still recognised by one of these:
//
//   - the leaf is one that this agent put on disk or adopted, whoever issued
//     it. The self-made certificate that the agent finds at its first start is
//     one of these;
//   - the chain verified at a time that has passed, with the server's name:
//     everything holds but the clock, and the leaf has not been expired for longer
//     than two of its lifetimes. A server does not hold an older one, but whoever
//     got hold of its key does.
func (r *Redis) recognise(t Trust, chain []*x509.Certificate, remote net.Addr) (relaxed string, err error) {
	shown := fmt.Sprintf("%s shows %s", remote, describe(chain[0]))
	if t.Distrusted != nil && t.Distrusted(chain[0]) {
		return "", newFault(ErrUnrecognised, ErrDistrusted, "%s, whose key may be in other hands, so nothing was sent to it", shown).
			withHint("restart that redis-server, which loads the new pair then, or run redis-cert-agent rotate, which sends it the reload once more")
	}
	if r.server.InsecureSkipVerify { // connect has checked that remote is loopback
		return "insecure_skip_verify is set: talking to whoever listens: " + shown, nil
	}
	cause := r.verify(t, chain, t.now())
	if cause == nil {
		return "", nil
	}
	local := onThisHost(remote)
	if local && t.Known != nil && t.Known(chain[0]) {
		return fmt.Sprintf("%s, which does not verify (%v): recognised on this host as one that this agent put on disk or adopted",
			shown, cause), nil
	}
	if local && r.everVerified(t, chain) {
		return fmt.Sprintf("%s, which does not verify (%v): recognised on this host since it chains to the trusted roots and was valid once",
			shown, cause), nil
	}
	return "", newFault(ErrUnrecognised, cause, "%s, which is not recognised, so nothing was sent to it: %v", shown, cause).
		withHint("%s", unrecognisedHint(cause, local))
}

// unrecognisedHint says what a person can do about a peer that was not recognised.
func unrecognisedHint(cause error, local bool) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(cause, &invalid) && invalid.Reason == x509.Expired && !local:
		return "an expired certificate is forgiven on this host only: give a loopback address, or control: unix:/path"
	case errors.As(cause, &name):
		return "set this server's name to one that the certificate carries, or control: unix:/path"
	}
	return "add the root that issued it to roots.file (and any intermediate to tls-cert-file), or set control: unix:/path"
}

// names returns the names that this server goes by.
func (r *Redis) names(t Trust) []string {
	if r.server.Name != "" {
		return []string{r.server.Name}
	}
	return t.Names
}

// verify holds chain against the roots and the names that this server goes by, at the
// time now and by the rules of crypto/x509: a password is sent only to whom they accept.
func (r *Redis) verify(t Trust, chain []*x509.Certificate, now time.Time) error {
	names := r.names(t)
	if len(names) == 0 {
		return errors.New("no name is configured to verify it by")
	}
	return cert.Judge(r.question(t, chain, names, now)).Go
}

// question asks whether a client that trusts t's roots accepts chain.
func (r *Redis) question(t Trust, chain []*x509.Certificate, names []string, now time.Time) cert.Question {
	roots := append([]*x509.Certificate{}, t.Roots...) // none, where there are none: never the system's
	return cert.Question{Leaf: chain[0], Sent: chain[1:], Names: names, Uses: []cert.Use{cert.AsServer}, Time: now, Roots: roots}
}

// everVerified says whether chain verified at some time that has passed. (The
// root is not part of it: it would have to begin and to end within the leaf's
// own time to matter.)
func (r *Redis) everVerified(t Trust, chain []*x509.Certificate) bool {
	now, leaf := t.now(), chain[0]
	if now.Sub(leaf.NotAfter) > 2*leaf.NotAfter.Sub(leaf.NotBefore) {
		return false
	}
	for _, then := range cert.Turns(chain) {
		if then.Before(now) && r.verify(t, chain, then) == nil {
			return true
		}
	}
	return false
}

// describe names a certificate so that it can be found on disk and at the CA.
func describe(c *x509.Certificate) string {
	return fmt.Sprintf("serial %s (subject %q, issuer %q, not after %s)", cert.Serial(c),
		c.Subject.String(), c.Issuer.String(), c.NotAfter.UTC().Format(time.RFC3339))
}

// onThisHost says whether addr is loopback or an address of this host.
func onThisHost(addr net.Addr) bool {
	if onLoopback(addr) {
		return true
	}
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false // not known to be local
	}
	for _, a := range own {
		if ipnet, ok := a.(*net.IPNet); ok && ipnet.IP.Equal(tcp.IP) {
			return true
		}
	}
	return false
}

func onLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
