package agent

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/status"
)

// TestBrokenInPlace: another program writes into the current generation and does
// not finish. For a moment the agent leaves that alone, then it heals the disk:
// by the pair before, and without one by a new certificate.
func TestBrokenInPlace(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after int // certificates issued
	}{
		{"a pair before", 2, 2},
		{"the only pair", 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1)
				w.run()
				defer w.stop()
				synctest.Wait()
				w.redis[0].start(t)
				for w.ca.issued < tt.before {
					if err := w.renew(true); err != nil {
						t.Fatal(err)
					}
				}
				crt := filepath.Join(dir, "current", "redis.crt")
				if err := os.WriteFile(crt, []byte("half"), 0o600); err != nil {
					t.Fatal(err)
				}
				err := w.renew(false)
				if err == nil || !strings.Contains(err.Error(), crt) {
					t.Errorf("a renewal says %v, which does not name the file", err)
				}
				pass(9 * time.Second)
				if text, err := os.ReadFile(crt); err != nil || string(text) != "half" {
					t.Errorf("within the other program's time the file became %q, %v", text, err)
				}
				pass(2 * time.Second)
				if !w.redis[0].serves.Leaf().Equal(w.disk()) || w.ca.issued != tt.after {
					t.Errorf("not healed, or by %d certificates, want %d", w.ca.issued, tt.after)
				}
			})
		})
	}
}

// A person adds a CA to the bundle that redis trusts, and later takes the wrong
// one away. The first is loaded at once, although the certificate is the same;
// the second never is.
func TestBundleChangedByHand(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.run()
		defer w.stop()
		synctest.Wait()
		w.redis[0].start(t)
		if err := w.renew(false); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "current", "ca.crt")
		write := func(roots ...*x509.Certificate) {
			if err := os.WriteFile(path, (&cert.Pair{CA: roots}).CAPEM(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		other := newTestCA(t, time.Hour).root
		write(w.ca.root, other)
		reloads := w.redis[0].reloads
		if err := w.renew(false); err != nil {
			t.Errorf("another root: %v", err)
		}
		if got := w.redis[0].serves.CA; len(got) != 2 || !got[1].Equal(other) || w.redis[0].reloads != reloads+1 || w.ca.issued != 1 {
			t.Errorf("redis trusts %d roots after %d reloads and %d certificates", len(got), w.redis[0].reloads-reloads, w.ca.issued)
		}
		// Without its own root no client would accept the pair.
		for name, roots := range map[string][]*x509.Certificate{"only another root": {other}, "none": nil} {
			write(roots...)
			_ = w.renew(false)
			pass(time.Minute) // the other program has had its time
			if got := w.redis[0].serves.CA; !slices.ContainsFunc(got, w.ca.root.Equal) {
				t.Errorf("%s: redis trusts %d roots, and not that of its own certificate", name, len(got))
			}
			if err := w.renew(false); err != nil {
				t.Errorf("%s: not healed: %v", name, err)
			}
		}
		write(w.ca.root)
		if err := w.renew(false); err != nil || len(w.redis[0].serves.CA) != 1 {
			t.Errorf("the own root alone: %v", err)
		}
	})
}

// What another program writes over the agent's only pair is judged like any other: it is
// not the first start, where redis serves what is there already.
func TestOnlyPairIsReplacedByABadOne(t *testing.T) {
	for name, names := range map[string][]string{"for other names": {"elsewhere.internal"}, "for these names": {"redis.internal", "127.0.0.1"}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := settledWorld(t, dir, 1)
				defer w.stop()
				issued, err := w.ca.Issue(t.Context(), ca.Request{Names: names, KeyType: cert.P256})
				w.must(err)
				p, err := cert.New(issued.Chain, issued.Key, issued.Roots)
				w.must(err)
				key, err := p.KeyPEM()
				w.must(err)
				w.ca.err = errors.New("the CA is down")
				w.must(os.WriteFile(filepath.Join(dir, "current", "redis.key"), key, 0o600))
				w.must(os.WriteFile(filepath.Join(dir, "current", "redis.crt"), p.CertPEM(), 0o600))
				_ = w.renew(false)
				pass(time.Minute)
				if good, taken := names[0] == "redis.internal", w.redis[0].serves.Leaf().Equal(p.Leaf()); good != taken {
					t.Errorf("redis serves it: %t; %s", taken, w.problems())
				}
			})
		})
	}
}

// Certificate and key are there at the first start, and the CA file that redis.conf names is
// not, so that no redis-server can start. They are taken in with the configured roots. Where
// there are none, the first certificate replaces them, and nothing is lost.
func TestFoundWithoutACAFile(t *testing.T) {
	for _, configured := range []bool{true, false} {
		t.Run(fmt.Sprintf("roots are configured: %t", configured), func(t *testing.T) {
			dir := t.TempDir()
			etc := filepath.Join(dir, "etc")
			paths := pair.Paths{Cert: filepath.Join(etc, "redis.crt"), Key: filepath.Join(etc, "redis.key"), CA: filepath.Join(etc, "ca.crt")}
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1)
				w.store.Close()
				issued, err := w.ca.Issue(t.Context(), ca.Request{Names: []string{"redis.internal", "127.0.0.1"}, KeyType: cert.P256})
				w.must(err)
				p, err := cert.New(issued.Chain, issued.Key, issued.Roots)
				w.must(err)
				key, err := p.KeyPEM()
				w.must(err)
				w.must(os.Mkdir(etc, 0o755))
				w.must(os.WriteFile(paths.Cert, p.CertPEM(), 0o600))
				w.must(os.WriteFile(paths.Key, key, 0o600))
				w.open(dir, func(o *Options) {
					w.store.Close()
					store, err := pair.Open(pair.Options{Dir: dir, UID: -1, GID: -1, Mode: 0o640, Keep: 3, Paths: paths})
					w.must(err)
					if w.store, o.Store = store, store; configured {
						o.Roots = []*x509.Certificate{w.ca.root}
					}
				})
				w.ca.err = errors.New("the CA is down")
				w.run()
				defer w.stop()
				pass(time.Minute)
				if !configured {
					if p := w.problems(); !strings.Contains(p, paths.CA) {
						t.Errorf("which file is missing is not said: %s", p)
					}
					w.ca.err = nil
					pass(2 * time.Hour)
				}
				w.redis[0].start(t)
				pass(time.Hour)
				if taken := w.redis[0].serves.Leaf().Equal(p.Leaf()); taken != configured || w.problems() != "" {
					t.Errorf("redis serves what was found: %t; %s", taken, w.problems())
				}
				if found, err := filepath.Glob(filepath.Join(dir, "found", "*")); len(found) != 1 && !configured {
					t.Errorf("kept of what was found: %s, %v", found, err)
				}
				if text, err := os.ReadFile(paths.CA); err != nil || string(text) != string(w.redis[0].serves.CAPEM()) {
					t.Errorf("the CA file: %q, %v", text, err)
				}
			})
		})
	}
}

// A pair for none of the configured names is taken in at the first start, since redis
// serves it. From then on another one is wanted: the authority is asked at the distances of
// any renewal, status says so the whole time, and the first certificate ends it all. No
// server is told to load again what it has.
func TestAdoptedForNoneOfTheNames(t *testing.T) {
	dir := t.TempDir()
	etc := filepath.Join(dir, "etc")
	paths := pair.Paths{Cert: filepath.Join(etc, "redis.crt"), Key: filepath.Join(etc, "redis.key"), CA: filepath.Join(etc, "ca.crt")}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.store.Close()
		w.ca.lifetime = 90 * 24 * time.Hour
		issued, err := w.ca.Issue(t.Context(), ca.Request{Names: []string{"elsewhere.internal"}, KeyType: cert.P256})
		w.must(err)
		p, err := cert.New(issued.Chain, issued.Key, issued.Roots)
		w.must(err)
		key, err := p.KeyPEM()
		w.must(err)
		w.must(os.Mkdir(etc, 0o755))
		for path, text := range map[string][]byte{paths.Cert: p.CertPEM(), paths.Key: key, paths.CA: p.CAPEM()} {
			w.must(os.WriteFile(path, text, 0o600))
		}
		w.open(dir, func(o *Options) {
			w.store.Close()
			store, err := pair.Open(pair.Options{Dir: dir, UID: -1, GID: -1, Mode: 0o640, Keep: 3, Paths: paths})
			w.must(err)
			w.store, o.Store = store, store
		})
		w.ca.err, w.ca.asked = errors.New("not for that name"), 0
		w.run()
		defer w.stop()
		synctest.Wait()
		w.redis[0].start(t)
		for day := 1; day <= 10; day++ {
			pass(24 * time.Hour)
			if kinds := w.kinds(); !slices.Equal(kinds, []string{status.RenewalFailing}) {
				t.Errorf("on day %d the problems are %s", day, w.problems())
			}
			if most := 15 + 29*day; w.ca.asked < 20*day || w.ca.asked > most {
				t.Errorf("on day %d the authority has been asked %d times, of %d at most", day, w.ca.asked, most)
			}
		}
		if !w.redis[0].serves.Leaf().Equal(p.Leaf()) || w.redis[0].reloads != 0 {
			t.Errorf("it loaded %d times", w.redis[0].reloads)
		}
		w.ca.err, w.ca.asked = nil, 0
		pass(10 * 24 * time.Hour)
		if w.problems() != "" || w.ca.asked != 1 || w.redis[0].serves.Leaf().DNSNames[0] != "redis.internal" {
			t.Errorf("once it may, %d requests, problems: %s", w.ca.asked, w.problems())
		}
	})
}
