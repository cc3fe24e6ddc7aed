package agent

import (
	"bytes"
	"crypto/x509"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/cert"
)

// A name that peers expect, and that the certificate had until now, is not lost; one that
// it never had is a problem and keeps nothing from being loaded.
func TestExpectedPeerName(t *testing.T) {
	for name, c := range map[string]struct {
		expects string
		loses   bool // the CA leaves the second name out from now on
		loaded  bool
		problem string
	}{
		"it stays":             {expects: "127.0.0.1", loaded: true},
		"another name is lost": {expects: "redis.internal", loses: true, loaded: true},
		"it is lost":           {expects: "peer.internal", loses: true},
		"it was never there":   {expects: "other.internal", loaded: true, problem: "tls-expected-peer-name"},
		"nothing is expected":  {loses: true, loaded: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1)
				w.ca.spoil = func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "peer.internal") }
				w.redis[0].peerName = c.expects
				w.settle()
				defer w.stop()
				first := w.disk()
				if c.loses {
					w.ca.spoil = nil
				}
				err := w.renew(true)
				if loaded := !w.disk().Equal(first); loaded != c.loaded || (err == nil) != c.loaded {
					t.Errorf("loaded is %v: %v", loaded, err)
				}
				if !c.loaded && !strings.Contains(err.Error(), "add it to names") {
					t.Error(err)
				}
				if p := w.problems(); c.loaded && (p == "") != (c.problem == "") || !strings.Contains(p, c.problem) {
					t.Errorf("problems: %q", p)
				}
				// The certificate that there is comes first: shortly before its end the new one is loaded.
				pass(time.Until(first.NotAfter) - time.Minute)
				if w.redis[0].serves.Leaf().Equal(first) {
					t.Error("the server is about to show an expired certificate")
				}
			})
		})
	}
}

// Another user that the certificate stands for is told, and the login decides.
func TestUserOfTheCertificate(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := loggedWorld(t, dir, 1, &log)
		w.redis[0].client, w.redis[0].clientUser = true, "CN"
		w.run()
		synctest.Wait()
		w.redis[0].start(t)
		pass(time.Minute)
		_ = w.renew(true)
		w.ca.spoil = func(c *x509.Certificate) { c.Subject.CommonName = "somebody" }
		first := w.disk()
		if err := w.renew(true); err != nil || w.disk().Equal(first) {
			t.Error(err)
		}
		w.stop()
		const want = `by the CN of its certificate for a user (tls-auth-clients-user): the new one stands for \"somebody\", the one before for \"redis.internal\"`
		if strings.Count(log.String(), want) != 2 { // the message, and its error
			t.Errorf("the log:\n%s", log.String())
		}
	})
	leaf := &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "a", Path: "/redis"}}}
	if u := userOf(leaf, "URI") + userOf(leaf, "CN") + userOf(leaf, ""); u != "spiffe://a/redis" {
		t.Error(u)
	}
}

// CA files that redis trusts clients by and the agent does not write: what is in them is
// held against the new pair, and what cannot be read tells nothing.
func TestForeignCAFile(t *testing.T) {
	for name, c := range map[string]struct {
		file func(w *world, other *testCA) []byte
		keep bool // the pair before stays
	}{
		"the CA is in it":           {func(w *world, _ *testCA) []byte { return certPEM(w.ca.root) }, false},
		"another CA alone, as ever": {func(_ *world, other *testCA) []byte { return certPEM(other.root) }, false},
		"the new CA is not in it":   {func(w *world, _ *testCA) []byte { return certPEM(w.ca.root) }, true},
		"it is not whole":           {func(w *world, _ *testCA) []byte { return certPEM(w.ca.root)[:100] }, false},
		"it is too large to be looked at": {func(w *world, _ *testCA) []byte {
			return append(certPEM(w.ca.root), bytes.Repeat([]byte("#\n"), maxWatched)...)
		}, false},
		"it is not there": {func(*world, *testCA) []byte { return nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1)
				other := newTestCA(t, 24*time.Hour)
				ca := filepath.Join(t.TempDir(), "clients.crt")
				if text := c.file(w, other); text != nil {
					w.must(os.WriteFile(ca, text, 0o600))
				}
				w.redis[0].client, w.redis[0].caFile = true, ca
				w.settle()
				defer w.stop()
				first := w.disk()
				if c.keep || name == "it is not whole" || name == "it is too large to be looked at" {
					fakes.Lock()
					w.ca.key, w.ca.root = other.key, other.root
					fakes.Unlock()
				}
				_ = w.renew(true)
				if w.disk().Equal(first) != c.keep {
					t.Errorf("the pair before stays: %v; %s", !c.keep, w.problems())
				}
			})
		})
	}
}

// Of a directory what OpenSSL looks up counts.
func TestForeignCADirectory(t *testing.T) {
	a, b := newTestCA(t, time.Hour), newTestCA(t, time.Hour)
	dir := t.TempDir()
	for name, c := range map[string]*testCA{"0a1b2c3d.0": a, "root.crt": b, "README.md": b} {
		if err := os.WriteFile(filepath.Join(dir, name), certPEM(c.root), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := (&testRedis{}).settings()
	s.CADir = dir
	if roots := clientRoots(s); len(roots) != 1 || !roots[0].Equal(a.root) {
		t.Errorf("%d roots", len(roots))
	}
	if err := os.WriteFile(filepath.Join(dir, "0a1b2c3d.1"), []byte("-----BEGIN CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if roots := clientRoots(s); roots != nil {
		t.Errorf("%d roots, one of which cannot be read", len(roots))
	}
}

func certPEM(c *x509.Certificate) []byte {
	return (&cert.Pair{Chain: []*x509.Certificate{c}}).CertPEM()
}
