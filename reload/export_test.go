package reload

import (
	"context"
	"crypto/x509"

	"redis-cert-agent/agent/cert"
)

// Parameters are those that a session asks for, in this order, after INFO.
var Parameters = parameters

// Try is what a reload asks.
func (t *Trials) Try(ctx context.Context, a Allowed, p *cert.Pair, shown *x509.Certificate) error {
	return t.try(ctx, a, p, shown)
}
