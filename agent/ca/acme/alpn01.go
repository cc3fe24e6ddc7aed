package acme

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"redis-cert-agent/agent/option"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"github.com/miekg/dns"
)

// TLSALPN01 proves names by a certificate in a TLS handshake (RFC 8737). The CA
// looks at port 443, so whatever Listen says, port 443 of each name must lead
// there, with the handshake untouched.
//
// The listener is open only while an order runs. It makes handshakes for the
// names of the order with clients that ask for acme-tls/1, and nothing else.
type TLSALPN01 struct {
	Listen string // host:port; ":443" when empty
}

// DefaultTLSALPN01 listens where the CA looks.
func DefaultTLSALPN01() TLSALPN01 { return TLSALPN01{Listen: ":443"} }

func (TLSALPN01) kind() string { return kindTLSALPN01 }

func (TLSALPN01) bound() time.Duration { return selfTimeout }

// Faults implements Challenge.
func (a TLSALPN01) Faults(r option.Report) { listenFaults(r, a.Listen, ":443") }

// FileFaults implements Challenge: there are no files.
func (TLSALPN01) FileFaults(option.Report) {}

func (a TLSALPN01) open(ctx context.Context, _ []string) (proof, error) {
	ln, err := listen(ctx, cmp.Or(a.Listen, DefaultTLSALPN01().Listen))
	if err != nil {
		return nil, fmt.Errorf("tls-alpn-01: %w", err)
	}
	return newALPNProof(ln), nil
}

type alpnProof struct {
	*challengeServer

	mu    sync.Mutex
	certs map[string]*tls.Certificate // by server name
}

// newALPNProof serves challenges on ln. It is an http.Server that makes only the
// handshake, because net/http pauses when the process is out of file
// descriptors, bounds a handshake, and ends those under way.
func newALPNProof(ln net.Listener) *alpnProof {
	p := &alpnProof{certs: map[string]*tls.Certificate{}}
	conf := &tls.Config{
		NextProtos:     []string{acmez.ACMETLS1Protocol},
		GetCertificate: p.certificate,
		MinVersion:     tls.VersionTLS12, // RFC 8737, section 3
		// A session that is resumed shows no certificate.
		SessionTicketsDisabled: true,
	}
	p.challengeServer = serveChallenges(tls.NewListener(ln, conf), &http.Server{
		ReadTimeout: selfTimeout, // the handshake's as well
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){
			acmez.ACMETLS1Protocol: func(*http.Server, *tls.Conn, http.Handler) {}, // the CA says what it saw
		},
	})
	return p
}

func (p *alpnProof) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !slices.Contains(hello.SupportedProtos, acmez.ACMETLS1Protocol) {
		return nil, errors.New("not a challenge")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.certs[strings.ToLower(hello.ServerName)]; c != nil {
		return c, nil
	}
	return nil, errors.New("no challenge for this name")
}

func (p *alpnProof) present(_ context.Context, c acme.Challenge) error {
	made, err := acmez.TLSALPN01ChallengeCert(c)
	if err != nil {
		return fmt.Errorf("challenge certificate: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.certs[serverName(c.Identifier)] = made
	return nil
}

// serverName returns the name that the CA sends in the handshake. For an address it
// is its name in the reverse zone (RFC 8738, section 6).
func serverName(id acme.Identifier) string {
	if id.Type == "ip" {
		if name, err := dns.ReverseAddr(id.Value); err == nil {
			return strings.TrimSuffix(name, ".")
		}
	}
	return strings.ToLower(id.Value)
}

// ready makes the handshake that the CA will make, from this host.
func (p *alpnProof) ready(ctx context.Context, c acme.Challenge) error {
	ctx, cancel := context.WithTimeout(ctx, selfTimeout)
	defer cancel()
	conn, err := dialSelf(ctx, p.addr)
	if err != nil {
		return fmt.Errorf("this host's own listener at %s does not answer: %w", p.addr, err)
	}
	defer conn.Close()
	client := tls.Client(conn, &tls.Config{
		ServerName: serverName(c.Identifier),
		NextProtos: []string{acmez.ACMETLS1Protocol},
		// Nothing is sent, and only the extension of showsChallenge counts.
		InsecureSkipVerify: true,
	})
	err = client.HandshakeContext(ctx)
	if err != nil || !showsChallenge(client.ConnectionState(), c) {
		return fmt.Errorf("something else than the agent answers at %s: find out what, or listen on another port", p.addr)
	}
	return nil
}

// acmeIdentifier is id-pe-acmeIdentifier (RFC 8737, section 6.1).
var acmeIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}

// showsChallenge reports whether the peer's certificate answers c.
func showsChallenge(state tls.ConnectionState, c acme.Challenge) bool {
	sum := sha256.Sum256([]byte(c.KeyAuthorization))
	want, err := asn1.Marshal(sum[:])
	if err != nil || len(state.PeerCertificates) == 0 {
		return false
	}
	for _, e := range state.PeerCertificates[0].Extensions {
		if e.Id.Equal(acmeIdentifier) {
			return bytes.Equal(e.Value, want)
		}
	}
	return false
}
