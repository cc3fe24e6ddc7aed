package agent

import (
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/status"
)

// The tests of this file hold what an authority wishes, and what the clocks say, against
// the end of the certificate that is served: nothing outranks that.

// served fails when the server's certificate is not valid now.
func (w *world) served() {
	w.t.Helper()
	fakes.Lock()
	defer fakes.Unlock()
	if leaf := w.redis[0].serves.Leaf(); time.Now().After(leaf.NotAfter) {
		w.t.Fatalf("at %s the server shows a certificate that ended at %s", time.Now().UTC(), leaf.NotAfter)
	}
}

// started returns a world that runs and has a server with a valid certificate.
func started(t *testing.T, dir string, lifetime time.Duration) *world {
	w := newWorld(t, dir, 1)
	w.ca.lifetime = lifetime
	w.agent.opt.Policy.Jitter = 0
	w.run()
	synctest.Wait()
	w.redis[0].start(t)
	return w
}

// TestRefusalsWithRetryAfter: whatever one answer asks for, an authority that is well
// again gives the next certificate before the old one has ended.
func TestRefusalsWithRetryAfter(t *testing.T) {
	for code, retries := range map[int]int{503: 1, 500: 1, 429: 1, 408: 1, 401: 2, 403: 2} {
		for _, lifetime := range []time.Duration{time.Minute, 24 * time.Hour, 90 * 24 * time.Hour} {
			if code != 503 && lifetime != 24*time.Hour {
				continue
			}
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := started(t, dir, lifetime)
				defer w.stop()
				w.ca.err, w.ca.asked = &ca.Error{Op: "sign", URL: "https://ca", Status: code, Message: http.StatusText(code), After: 24 * time.Hour}, 0
				pass(lifetime*2/3 + lifetime/30)
				if w.ca.asked < retries {
					t.Errorf("%d, lifetime %s: asked %d times", code, lifetime, w.ca.asked)
				}
				w.ca.err = nil
				for range 30 {
					pass(lifetime / 100)
					w.served()
				}
				if w.ca.issued != 2 {
					t.Errorf("%d, lifetime %s: %d certificates", code, lifetime, w.ca.issued)
				}
			})
		}
	}
}

// TestClockOfTheCAIsAhead: a certificate that begins soon is loaded then, and no other is
// asked for meanwhile.
func TestClockOfTheCAIsAhead(t *testing.T) {
	for _, tt := range []struct{ ahead, backdate, lifetime time.Duration }{
		{2 * time.Minute, time.Minute, 24 * time.Hour},
		{2 * time.Minute, time.Minute, 5 * time.Minute},
		{9 * time.Minute, 0, time.Hour},
		{2 * time.Second, 0, 10 * time.Second},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			w := started(t, dir, tt.lifetime)
			defer w.stop()
			w.ca.spoil = func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = c.NotBefore.Add(tt.ahead-tt.backdate), c.NotAfter.Add(tt.ahead)
			}
			const lifetimes = 10
			for range lifetimes * 10 {
				pass(tt.lifetime / 10)
				w.served()
			}
			if w.ca.issued > 2*lifetimes {
				t.Errorf("%+v: %d certificates in %d lifetimes", tt, w.ca.issued, lifetimes)
			}
			if refused := w.agent.opt.Board.Get().CAs[0].Refused; refused != 0 {
				t.Errorf("%+v: %d certificates were thrown away", tt, refused)
			}
		})
	}
}

// TestForcedWhileTheCAIsAhead: who asks is told when the certificate is loaded, and asking
// again costs no other one.
func TestForcedWhileTheCAIsAhead(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := started(t, dir, 24*time.Hour)
		defer w.stop()
		first := w.disk()
		w.ca.spoil = func(c *x509.Certificate) { c.NotBefore = c.NotBefore.Add(time.Minute) }
		for range 3 {
			err := w.renew(true)
			if err == nil || !strings.Contains(err.Error(), "is not valid before 2000-01-01T00:01:00Z, and is loaded then") {
				t.Errorf("a person is told %v", err)
			}
		}
		if w.ca.issued != 2 || !w.disk().Equal(first) {
			t.Errorf("%d certificates were issued", w.ca.issued)
		}
		pass(61 * time.Second)
		if w.disk().Equal(first) || !w.redis[0].serves.Leaf().Equal(w.disk()) {
			t.Error("the certificate has begun and is not served")
		}
		if problems := w.agent.opt.Board.Get().Problems(); len(problems) != 0 {
			t.Errorf("still a problem: %v", problems)
		}
	})
}

// TestClockIsWrongByFar: a host that lives in another year asks seldom, says why, and has
// thrown nothing away when its clock is right again.
func TestClockIsWrongByFar(t *testing.T) {
	for name, off := range map[string]time.Duration{"ahead": 100 * 24 * time.Hour, "behind": -48 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := started(t, dir, 24*time.Hour)
				defer w.stop()
				// The bubble's clock cannot be set: the CA's is.
				w.ca.spoil = func(c *x509.Certificate) { c.NotBefore, c.NotAfter = c.NotBefore.Add(-off), c.NotAfter.Add(-off) }
				pass(40 * time.Hour)
				if thrown := w.ca.issued - 1; thrown < 3 || thrown > 45 {
					t.Errorf("%d certificates in a day in which none was of use", thrown)
				}
				problem := ""
				for _, p := range w.agent.opt.Board.Get().Problems() {
					if p.Kind == status.ClockWrong {
						problem = p.Text
					}
				}
				if !strings.Contains(problem, "set this host's clock, or the CA's") {
					t.Errorf("the problem with the clock: %q", problem)
				}
				w.ca.spoil = nil
				pass(61 * time.Minute)
				w.served()
				if problems := w.agent.opt.Board.Get().Problems(); len(problems) != 0 {
					t.Errorf("still a problem: %v", problems)
				}
			})
		})
	}
}

// TestRefusedForTheSameReason: a certificate of no use is not asked for again and again,
// and once the CA is mended there is one before the end.
func TestRefusedForTheSameReason(t *testing.T) {
	for name, spoil := range map[string]func(*x509.Certificate){
		"names":  func(c *x509.Certificate) { c.DNSNames = nil },
		"usages": func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] },
		"issuer": func(c *x509.Certificate) { c.NotBefore, c.NotAfter = c.NotAfter, c.NotBefore },
	} {
		for _, lifetime := range []time.Duration{time.Minute, 90 * 24 * time.Hour} {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := started(t, dir, lifetime)
				defer w.stop()
				w.ca.spoil = spoil
				pass(lifetime * 9 / 10)
				if refused := w.ca.issued - 1; refused < 2 || refused > 40 {
					t.Errorf("%s, lifetime %s: %d refused certificates", name, lifetime, refused)
				}
				w.ca.spoil = nil
				for range 9 {
					pass(lifetime / 100)
					w.served()
				}
				pass(lifetime / 100)
				if w.served(); len(w.agent.opt.Board.Get().Problems()) != 0 {
					t.Errorf("%s, lifetime %s: still a problem: %v", name, lifetime, w.agent.opt.Board.Get().Problems())
				}
			})
		}
	}
}

// TestRefusedHoldsNoOtherAuthority: one that gives certificates of no use is left alone,
// and the next one, which was down, is not.
func TestRefusedHoldsNoOtherAuthority(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		second := newTestCA(t, 24*time.Hour)
		w.store.Close()
		w.open(dir, func(o *Options) { o.Authorities = append(o.Authorities, Authority{Issuer: second}) })
		w.run()
		defer w.stop()
		synctest.Wait()
		w.redis[0].start(t)
		w.ca.spoil = func(c *x509.Certificate) { c.DNSNames = nil }
		second.err = &ca.Error{Op: "sign", Status: 503}
		pass(22 * time.Hour)
		if refused := w.ca.issued - 1; refused > 20 || second.asked < 10 {
			t.Errorf("%d certificates were refused, the other authority was asked %d times", refused, second.asked)
		}
		second.err = nil
		pass(30 * time.Minute)
		if w.served(); second.issued != 1 {
			t.Errorf("the other authority issued %d certificates", second.issued)
		}
	})
}

// TestShortLives: certificates of seconds, as real CAs give them, are renewed about twice
// in their life.
func TestShortLives(t *testing.T) {
	for _, tt := range []struct{ lifetime, backdate time.Duration }{
		{time.Second, 0}, {2 * time.Second, time.Minute}, {5 * time.Second, 0},
		{40 * time.Second, time.Minute}, {time.Minute, time.Minute}, {3 * time.Minute, time.Minute}, {time.Minute, time.Hour},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, dir, 1)
			w.ca.lifetime = tt.lifetime
			w.ca.spoil = func(c *x509.Certificate) { c.NotBefore = c.NotBefore.Add(-tt.backdate) }
			w.run()
			defer w.stop()
			synctest.Wait()
			w.redis[0].start(t)
			const lifetimes = 12
			for range lifetimes * 7 {
				pass(tt.lifetime / 7)
				w.served()
			}
			if w.ca.issued > 2*lifetimes+1 {
				t.Errorf("%+v: %d certificates in %d lifetimes", tt, w.ca.issued, lifetimes)
			}
		})
	}
}

// TestUnreadIsNotBroken: an input/output error at the newest pair costs no certificate at
// once, and does not keep the agent from a new one for ever.
func TestUnreadIsNotBroken(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := started(t, dir, 24*time.Hour)
		defer w.stop()
		key := filepath.Join(dir, "generations", "000001", "redis.key")
		text, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		replace := func(by func() error) {
			if err := errors.Join(os.Remove(key), by()); err != nil {
				t.Fatal(err)
			}
		}
		// read(2) at the beginning of /proc/self/mem is EIO: nothing is mapped there.
		replace(func() error { return os.Symlink("/proc/self/mem", key) })
		if err := w.renew(false); err == nil || !strings.Contains(err.Error(), "input/output error") {
			t.Errorf("a person is told %v", err)
		}
		pass(3 * time.Minute)
		if w.ca.issued != 1 {
			t.Errorf("%d certificates were issued for an input/output error", w.ca.issued)
		}
		replace(func() error { return os.WriteFile(key, text, 0o640) })
		pass(2 * time.Minute)
		if problems := w.agent.opt.Board.Get().Problems(); len(problems) != 0 || w.ca.issued != 1 {
			t.Errorf("it can be read again, %d certificates were issued, and %v", w.ca.issued, problems)
		}
		replace(func() error { return os.Symlink("/proc/self/mem", key) })
		_ = w.renew(false)
		pass(10 * time.Minute)
		if w.ca.issued != 2 || !w.redis[0].serves.Leaf().Equal(w.disk()) {
			t.Error("the disk does not give the pair back, and no other one is served")
		}
	})
}
