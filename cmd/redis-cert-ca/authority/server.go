package authority

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/smallstep/certificates/acme"
	acmeapi "github.com/smallstep/certificates/acme/api"
	acmedb "github.com/smallstep/certificates/acme/db/nosql"
	"github.com/smallstep/certificates/api"
	step "github.com/smallstep/certificates/authority"
	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/db"
	"github.com/smallstep/certificates/middleware/requestid"
	"github.com/smallstep/nosql"
)

// newHandler returns step-ca's HTTP interface to auth, and the context that
// its handlers expect every request to carry.
//
// It does what ca.New of smallstep/certificates does for an authority without
// SCEP, administration and metrics. That function is not used, as it logs
// through the global logger, writes TLS errors to standard error, announces
// itself to systemd before it listens, and opens its listener itself, which
// rules out port 0.
func newHandler(auth *step.Authority, o RunOptions) (http.Handler, context.Context, error) {
	ctx := step.NewContext(context.Background(), auth)
	ctx = db.NewContext(ctx, auth.GetDatabase())
	mux := chi.NewRouter()
	mux.Use(middleware.GetHead)
	api.Route(mux)
	mux.Route("/1.0", func(r chi.Router) { api.Route(r) })

	if store, ok := auth.GetDatabase().(nosql.DB); ok && auth.HasACMEProvisioner() {
		database, err := acmedb.New(store)
		if err != nil {
			return nil, nil, fmt.Errorf("open acme database: %w", err)
		}
		cfg := auth.GetConfig()
		linker := acme.NewLinker(serverURL(cfg.DNSNames[0], cfg.Address)[len("https://"):], "acme")
		ctx = acme.NewContext(ctx, database, newACMEClient(o), linker, nil)
		mux.Route("/acme", func(r chi.Router) { acmeapi.Route(r) })
		mux.Route("/2.0/acme", func(r chi.Router) { acmeapi.Route(r) })
	}
	return requestid.New("").Middleware(mux), ctx, nil
}

// newTLSConfig returns how auth is served: with a certificate that it signs
// for itself, asking clients for theirs, so that they can renew by mTLS.
func newTLSConfig(auth *step.Authority, cfg *config.Config) (*tls.Config, error) {
	own := &ownCertificate{issue: auth.GetTLSCertificate, now: time.Now}
	cert, err := own.get(nil)
	if err != nil {
		return nil, err
	}
	clients := x509.NewCertPool()
	for _, root := range auth.GetRootCertificates() {
		clients.AddCert(root)
	}
	// A client that sends only its leaf is understood too.
	for _, der := range cert.Certificate[1:] {
		intermediate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("parse intermediate: %w", err)
		}
		clients.AddCert(intermediate)
	}
	tlsConfig := cfg.TLS.TLSConfig()
	tlsConfig.GetCertificate = own.get
	tlsConfig.ClientAuth = tls.VerifyClientCertIfGiven
	tlsConfig.ClientCAs = clients
	return tlsConfig, nil
}

// ownCertificate is the authority's serving certificate. It is replaced in the
// handshake that finds it past two thirds of its life: no timer has to fire in
// time, and a machine that slept through its expiry serves a fresh one.
type ownCertificate struct {
	issue func() (*tls.Certificate, error)
	now   func() time.Time

	mu   sync.Mutex
	cert *tls.Certificate
}

func (o *ownCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	if o.cert != nil && now.Before(due(o.cert.Leaf)) {
		return o.cert, nil
	}
	cert, err := o.issue()
	if err != nil {
		if o.cert != nil && now.Before(o.cert.Leaf.NotAfter) {
			return o.cert, nil // still good; the next handshake tries again
		}
		return nil, fmt.Errorf("sign the authority's own certificate: %w", err)
	}
	o.cert = cert
	return cert, nil
}

func due(leaf *x509.Certificate) time.Time {
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
}
