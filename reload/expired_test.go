package reload_test

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

// The agent was stopped for days: Redis serves TLS only, wants a password, and
// shows a certificate that has expired.
func TestExpired(t *testing.T) {
	for _, auth := range []string{"no", "optional", "yes"} {
		t.Run("tls-auth-clients "+auth, func(t *testing.T) {
			root := redistest.NewRoot(t)
			old := root.Issue(t, expired)
			h := start(t, redistest.Options{AuthClients: auth, Password: "secret"}, old, root)
			pair := h.renew(t, redistest.Leaf{})
			h.trust.Client = pair.TLS()
			h.works(t, pair)
			if len(h.warnings) != 1 || !strings.Contains(h.warnings[0], fmt.Sprintf("%x", old.Leaf().SerialNumber.Bytes())) {
				t.Errorf("warnings %q, want one that names the old certificate", h.warnings)
			}
		})
	}
}

// Under tls-auth-clients yes, a pair that is no client's says so in the error.
func TestExpiredWithoutClientCertificate(t *testing.T) {
	root := redistest.NewRoot(t)
	for _, conf := range []string{"", "tls-protocols TLSv1.2"} {
		h := start(t, redistest.Options{AuthClients: "yes", Conf: []string{conf}}, root.Issue(t, expired), root)
		err := reloaded(reload.New(h.server), t.Context(), h.trust)
		fails(t, err, reload.ErrClientCertificate)
		fails(t, err, reload.ErrDenied, "asks for a client certificate", "client_cert")

		server := h.renew(t, redistest.Leaf{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		h.trust.Client = server.TLS()
		fails(t, reloaded(reload.New(h.server), t.Context(), h.trust), reload.ErrDenied, "none to present")

		h.trust.Client = redistest.NewRoot(t).Issue(t, redistest.Leaf{}).TLS()
		fails(t, reloaded(reload.New(h.server), t.Context(), h.trust), reload.ErrClientCertificate, "did not take serial", "tls-ca-cert-file")
	}
}

// Redis lets a client without a certificate in, and one with a bad one not.
func TestPairThatIsNoClientIsHeldBack(t *testing.T) {
	h := start(t, redistest.Options{AuthClients: "optional"}, nil, nil)
	pair := h.renew(t, redistest.Leaf{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	h.trust.Client = pair.TLS()
	h.works(t, pair)
	h.trust.Client = h.ca.Issue(t, expired).TLS()
	h.works(t, h.renew(t, redistest.Leaf{}))
}

// A host whose hand-made certificate expired before the agent came: the leaf is
// known, and nothing else recommends it.
func TestFirstStart(t *testing.T) {
	old := redistest.SelfSigned(t, redistest.Leaf{
		Names: []string{"Redis by hand"}, NotBefore: expired.NotBefore, NotAfter: expired.NotAfter,
	})
	h := start(t, redistest.Options{Password: "secret"}, old, nil)
	pair := h.renew(t, redistest.Leaf{})
	fails(t, reloaded(reload.New(h.server), t.Context(), h.trust), reload.ErrUnrecognised, "Redis by hand", "nothing was sent")
	h.trust.Known = old.Leaf().Equal
	h.works(t, pair)
	if len(h.warnings) != 1 || !strings.Contains(h.warnings[0], "put on disk or adopted") {
		t.Errorf("warnings %q", h.warnings)
	}
}

func TestExpiredIntermediate(t *testing.T) {
	root := redistest.NewRoot(t)
	middle := root.Intermediate(t, time.Now().Add(-3*time.Hour), time.Now().Add(-time.Hour))
	h := start(t, redistest.Options{}, middle.Issue(t, redistest.Leaf{}), root)
	h.works(t, h.renew(t, redistest.Leaf{}))

	// A leaf from after its intermediate's time was never valid.
	late := middle.Issue(t, redistest.Leaf{NotBefore: time.Now().Add(-time.Minute)})
	h = start(t, redistest.Options{}, late, root)
	fails(t, reloaded(reload.New(h.server), t.Context(), h.trust), reload.ErrUnrecognised, "expired")
}

// Whoever took the port while Redis was down is not sent the password.
func TestImpostorHearsNothing(t *testing.T) {
	root := redistest.NewRoot(t)
	ours := root.Issue(t, expired)
	for name, pair := range map[string]*redistest.Pair{
		"another root":                redistest.NewRoot(t).Issue(t, redistest.Leaf{}),
		"another root, expired":       redistest.NewRoot(t).Issue(t, expired),
		"self-signed":                 redistest.SelfSigned(t, redistest.Leaf{}),
		"our root, another name":      root.Issue(t, redistest.Leaf{Names: []string{"web.internal"}}),
		"our root, another, expired":  root.Issue(t, redistest.Leaf{Names: []string{"web.internal"}, NotBefore: expired.NotBefore, NotAfter: expired.NotAfter}),
		"our root, clients only":      root.Issue(t, redistest.Leaf{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}),
		"our root, not yet valid":     root.Issue(t, redistest.Leaf{NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}),
		"our leaf without its key":    {Chain: ours.Chain, Key: redistest.SelfSigned(t, redistest.Leaf{}).Key},
		"its own leaf and ours added": {Chain: append(redistest.SelfSigned(t, redistest.Leaf{}).Chain, ours.Chain...)},
	} {
		t.Run(name, func(t *testing.T) {
			if pair.Key == nil {
				own := redistest.SelfSigned(t, redistest.Leaf{})
				pair = &redistest.Pair{Chain: append(own.Chain, ours.Chain...), Key: own.Key}
			}
			i := listen(t, pair)
			var warnings []string
			r := reload.New(reload.Server{
				Address: i.addr, Name: "localhost", Password: says("secret"), Timeout: time.Second,
				Warn: func(msg string) { warnings = append(warnings, msg) },
			})
			trust := reload.Trust{Roots: root.Roots(), Known: ours.Leaf().Equal}
			if err := reloaded(r, t.Context(), trust); err == nil {
				t.Error("no error")
			}
			if _, err := r.Settings(t.Context(), trust); err == nil {
				t.Error("no error from Settings")
			}
			if len(warnings) != 0 {
				t.Errorf("warned of a peer that was not talked to: %q", warnings)
			}
			if words := i.words(); words != "" {
				t.Errorf("the impostor heard %q", words)
			}
		})
	}
	// The same listener hears the password when it is recognised: the test above
	// would notice.
	i := listen(t, ours)
	r := reload.New(reload.Server{Address: i.addr, Name: "localhost", Password: says("secret"), Timeout: 3 * time.Second}) // enough for a handshake on a busy machine
	_ = reloaded(r, t.Context(), reload.Trust{Roots: root.Roots()})                                                        // nobody answers
	if words := i.words(); !strings.Contains(words, "secret") {
		t.Errorf("the recognised peer heard %q", words)
	}
}

func TestSkipVerify(t *testing.T) {
	stranger := redistest.NewRoot(t).Issue(t, redistest.Leaf{Names: []string{"stranger"}})
	h := start(t, redistest.Options{Password: "secret", Socket: true}, stranger, nil)
	pair := h.renew(t, redistest.Leaf{})
	fails(t, reloaded(reload.New(h.server), t.Context(), h.trust), reload.ErrUnrecognised)
	h.server.InsecureSkipVerify = true
	for n := 1; n <= 2; n++ {
		h.works(t, pair)
		if len(h.warnings) != n || !strings.Contains(h.warnings[n-1], "insecure_skip_verify") {
			t.Errorf("warnings after use %d: %q", n, h.warnings)
		}
	}
	// It is no excuse for the proof.
	stranger.Overwrite(t, h.redis.Files)
	if err := reloaded(reload.New(h.server), t.Context(), h.trust); err != nil {
		t.Fatal(err)
	}
	fails(t, reload.New(h.server).Prove(t.Context(), h.trust, stranger.Leaf()), reload.ErrRefused, "no client would accept")

	h.server.Control = "unix:" + h.redis.Socket
	h.works(t, h.renew(t, redistest.Leaf{}))

	h.server.Control, h.server.Address = "", "192.0.2.1:6379"
	fails(t, reloaded(reload.New(h.server), t.Context(), h.trust), reload.ErrUnrecognised, "insecure_skip_verify is for loopback")
}
