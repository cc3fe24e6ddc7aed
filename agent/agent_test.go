package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload"
)

// TestRotatesForWeeks: every server always shows a certificate that is valid,
// and the loop sleeps in between.
func TestRotatesForWeeks(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 3)
		w.run()
		defer w.stop()
		synctest.Wait()
		for _, r := range w.redis {
			r.start(t)
		}
		const days = 30
		for range days * 24 {
			pass(time.Hour)
			for i, r := range w.redis {
				if left := time.Until(r.serves.Leaf().NotAfter); left < 7*time.Hour {
					t.Fatalf("server %d has a certificate with %v left", i, left)
				}
				if !r.serves.Leaf().Equal(w.disk()) {
					t.Fatalf("server %d shows another certificate than the disk", i)
				}
			}
		}
		if got, want := w.ca.issued, days*24/16+1; got < want || got > want+4 {
			t.Errorf("%d certificates in %d days of 24 h certificates, want %d", got, days, want)
		}
		if perIssue := float64(w.alarm.sets) / float64(w.ca.issued); perIssue > 2.1 { // once for the renewal, and once for the rehearsal before it
			t.Errorf("the loop woke %.1f times for each certificate", perIssue)
		}
		if disk, err := w.store.Load(); err != nil || len(disk.All) > 5 { // the current one, three to keep, and the one shown before
			t.Errorf("%d pairs are on disk (%v)", len(disk.All), err)
		}
	})
}

// trouble makes the reload fail in one way, then heals it.
func TestReloadTrouble(t *testing.T) {
	tests := []struct {
		name     string
		break_   func(*testRedis)
		heal     func(*testRedis)
		rollBack bool // the disk goes back to what was proven
	}{
		{"denied", func(r *testRedis) { r.says = reload.ErrDenied }, func(r *testRedis) { r.says = nil }, false},
		{"refused", func(r *testRedis) { r.says = reload.ErrRefused }, func(r *testRedis) { r.says = nil }, true},
		{"busy", func(r *testRedis) { r.says = reload.ErrBusy }, func(r *testRedis) { r.says = nil }, false},
		{"an OK that lies", func(r *testRedis) { r.lies = true }, func(r *testRedis) { r.lies = false }, true},
		{"down", func(r *testRedis) { r.down = true }, func(r *testRedis) { r.down = false }, false},
		{"restarted while down", func(r *testRedis) { r.down = true }, func(r *testRedis) { r.down = false; _ = r.read() }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := settledWorld(t, dir, 1)
				defer w.stop()
				first := w.disk()

				tt.break_(w.redis[0])
				pass(17 * time.Hour) // the renewal was due meanwhile
				if w.ca.issued != 2 {
					t.Errorf("%d certificates issued, want 2: the first and one renewal", w.ca.issued)
				}
				if back := w.disk().Equal(first); back != tt.rollBack {
					t.Errorf("the disk is back at the first certificate: %v, want %v", back, tt.rollBack)
				}
				if err := w.renew(false); err == nil {
					t.Error("renew says that all is well while the reload fails")
				}
				tt.heal(w.redis[0])
				pass(10 * time.Minute)
				if w.ca.issued != 2 {
					t.Errorf("%d certificates issued after the healing, want 2", w.ca.issued)
				}
				if !w.redis[0].serves.Leaf().Equal(w.disk()) || w.disk().Equal(first) {
					t.Error("after the healing the server does not show the new certificate")
				}
			})
		})
	}
}

// TestOneOfThreeFails: the two that can show the new certificate do, the disk
// stays with them, and only the third is tried again.
func TestOneOfThreeFails(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 3)
		w.run()
		defer w.stop()
		synctest.Wait()
		for _, r := range w.redis {
			r.start(t)
		}
		first := w.disk()
		w.redis[1].says = reload.ErrDenied
		pass(17 * time.Hour)
		if w.disk().Equal(first) {
			t.Fatal("one failure of three took the certificate back")
		}
		if w.redis[0].reloads != 1 || w.redis[2].reloads != 1 {
			t.Errorf("reloads of the healthy servers: %d and %d, want one each", w.redis[0].reloads, w.redis[2].reloads)
		}
		w.redis[1].says = nil
		pass(10 * time.Minute)
		if !w.redis[1].serves.Leaf().Equal(w.disk()) || w.ca.issued != 2 {
			t.Error("the third server did not catch up, or cost a certificate")
		}
	})
}

// TestPersistentRefusal: a server that never takes the new pair keeps the old
// one until that is about to end, and the next renewal is due by the newest.
func TestExpiredPreviousIsNoWayBack(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.run()
		synctest.Wait()
		w.redis[0].start(t)
		w.stop()
		pass(48 * time.Hour) // the agent is stopped, the certificate expires
		w.redis[0].says = reload.ErrDenied
		w.open(dir)
		w.run()
		defer w.stop()
		synctest.Wait()
		if time.Now().After(w.disk().NotAfter) {
			t.Error("a server that cannot be asked took the disk back to an expired certificate")
		}
	})
}

type later struct{ time.Duration }

func (later) Error() string               { return "503" }
func (e later) RetryAfter() time.Duration { return e.Duration }

// TestCADownPastExpiry: the agent keeps asking, not too often, and recovers.
func TestCADownPastExpiry(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.run()
		defer w.stop()
		synctest.Wait()
		w.redis[0].start(t)
		first := w.disk()
		w.ca.err = errors.New("connection refused")
		pass(30 * time.Hour)
		if w.ca.asked < 10 || w.ca.asked > 300 {
			t.Errorf("asked %d times in 14 hours", w.ca.asked)
		}
		if !w.disk().Equal(first) || w.redis[0].reloads != 0 {
			t.Error("a CA that is down changed something")
		}
		w.ca.err = nil
		pass(6 * time.Minute)
		if w.redis[0].serves.Leaf().Equal(first) {
			t.Error("the CA is back and the server still shows the expired certificate")
		}
	})
}

// TestRetryAfterIsHonoured up to a quarter of what is left of the certificate, and up to
// five minutes when there is none.
func TestRetryAfterIsHonoured(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.agent.opt.Policy.Jitter = 0
		w.ca.err = later{3 * time.Hour}
		w.run()
		defer w.stop()
		pass(299 * time.Second)
		if w.ca.asked != 1 {
			t.Errorf("asked %d times within five minutes of the CA's Retry-After", w.ca.asked)
		}
		w.ca.err = nil
		pass(2 * time.Second)
		if w.ca.issued != 1 {
			t.Fatal("not asked again although there is no certificate")
		}
		w.redis[0].start(t)
		w.ca.err, w.ca.asked = later{24 * time.Hour}, 0
		pass(16*time.Hour + 119*time.Minute)
		if w.ca.asked != 1 {
			t.Errorf("asked %d times within a quarter of what is left", w.ca.asked)
		}
		w.ca.err = nil
		pass(2 * time.Minute)
		if w.ca.issued != 2 {
			t.Error("not asked again after a quarter of what is left")
		}
	})
}

// TestGate: what the CA gives must satisfy the servers, or nothing changes.
func TestGate(t *testing.T) {
	tests := []struct {
		name, want string
		spoil      func(*x509.Certificate)
		client     bool
	}{
		{"other names", "it is not for redis.internal", func(c *x509.Certificate) { c.DNSNames = []string{"evil.internal"} }, false},
		{"no serverAuth", "lacks serverAuth", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }, false},
		{"no clientAuth for a replica", "lacks clientAuth", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, true},
		{"not valid yet", "not valid before", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, false},
		{"expired", "expired at", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1)
				w.run()
				defer w.stop()
				synctest.Wait()
				w.redis[0].start(t)
				w.redis[0].client = tt.client
				first := w.disk()
				w.ca.spoil = tt.spoil
				err := w.renew(true)
				if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %q, want one line with %q", err, tt.want)
				}
				if !w.disk().Equal(first) || w.redis[0].reloads != 0 {
					t.Error("a refused certificate changed something")
				}
			})
		})
	}
}

// TestServerAuthOnlyIsEnough where no server presents the pair as a client.
func TestServerAuthOnlyIsEnough(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.run()
		defer w.stop()
		synctest.Wait()
		w.redis[0].start(t)
		w.ca.spoil = func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }
		if err := w.renew(true); err != nil {
			t.Error(err)
		}
	})
}

// TestFullDisk: the certificate that did not fit is kept for the next attempt.
func TestFullDisk(t *testing.T) {
	// The limit is the process's own, and go test writes files in it: a child
	// bears it alone.
	if os.Getenv("TEST_FULL_DISK") == "" {
		child := exec.Command(os.Args[0], "-test.run=^TestFullDisk$")
		child.Env = append(os.Environ(), "TEST_FULL_DISK=1")
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.run()
		defer w.stop()
		synctest.Wait()
		w.redis[0].start(t)
		first := w.disk()
		heal := fullDisk(t)
		if err := w.renew(true); err == nil {
			t.Error("no error although the disk took nothing")
		}
		if !w.disk().Equal(first) {
			t.Error("the pair on disk changed")
		}
		heal()
		pass(10 * time.Minute)
		if w.ca.issued != 2 {
			t.Errorf("%d certificates issued, want 2", w.ca.issued)
		}
		if w.disk().Equal(first) || !w.redis[0].serves.Leaf().Equal(w.disk()) {
			t.Error("the kept certificate is not served")
		}
	})
}

// fullDisk lets no file of this process grow, by the kernel's own limit: write(2)
// answers EFBIG as it answers ENOSPC on a full disk.
func fullDisk(t *testing.T) (heal func()) {
	t.Helper()
	signal.Ignore(unix.SIGXFSZ)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 0, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
			t.Error(err)
		}
	}
}

// TestNamesChange: a restart with other names gets another certificate at once.
func TestNamesChange(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.run()
		synctest.Wait()
		w.redis[0].start(t)
		for _, tt := range []struct {
			what   string
			change func(*Options)
		}{
			{"one more name", func(o *Options) { o.Names = append(o.Names, "b.internal") }},
			{"one less name", func(o *Options) { o.Names = o.Names[:1] }},
			{"another key type", func(o *Options) { o.Names, o.KeyType = o.Names[:1], cert.Ed25519 }},
		} {
			before := w.ca.issued
			w.stop()
			w.open(dir, tt.change)
			w.run()
			synctest.Wait()
			if w.ca.issued != before+1 {
				t.Errorf("%s: %d certificates issued, want 1", tt.what, w.ca.issued-before)
			}
		}
		before := w.ca.issued
		w.stop()
		w.open(dir, func(o *Options) { o.Names, o.KeyType = o.Names[:1], cert.Ed25519 })
		w.run()
		defer w.stop()
		synctest.Wait()
		if w.ca.issued != before {
			t.Error("nothing changed and a certificate was issued")
		}
	})
}

// TestClockHolds: a clock that is not believed causes no issuance.
func TestClockHolds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		synced := time.Now().Add(2 * time.Minute)
		w.agent.opt.Clock = func(now time.Time) (time.Time, error) {
			if now.Before(synced) {
				return synced, errors.New("it is not synchronised yet")
			}
			return time.Time{}, nil
		}
		w.run()
		defer w.stop()
		pass(119 * time.Second)
		if err := w.renew(true); err == nil || !strings.Contains(err.Error(), "not synchronised") {
			t.Errorf("a forced renewal says %v", err)
		}
		if w.ca.asked != 0 {
			t.Error("a certificate was asked for by a clock that is not believed")
		}
		pass(2 * time.Second)
		if w.ca.issued != 1 {
			t.Error("no certificate after the clock was synchronised")
		}
	})
}

// TestKilledBeforeSwitch: a pair that was put on disk and not loaded is loaded
// by the next start; no other one is asked for.
func TestKilledBeforeSwitch(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.run()
		synctest.Wait()
		w.redis[0].start(t)
		w.stop()
		w.open(dir)
		seen := w.agent.look()
		w.agent.notice(t.Context(), &seen)
		if err := w.agent.issue(t.Context(), seen, w.agent.next(seen)); err != nil {
			t.Fatal(err)
		}
		w.store.Close() // and dies
		w.open(dir)
		w.run()
		defer w.stop()
		synctest.Wait()
		if w.ca.issued != 2 {
			t.Errorf("%d certificates issued, want 2", w.ca.issued)
		}
		if w.redis[0].serves.Leaf().SerialNumber.Int64() != 102 {
			t.Error("the pair that was on disk is not served")
		}
	})
}

// suggesting is a testCA that wants certificates to be renewed in a window of its
// own.
type suggesting struct {
	*testCA
	after time.Duration // from now to the window's begin
	why   string
	fault error
	asks  int
}

func (w *suggesting) Suggest(context.Context, *x509.Certificate, *x509.Certificate) (ca.Suggestion, error) {
	fakes.Lock()
	defer fakes.Unlock()
	w.asks++
	if w.fault != nil {
		return ca.Suggestion{}, w.fault
	}
	from := time.Now().Add(w.after)
	return ca.Suggestion{From: from, To: from.Add(time.Hour), Again: 6 * time.Hour, Explanation: w.why}, nil
}

// TestAuthorityWishes: the authority's window is read when it says, and a
// window that moves to now causes a renewal.
func TestAuthorityWishes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.ca.chain = true
		authority := &suggesting{testCA: w.ca, after: 10 * time.Hour}
		w.agent.opt.Authorities[0].Issuer = authority
		w.run()
		defer w.stop()
		synctest.Wait()
		w.redis[0].start(t)
		pass(5 * time.Hour)
		if authority.asks != 1 {
			t.Errorf("asked %d times for the window, want once in six hours", authority.asks)
		}
		authority.after = -time.Hour // a revocation is coming
		pass(2 * time.Hour)
		if w.ca.issued != 2 && w.ca.issued != 3 || !w.redis[0].serves.Leaf().Equal(w.disk()) {
			t.Error("the window came forward and the certificate was not renewed")
		}
	})
}

// TestFailover: the second authority is asked when the first fails, and the
// first again the next time.
func TestFailover(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		second := newTestCA(t, 24*time.Hour)
		w.agent = nil
		w.store.Close()
		w.open(dir, func(o *Options) { o.Authorities = append(o.Authorities, Authority{Issuer: second}) })
		w.run()
		defer w.stop()
		synctest.Wait()
		w.redis[0].start(t)
		w.ca.err = later{time.Hour}
		if err := w.renew(true); err != nil {
			t.Fatal(err)
		}
		if second.issued != 1 || !w.redis[0].serves.Leaf().Equal(w.disk()) {
			t.Error("the second authority did not step in")
		}
		w.ca.err = nil
		asked := w.ca.asked
		pass(17 * time.Hour)
		if w.ca.asked != asked+1 || second.issued != 1 {
			t.Error("the first authority was not asked first again")
		}
	})
}

// TestFailuresOutliveTheProcess: an agent that is restarted again and again asks
// no more often than one that is not.
func TestFailuresOutliveTheProcess(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "attempts.json")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.store.Close()
		w.ca.err = later{time.Hour}
		for range 5 {
			w.open(dir, func(o *Options) { o.Attempts = file })
			w.run()
			pass(59 * time.Second)
			w.stop()
		}
		if w.ca.asked != 1 {
			t.Errorf("asked %d times in five minutes of restarts, the authority wanted an hour", w.ca.asked)
		}
		w.ca.err = nil
		w.open(dir, func(o *Options) { o.Attempts = file })
		w.run()
		defer w.stop()
		_ = w.renew(false) // it says that redis is down
		if w.ca.issued != 1 {
			t.Error("a person asked and nothing was issued")
		}
		if _, err := os.Stat(file); err == nil {
			t.Error("after a success the failures are still kept")
		}
	})
}

// TestStopAnswers: a request that meets the end of the agent is answered.
func TestStopAnswers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.run()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.agent.Renew(ctx, false); errors.Is(err, ErrStopped) {
			t.Error("who gives up waiting is told that the agent stops")
		}
		w.stop()
		if err := w.agent.Renew(t.Context(), false); !errors.Is(err, ErrStopped) {
			t.Errorf("got %v, want ErrStopped", err)
		}
	})
}
