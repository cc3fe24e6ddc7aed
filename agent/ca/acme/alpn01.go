package acme

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

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

func (TLSALPN01) kind() string { return acme.ChallengeTypeTLSALPN01 }

func (a TLSALPN01) valid() error { return validListen(a.Listen) }

func (a TLSALPN01) open(ctx context.Context, _ []string) (proof, error) {
	addr := a.Listen
	if addr == "" {
		addr = ":443"
	}
	ln, err := listen(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("tls-alpn-01: %w", err)
	}
	within, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &alpnProof{ln: ln, cancel: cancel, certs: map[string]*tls.Certificate{}}
	p.running.Go(func() { p.serve(within) })
	return p, nil
}

type alpnProof struct {
	ln      net.Listener
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	certs map[string]*tls.Certificate // by server name
}

func (p *alpnProof) serve(ctx context.Context) {
	conf := &tls.Config{
		NextProtos:     []string{acmez.ACMETLS1Protocol},
		GetCertificate: p.certificate,
		MinVersion:     tls.VersionTLS12, // RFC 8737, section 3
		// A session that is resumed shows no certificate.
		SessionTicketsDisabled: true,
	}
	for {
		conn, err := p.ln.Accept()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return
		}
		if err != nil {
			continue // of this one connection: accept(2), "Error handling"
		}
		p.running.Go(func() {
			defer conn.Close()
			within, cancel := context.WithTimeout(ctx, selfTimeout)
			defer cancel()
			_ = tls.Server(conn, conf).HandshakeContext(within) // the CA says what it saw
		})
	}
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

// serverName is what a CA asks for in the handshake. An address is asked for as
// its name in the reverse zone (RFC 8738, section 6).
func serverName(id acme.Identifier) string {
	if id.Type == "ip" {
		if name, err := dns.ReverseAddr(id.Value); err == nil {
			return strings.TrimSuffix(name, ".")
		}
	}
	return strings.ToLower(id.Value)
}

// ready makes the handshake as the CA will, but from this host.
func (p *alpnProof) ready(ctx context.Context, c acme.Challenge) error {
	ctx, cancel := context.WithTimeout(ctx, selfTimeout)
	defer cancel()
	conn, err := dialSelf(ctx, p.ln.Addr())
	if err != nil {
		return fmt.Errorf("this host's own listener at %s does not answer: %w", p.ln.Addr(), err)
	}
	defer conn.Close()
	client := tls.Client(conn, &tls.Config{
		ServerName: serverName(c.Identifier),
		NextProtos: []string{acmez.ACMETLS1Protocol},
		// Nothing is sent, and what counts is the one extension below.
		InsecureSkipVerify: true,
	})
	err = client.HandshakeContext(ctx)
	if err != nil || !showsChallenge(client.ConnectionState(), c) {
		return fmt.Errorf("something else than the agent answers at %s: find out what, or listen on another port", p.ln.Addr())
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

// close ends the listener and the handshakes under way.
func (p *alpnProof) close(context.Context) error {
	p.cancel()
	err := p.ln.Close()
	p.running.Wait()
	return err
}
