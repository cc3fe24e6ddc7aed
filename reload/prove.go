package reload

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
)

// Served is what a server shows to whoever connects.
type Served struct {
	Chain      []*x509.Certificate // the leaf first, as it was sent; verified by nobody
	AsksClient bool                // whether it asked for a client certificate
}

// Served looks what the server serves: one fresh handshake at Address and
// nothing after it. The chain is reported whatever it is worth, and also when
// the server then refused our client certificate.
func (r *Redis) Served(ctx context.Context, t Trust) (Served, error) {
	g, err := r.greet(ctx, r.server.front(), t, anyone)
	if g.conn != nil {
		g.conn.Close()
	}
	if err != nil && !errors.Is(err, ErrClientCertificate) {
		return Served{}, fmt.Errorf("look at %s: %w", r.server.Address, err)
	}
	return Served{Chain: g.chain, AsksClient: g.asked}, nil
}

// Prove returns nil when a fresh handshake at Address shows leaf, byte for
// byte, with a chain and a name that a client accepts now, from a peer that has
// its key. Otherwise the error is ErrRefused and says what was shown instead,
// or ErrUnreachable. That the server does not take our own client certificate
// is no fault of the leaf and does not matter here.
func (r *Redis) Prove(ctx context.Context, t Trust, leaf *x509.Certificate) error {
	g, err := r.greet(ctx, r.server.front(), t, anyone)
	if g.conn != nil {
		g.conn.Close()
	}
	if err == nil || errors.Is(err, ErrClientCertificate) {
		err = r.compare(t, g.chain, leaf)
	}
	if err != nil {
		return fmt.Errorf("prove %s: %w", r.server.Address, err)
	}
	return nil
}

func (r *Redis) compare(t Trust, chain []*x509.Certificate, leaf *x509.Certificate) error {
	if !chain[0].Equal(leaf) {
		return newFault(ErrRefused, nil, "it shows %s, not the new serial %x (not after %s): redis did not take the new files; does its tls-cert-file name them?",
			describe(chain[0]), leaf.SerialNumber, leaf.NotAfter.UTC().Format("2006-01-02T15:04:05Z"))
	}
	if err := r.verify(t, chain, t.now()); err != nil {
		return newFault(ErrRefused, err, "it shows the new serial %x, which no client would accept: %v", leaf.SerialNumber, err)
	}
	return nil
}
