package agent

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload"
)

// believing has each load of each server held against what must always be so: what any
// server presents is accepted by all others, and by the clients of the host.
func (w *world) believing(t *testing.T) {
	for _, r := range w.redis {
		r.loaded = func() {
			for i, presents := range w.redis {
				for j, judges := range w.redis {
					if presents.serves != nil && judges.serves != nil && !accepts(judges.serves.CA, presents.serves) {
						t.Errorf("server %d does not accept what server %d presents", j, i)
					}
				}
				if presents.serves != nil && !accepts(shared(t, r.dir), presents.serves) {
					t.Errorf("who goes by ca.crt does not accept what server %d presents", i)
				}
			}
		}
	}
}

func accepts(roots []*x509.Certificate, p *cert.Pair) bool {
	_, err := cert.Paths(p.Leaf(), p.Chain[1:], cert.Pool(roots), time.Now(), x509.ExtKeyUsageAny)
	return err == nil
}

// shared returns what the clients of the host trust.
func shared(t *testing.T, dir string) []*x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := cert.ParseCertificates(text)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// lasting has what is known of roots outlive the process.
func lasting(w *world) func(*Options) {
	return func(o *Options) { o.RootsBook = filepath.Join(w.redis[0].dir, "roots.json") }
}

func begin(t *testing.T, dir string, servers int, change ...func(*Options)) *world {
	return beginWith(t, dir, servers, newTestCA(t, 24*time.Hour), change...)
}

func beginWith(t *testing.T, dir string, servers int, ca *testCA, change ...func(*Options)) *world {
	w := &world{t: t, ca: ca, keep: 3}
	for range servers {
		w.redis = append(w.redis, &testRedis{dir: dir})
	}
	w.open(dir, append(change, lasting(w))...)
	w.settle()
	w.believing(t)
	return w
}

func (w *world) trusts(c *x509.Certificate) (n int) {
	fakes.Lock()
	defer fakes.Unlock()
	for _, r := range w.redis {
		if slices.ContainsFunc(r.serves.CA, c.Equal) {
			n++
		}
	}
	return n
}

func (w *world) serve(root *testCA) (n int) {
	fakes.Lock()
	defer fakes.Unlock()
	for _, r := range w.redis {
		if accepts([]*x509.Certificate{root.root}, r.serves) {
			n++
		}
	}
	return n
}

// A new root that comes with a certificate, and not before: every server trusts it before
// the first one presents that certificate.
func TestRootComesWithLeaf(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := begin(t, dir, 3, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		old, next := *w.ca, newTestCA(t, 24*time.Hour)
		w.ca.move(next, next.root)
		w.ca.refuses = errors.New("not to be looked at before")
		pass(17 * time.Hour)
		if n := w.serve(next); n != 3 {
			t.Errorf("%d servers present the new root's certificate, want 3", n)
		}
		if n := w.trusts(old.root); n != 3 || len(shared(t, dir)) != 2 {
			t.Errorf("%d servers trust the old root, want 3; clients have %d roots, want 2", n, len(shared(t, dir)))
		}
		if w.ca.issued != 2 {
			t.Errorf("%d certificates issued, want 2", w.ca.issued)
		}
		w.stop()
		joins, trusted, issued := strings.Index(log.String(), "joins ca.crt"), strings.Index(log.String(), "every server trusts 2 CA certificates"), strings.LastIndex(log.String(), "msg=\"issued ")
		if joins < 0 || trusted < joins || issued < trusted {
			t.Errorf("the journal tells the steps at %d, %d, %d of:\n%s", joins, trusted, issued, &log)
		}
	})
}

// A rotation as an authority announces it, and the old root's end.
func TestRootAnnounced(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		w := beginWith(t, dir, 2, newTestCA(t, 9*day))
		defer func() { w.stop() }()
		old, next := *w.ca, newTestCA(t, 24*time.Hour)
		w.ca.move(&old, old.root, next.root)
		before := w.disk()
		pass(day) // it is looked at once a day
		if n := w.trusts(next.root); n != 2 || !w.disk().Equal(before) {
			t.Fatalf("%d servers trust the announced root, want 2; the certificate is the same: %v", n, w.disk().Equal(before))
		}
		w.ca.move(next, next.root, old.root)
		pass(6 * day)
		if n := w.serve(next); n != 2 {
			t.Fatalf("%d servers present the new root's certificate, want 2", n)
		}
		w.ca.move(next, next.root)
		pass(day)
		s := w.agent.opt.Board.Get()
		if i := slices.IndexFunc(s.Roots, func(r status.Root) bool { return r.Fingerprint == cert.FingerprintOf(old.root).String() }); i < 0 || s.Roots[i].Leaves.IsZero() || len(s.Roots[i].NamedBy) > 0 {
			t.Errorf("the status says %+v of the roots", s.Roots)
		}
		w.stop() // what was seen outlives the process
		w.open(dir, lasting(w))
		w.run()
		w.believing(t)
		pass(28 * day)
		if n := w.trusts(old.root); n != 2 {
			t.Fatalf("%d servers trust the old root within the grace period, want 2", n)
		}
		pass(4 * day)
		if n := w.trusts(old.root); n != 0 || len(shared(t, dir)) != 1 {
			t.Errorf("%d servers trust the old root after it, want none; clients have %d", n, len(shared(t, dir)))
		}
		if s := w.agent.opt.Board.Get(); len(s.Problems()) > 0 || len(s.Roots) != 1 {
			t.Errorf("problems %v, roots %+v", s.Problems(), s.Roots)
		}
	})
}

// What keeps a root that the authority has forgotten: a certificate that needs it, an
// authority that does not answer, a clock that cannot be believed, and the time.
func TestRootStays(t *testing.T) {
	const grace = 80 * time.Hour
	for name, keep := range map[string]func(*world, *testCA){
		"a client's certificate": func(w *world, old *testCA) {
			leaf := old.sign(&x509.Certificate{SerialNumber: old.root.SerialNumber, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0)}, old.root, w.redis[0].serves.Key.Public())
			if err := os.WriteFile(w.watched, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), 0o600); err != nil {
				w.t.Fatal(err)
			}
		},
		"an authority that is away": func(w *world, _ *testCA) { w.ca.err = errors.New("away") },
		"the clock":                 func(w *world, _ *testCA) { w.setClock(errors.New("it stands still")) },
		"the configuration":         func(w *world, old *testCA) { w.agent.opt.Roots = []*x509.Certificate{old.root} },
		"":                          func(*world, *testCA) {},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				watched := filepath.Join(dir, "client.crt")
				w := beginWith(t, dir, 1, newTestCA(t, 1000*time.Hour), func(o *Options) { o.Grace, o.Watched = grace, []File{{Path: watched}} })
				w.watched = watched
				defer w.stop()
				old, next := *w.ca, newTestCA(t, 24*time.Hour)
				w.ca.move(next, next.root)
				if err := w.renew(true); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				keep(w, &old)
				_ = w.renew(false)
				pass(200 * time.Hour)
				if n := w.trusts(old.root); (n == 1) != (name != "") {
					t.Errorf("the old root stands at %d servers", n)
				}
			})
		})
	}
}

// A server that cannot load the new root yet keeps the new certificate back at the others,
// until shortly before the end of the old one.
func TestRootWaits(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, dir, 2)
		defer w.stop()
		next := newTestCA(t, 24*time.Hour)
		w.redis[1].says = reload.ErrBusy
		w.ca.move(next, next.root)
		pass(20 * time.Hour)
		if n := w.serve(next); n != 0 || w.ca.issued != 2 {
			t.Fatalf("%d servers present the new root's certificate, want none; %d issued, want 2", n, w.ca.issued)
		}
		if p := w.agent.opt.Board.Get().Problems(); len(p) != 1 || p[0].Kind != status.ServerFailing || !strings.Contains(p[0].Text, "CA certificates") {
			t.Errorf("the problems are %+v, want that a server does not load the CA certificates", p)
		}
		fakes.Lock()
		w.redis[0].loaded, w.redis[1].says = nil, nil
		fakes.Unlock()
		w.believing(t)
		pass(time.Hour)
		if n := w.serve(next); n != 2 || w.ca.issued != 2 {
			t.Errorf("%d servers present it when all trust it, want 2; %d issued, want 2", n, w.ca.issued)
		}
		if p := w.agent.opt.Board.Get().Problems(); len(p) > 0 {
			t.Errorf("when all is mended the problems are %+v", p)
		}
		third := newTestCA(t, 24*time.Hour)
		for _, r := range w.redis {
			r.loaded = nil // one of them is out of step now, and nothing outranks the end
		}
		w.redis[1].says = reload.ErrBusy
		w.ca.move(third, third.root)
		limit := w.redis[0].serves.Leaf().NotAfter.Add(-24 * time.Hour / 8)
		pass(time.Until(limit) - time.Minute)
		if accepts([]*x509.Certificate{third.root}, w.redis[0].serves) {
			t.Error("more than an eighth of the lifetime before the end of the old certificate the new one is not kept back")
		}
		pass(15 * time.Minute)
		if !accepts([]*x509.Certificate{third.root}, w.redis[0].serves) {
			t.Error("less than an eighth before the end it is kept back")
		}
	})
}

// A process that ends between two steps leaves a server that has not loaded the bundle
// which is current: the next one has it load it before a certificate of the new root.
func TestRootAfterCrash(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, dir, 2)
		next := newTestCA(t, 24*time.Hour)
		w.redis[1].says = reload.ErrBusy
		w.ca.move(next, next.root)
		pass(17 * time.Hour)
		if n := w.trusts(next.root); n != 1 {
			t.Fatalf("%d servers trust the new root before the crash, want 1", n)
		}
		w.stop()
		fakes.Lock()
		w.redis[1].says = nil
		fakes.Unlock()
		w.open(dir, lasting(w))
		w.run()
		defer w.stop()
		pass(time.Minute)
		if n := w.serve(next); n != 2 {
			t.Errorf("%d servers present the new root's certificate after the restart, want 2", n)
		}
	})
}

// A person takes a root out of ca.crt that the authority names: it comes back with the
// next certificate and not at once, as always.
func TestRootTakenOut(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := beginWith(t, dir, 1, newTestCA(t, 1000*time.Hour))
		defer func() { w.stop() }()
		next := newTestCA(t, 24*time.Hour)
		w.ca.move(w.ca.another(), w.ca.root, next.root)
		pass(24 * time.Hour)
		if w.trusts(next.root) != 1 {
			t.Fatal("the announced root does not stand in ca.crt")
		}
		w.stop()
		g, err := w.store.(*pair.Store).Load()
		if err != nil {
			t.Fatal(err)
		}
		w.open(dir, lasting(w))
		less := *g.Current.Pair
		less.CA = []*x509.Certificate{w.ca.root}
		put, err := w.store.(*pair.Store).Put(&less, g.Current.Origin)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.store.(*pair.Store).Switch(put.ID); err != nil {
			t.Fatal(err)
		}
		w.run()
		pass(time.Minute)
		if w.trusts(next.root) != 0 {
			t.Error("it came back at once")
		}
		if err := w.renew(true); err != nil {
			t.Fatal(err)
		}
		if w.trusts(next.root) != 1 {
			t.Error("it did not come back with the next certificate")
		}
	})
}
