package reload_test

import (
	"crypto/tls"
	"testing"

	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

// A pair that redis serves, and does not take from a client, is noticed over the next
// login while the session of the reload is open, and taken back over that.
func TestLoginWithTheNewPair(t *testing.T) {
	for name, c := range map[string]struct {
		auth   string
		other  bool // a CA that redis does not know
		named  bool // the server has a client certificate of its own
		matter bool
		denied bool
	}{
		"the same CA":             {auth: "yes", matter: true},
		"another CA":              {auth: "yes", other: true, matter: true, denied: true},
		"another CA, optional":    {auth: "optional", other: true, matter: true, denied: true},
		"nobody is asked":         {auth: "no", other: true},
		"a certificate of others": {auth: "yes", other: true, named: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, redistest.Options{AuthClients: c.auth}, nil, nil)
			old := h.ca.Issue(t, redistest.Leaf{})
			old.Overwrite(t, h.redis.Files)
			issuer := h.ca
			if c.other {
				issuer = redistest.NewRoot(t)
			}
			next := issuer.Issue(t, redistest.Leaf{})
			h.trust.Roots = append(h.ca.Roots(), issuer.Roots()...)
			h.trust.Client = old.TLS()
			if c.named {
				own := old.TLS()
				h.server.Client = func() (*tls.Certificate, error) { return own, nil }
			}
			r := reload.New(h.server)
			files := h.redis.Files
			files.CA = "" // it is not the agent's
			done, err := r.Reload(t.Context(), h.trust, reload.Load{Ready: func(reload.Settings) error { next.Overwrite(t, files); return nil }})
			if err != nil {
				t.Fatal(err)
			}
			defer done.Close()
			if err := r.Prove(t.Context(), h.trust, next.Leaf()); err != nil {
				t.Fatal(err)
			}
			if (done.Login != nil) != c.matter {
				t.Fatalf("a login matters: %v", done.Login != nil)
			}
			if !c.matter {
				return
			}
			h.trust.Client = next.TLS()
			err = done.Login(t.Context(), h.trust)
			if !c.denied {
				if err != nil {
					t.Error(err)
				}
				return
			}
			fails(t, err, reload.ErrClientCertificate, "tls-ca-cert-file")
			old.Overwrite(t, files)
			if err := done.Again(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.trust.Client = old.TLS()
			h.works(t, old)
		})
	}
}

// A server that hangs has not judged the certificate.
func TestLoginIsNotDeniedByAHang(t *testing.T) {
	h := start(t, redistest.Options{AuthClients: "yes"}, nil, nil)
	h.trust.Client = h.ca.Issue(t, redistest.Leaf{}).TLS()
	done, err := reload.New(h.server).Reload(t.Context(), h.trust, reload.Load{})
	if err != nil {
		t.Fatal(err)
	}
	defer done.Close()
	h.redis.Stop()
	if err := done.Login(t.Context(), h.trust); err != nil {
		t.Error(err)
	}
}
