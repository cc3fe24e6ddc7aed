package reload_test

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

// The chain is seen whatever it is worth, and whatever the server thinks of us.
func TestServed(t *testing.T) {
	root := redistest.NewRoot(t)
	pair := root.Intermediate(t, time.Time{}, time.Time{}).Issue(t, expired)
	stranger := redistest.NewRoot(t).Issue(t, redistest.Leaf{}).TLS()
	for _, protocol := range []string{"TLSv1.2", "TLSv1.3"} {
		for _, auth := range []string{"no", "optional", "yes"} {
			h := start(t, redistest.Options{AuthClients: auth, Conf: []string{"tls-protocols " + protocol}}, pair, root)
			for _, client := range []*tls.Certificate{nil, stranger} {
				h.trust.Client = client
				seen, err := reload.New(h.server).Served(t.Context(), h.trust)
				if err != nil {
					t.Fatalf("%s, tls-auth-clients %s: %v", protocol, auth, err)
				}
				if len(seen.Chain) < 2 || !seen.Chain[0].Equal(pair.Leaf()) || seen.AsksClient != (auth != "no") {
					t.Errorf("%s, tls-auth-clients %s: seen %d certificates, asks %v", protocol, auth, len(seen.Chain), seen.AsksClient)
				}
			}
		}
	}
}

func TestProveIsWhatAClientSees(t *testing.T) {
	root := redistest.NewRoot(t)
	middle := root.Intermediate(t, time.Time{}, time.Time{})
	for want, pair := range map[string]*redistest.Pair{
		"expired": root.Issue(t, expired),
		"not for localhost, only for web.internal ": root.Issue(t, redistest.Leaf{Names: []string{"web.internal\r\nlevel=INFO msg=fine"}}),
		"does not chain to the trusted roots":       redistest.NewRoot(t).Issue(t, redistest.Leaf{}),
	} {
		h := start(t, redistest.Options{}, pair, root)
		fails(t, reload.New(h.server).Prove(t.Context(), h.trust, pair.Leaf()), reload.ErrRefused, "no client would accept", want)
	}

	// The intermediate has to come along.
	whole := middle.Issue(t, redistest.Leaf{})
	bare := &redistest.Pair{Chain: whole.Chain[:1], Key: whole.Key, Root: root.Cert}
	h := start(t, redistest.Options{}, bare, root)
	fails(t, reload.New(h.server).Prove(t.Context(), h.trust, bare.Leaf()), reload.ErrRefused, "does not chain to the trusted roots")
	whole.Overwrite(t, h.redis.Files)
	h.trust.Known = bare.Leaf().Equal
	h.works(t, whole)
}

// That Redis wants another client certificate than ours says nothing about what
// it serves.
func TestProveWithoutClientCertificate(t *testing.T) {
	for _, protocol := range []string{"TLSv1.2", "TLSv1.3"} {
		ca := redistest.NewRoot(t)
		pair := ca.Issue(t, redistest.Leaf{})
		h := start(t, redistest.Options{AuthClients: "yes", Conf: []string{"tls-protocols " + protocol}}, pair, ca)
		if err := reload.New(h.server).Prove(t.Context(), h.trust, pair.Leaf()); err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}

func TestConfiguredClientCertificate(t *testing.T) {
	h := start(t, redistest.Options{AuthClients: "yes"}, nil, nil)
	own := h.ca.Issue(t, redistest.Leaf{Names: []string{"agent"}})
	h.server.Client = func() (*tls.Certificate, error) { return own.TLS(), nil }
	h.trust.Client = redistest.NewRoot(t).Issue(t, redistest.Leaf{}).TLS() // would be refused
	h.works(t, h.renew(t, redistest.Leaf{}))

	unreadable := errors.New("the key is gone")
	h.server.Client = func() (*tls.Certificate, error) { return nil, unreadable }
	fails(t, reloaded(reload.New(h.server), t.Context(), h.trust), unreadable, "client certificate")
	if _, err := reload.New(h.server).Served(t.Context(), h.trust); err != nil {
		t.Errorf("nothing has to be presented to see what is served: %v", err)
	}

	h.server.Client = func() (*tls.Certificate, error) { return nil, nil }
	h.trust.Client = own.TLS()
	h.works(t, h.renew(t, redistest.Leaf{}))
}
