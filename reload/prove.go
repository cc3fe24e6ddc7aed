package reload

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"redis-cert-agent/agent/cert"
)

// Served is what a server shows to whoever connects.
type Served struct {
	Chain      []*x509.Certificate // the leaf first, as it was sent; verified by nobody
	AsksClient bool                // whether it asked for a client certificate
}

// Served asks what the server serves: one fresh handshake at Address and
// nothing after it. The chain is reported whatever it is worth, and also when
// the server then refused our client certificate.
func (r *Redis) Served(ctx context.Context, t Trust) (Served, error) {
	g, err := r.handshake(ctx, r.server.tlsRoute(), t, acceptAny)
	if g.conn != nil {
		g.conn.Close()
	}
	if err != nil && !errors.Is(err, ErrClientCertificate) && !errors.Is(err, ErrUnable) {
		return Served{}, fmt.Errorf("look at %s: %w", r.server.Address, err)
	}
	return Served{Chain: g.chain, AsksClient: g.asked}, nil
}

// Prove returns nil when a fresh handshake at Address shows leaf, byte for
// byte, with a chain and a name that a client accepts now, from a peer that has
// its key. Otherwise the error is ErrRefused and says what was shown instead,
// or ErrUnreachable. That the server does not take our own client certificate
// is no fault of the leaf and does not matter here. Nor does it that this program cannot
// make the handshake: then the bytes of the leaf decide.
func (r *Redis) Prove(ctx context.Context, t Trust, leaf *x509.Certificate) error {
	g, err := r.handshake(ctx, r.server.tlsRoute(), t, acceptAny)
	if g.conn != nil {
		g.conn.Close()
	}
	if err == nil || errors.Is(err, ErrClientCertificate) || errors.Is(err, ErrUnable) {
		err = r.compare(t, g.chain, leaf)
	}
	if err != nil {
		return fmt.Errorf("prove %s: %w", r.server.Address, err)
	}
	return nil
}

func (r *Redis) compare(t Trust, chain []*x509.Certificate, leaf *x509.Certificate) error {
	if !chain[0].Equal(leaf) {
		return newFault(ErrRefused, ErrOtherLeaf, "it shows %s, not the new serial %s (not after %s): redis did not take the new files",
			describe(chain[0]), cert.Serial(leaf), leaf.NotAfter.UTC().Format("2006-01-02T15:04:05Z")).
			withHint("does its tls-cert-file name them?")
	}
	names := r.names(t)
	if len(names) == 0 {
		return newFault(ErrRefused, nil, "no name is configured to verify it by")
	}
	if err := cert.Judge(r.question(t, chain, names, t.now())).Nobody(); err != nil {
		return newFault(ErrRefused, err, "it shows the new serial %s, which no client would accept: %v", cert.Serial(leaf), err)
	}
	return nil
}
