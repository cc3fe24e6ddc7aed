package agent

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload"
)

// TestProblemsEnd: each problem comes with its cause, and none is left when the cause is
// gone, long before the next renewal. Of all kinds of problems only server-stale is not
// here: it stands between a new pair and its load, in the middle of a round.
func TestProblemsEnd(t *testing.T) {
	const day = 24 * time.Hour
	crt := func(w *world) string { return filepath.Join(w.redis[0].dir, "current", "redis.crt") }
	for _, tt := range []struct {
		name  string
		kind  string // the problem that the cause makes; empty: none, since nothing is wanted
		cause func(*world)
		cure  func(*world)
	}{
		{"the CA is down while a person asks", "", func(w *world) {
			w.ca.err = errors.New("the CA is down")
			if err := w.renew(true); err == nil || !strings.Contains(err.Error(), "the CA is down") {
				w.t.Errorf("renew --force says %v", err)
			}
		}, func(w *world) { w.ca.err = nil }},
		{"the CA is down at the due date", status.RenewalFailing, func(w *world) {
			w.ca.err = errors.New("the CA is down")
			pass(17 * time.Hour)
		}, func(w *world) { w.ca.err = nil; pass(time.Hour) }},
		{"the CA is down, and a person brings a certificate", status.RenewalFailing, func(w *world) {
			w.ca.err = errors.New("the CA is down")
			pass(17 * time.Hour)
		}, func(w *world) { w.bring(crt(w)) }},
		{"the first of two CAs is down", "", func(w *world) {
			w.second.err, w.ca.err = nil, errors.New("the first is down")
			if err := w.renew(true); err != nil {
				w.t.Error(err)
			}
		}, func(w *world) { w.ca.err = nil }},
		{"the gate refuses what the CA gives", "", func(w *world) {
			w.ca.spoil = func(c *x509.Certificate) { c.DNSNames = nil }
			_ = w.renew(true)
		}, func(w *world) { w.ca.spoil = nil }},
		{"redis denies the reload", status.ServerFailing, func(w *world) {
			w.redis[0].says = reload.ErrDenied
			_ = w.renew(true)
		}, func(w *world) { w.redis[0].says = nil; pass(10 * time.Minute) }},
		{"redis refuses the reload", status.ServerFailing, func(w *world) {
			w.redis[0].says = reload.ErrRefused
			_ = w.renew(true)
		}, func(w *world) { w.redis[0].says = nil; pass(10 * time.Minute) }},
		{"redis is down", status.ServerUnreached, func(w *world) {
			w.redis[0].down = true
			_ = w.renew(false)
		}, func(w *world) { w.redis[0].start(w.t); pass(10 * time.Minute) }},
		{"the password of redis is wrong, and nothing is due", status.ServerFault, func(w *world) {
			w.redis[0].denies = reload.ErrDenied
			pass(25 * time.Hour)
		}, func(w *world) { w.redis[0].denies = nil; pass(2 * time.Hour) }},
		{"a link of redis to its master is down", status.ServerFault, func(w *world) {
			w.redis[0].links = reload.Links{Any: true, Down: "its link", For: time.Hour}
			pass(25 * time.Hour)
		}, func(w *world) { w.redis[0].links.Down = ""; pass(time.Hour) }},
		{"a link of redis is down when it is looked at, and stays down", status.ServerFault, func(w *world) {
			w.redis[0].links = reload.Links{Any: true, Down: "its link"}
			w.must(w.renew(false))
			pass(time.Minute)
		}, func(w *world) { w.redis[0].links = reload.Links{}; pass(time.Hour) }},
		{"a link of redis is down for seconds", "", func(w *world) {
			w.redis[0].links = reload.Links{Any: true, Down: "its link", For: 59 * time.Second}
			w.must(w.renew(false))
		}, func(w *world) { w.redis[0].links.Down = ""; pass(time.Minute) }},
		{"redis judges who presents the pair by a file of its own", status.ServerFault, func(w *world) {
			w.redis[0].client, w.redis[0].caFile = true, "/etc/redis/ca.crt"
			w.must(w.renew(false))
		}, func(w *world) {
			w.redis[0].caFile = filepath.Join(w.redis[0].dir, "current", "ca.crt")
			w.must(w.renew(false))
		}},
		{"redis has a file of its own, and nobody presents the pair", "", func(w *world) {
			w.redis[0].caFile = "/etc/redis/ca.crt"
			w.must(w.renew(false))
		}, func(w *world) {}},
		{"the password of the provisioner is wrong, and nothing is due", status.AuthorityFault, func(w *world) {
			w.ca.refuses = ca.Fault("provisioner", errors.New("wrong password"))
			pass(25 * time.Hour)
		}, func(w *world) { w.ca.refuses = nil; pass(time.Hour) }},
		{"the fingerprint is no longer that of the CA, and the CA goes down", status.AuthorityFault, func(w *world) {
			w.ca.refuses = &ca.Error{URL: "https://ca", Status: 404}
			pass(25 * time.Hour)
			w.ca.refuses = &ca.Error{URL: "https://ca"}
			pass(time.Hour)
		}, func(w *world) { w.ca.refuses = nil; pass(time.Hour) }},
		{"the CA is down, and nothing is due", "", func(w *world) {
			w.ca.refuses = &ca.Error{URL: "https://ca", Status: 503}
			pass(25 * time.Hour)
		}, func(w *world) { w.ca.refuses = nil }},
		{"the clock of the CA differs by far, and nothing is due", status.ClockWrong, func(w *world) {
			w.ca.ahead = -24 * time.Hour
			pass(25 * time.Hour)
		}, func(w *world) { w.ca.ahead = 0; pass(time.Hour) }},
		{"the clock of the CA differs by far, and the CA goes down", status.ClockWrong, func(w *world) {
			w.ca.ahead = 24 * time.Hour
			pass(25 * time.Hour)
			w.ca.ahead, w.ca.refuses = 0, &ca.Error{URL: "https://ca"}
			pass(time.Hour)
		}, func(w *world) { w.ca.refuses = nil; pass(time.Hour) }},
		{"the clock of the CA differs by far, and it says so when it is asked", status.ClockWrong, func(w *world) {
			w.ca.ahead = time.Hour
			w.must(w.renew(true))
		}, func(w *world) { w.ca.ahead = -5 * time.Minute; w.must(w.renew(true)) }},
		{"the clock of the CA differs a little", "", func(w *world) {
			w.ca.ahead = 9 * time.Minute
			w.must(w.renew(true))
		}, func(w *world) { w.ca.ahead = 0 }},
		{"redis loads other files", status.ServerFailing, func(w *world) {
			w.redis[0].lies = true
			_ = w.renew(true)
		}, func(w *world) { w.redis[0].lies = false; pass(10 * time.Minute) }},
		{"the certificate on disk is damaged", status.FilesBad, func(w *world) {
			w.must(os.WriteFile(crt(w), []byte("half"), 0o600))
			_ = w.renew(false)
		}, func(*world) { pass(time.Minute) }},
		{"the disk cannot be read", status.DiskUnreadable, func(w *world) {
			w.must(os.Rename(filepath.Join(w.redis[0].dir, "current"), filepath.Join(w.redis[0].dir, "aside")))
			w.must(os.Mkdir(filepath.Join(w.redis[0].dir, "current"), 0o755))
			_ = w.renew(false)
		}, func(w *world) {
			w.must(os.Remove(filepath.Join(w.redis[0].dir, "current")))
			w.must(os.Rename(filepath.Join(w.redis[0].dir, "aside"), filepath.Join(w.redis[0].dir, "current")))
			pass(10 * time.Minute)
		}},
		{"the clock cannot be believed", status.ClockWrong, func(w *world) {
			w.setClock(errors.New("not synchronised"))
			pass(17 * time.Hour)
		}, func(w *world) {
			w.setClock(nil)
			pass(10 * time.Minute)
		}},
		{"there is no certificate", status.NoCertificate, func(w *world) {
			w.must(os.RemoveAll(filepath.Join(w.redis[0].dir, "current")))
			w.must(os.RemoveAll(filepath.Join(w.redis[0].dir, "generations", "000001")))
			w.ca.err = errors.New("the CA is down")
			_ = w.renew(false)
		}, func(w *world) { w.ca.err = nil; pass(time.Hour) }},
		{"the CA is down until the certificate has expired", status.CertExpired, func(w *world) {
			w.ca.err = errors.New("the CA is down")
			pass(25 * time.Hour)
		}, func(w *world) { w.ca.err = nil; pass(time.Hour) }},
		{"the end of the certificate comes near", status.CertExpiring, func(w *world) {
			w.ca.err = errors.New("the CA is down")
			pass(23 * time.Hour)
		}, func(w *world) { w.ca.err = nil; pass(2 * time.Hour) }},
		{"the first of two CAs is down for long", status.AuthorityFailing, func(w *world) {
			w.second.err, w.ca.err = nil, errors.New("the first is down")
			for range 2 {
				w.must(w.renew(true))
			}
		}, func(w *world) { w.ca.err = nil; w.must(w.renew(true)) }},
		{"a watched file is gone", status.FileUnreadable, func(w *world) {
			w.must(os.Remove(w.watched))
			_ = w.renew(false)
		}, func(w *world) { w.must(os.WriteFile(w.watched, w.client, 0o644)); _ = w.renew(false) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, watched := filepath.Join(t.TempDir(), "pair"), filepath.Join(t.TempDir(), "client.crt")
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1)
				w.store.Close()
				writeClient(t, w.ca, watched, 90*day)
				w.second = newTestCA(t, day)
				w.second.err = errors.New("the second CA is not there")
				w.open(dir, func(o *Options) {
					o.Watched = []File{{Path: watched}}
					o.Warn, o.Crit = cert.Margin{Share: 0.25}, cert.Margin{Share: 0.10}
					o.Authorities = append(o.Authorities, Authority{CA: status.CA{URL: "https://second"}, Issuer: w.second})
				})
				var err error
				if w.client, err = os.ReadFile(watched); err != nil {
					t.Fatal(err)
				}
				w.watched = watched
				w.settle()
				defer w.stop()
				if p := w.problems(); p != "" {
					t.Fatalf("at the beginning: %s", p)
				}
				tt.cause(w)
				if p := w.problems(); !strings.Contains(p, tt.kind) || tt.kind == "" && p != "" {
					t.Errorf("with the cause: %q, want %q", p, tt.kind)
				}
				tt.cure(w)
				if p := w.problems(); p != "" {
					t.Errorf("after the cure: %s", p)
				}
				if s := w.agent.opt.Board.Get(); s.Verdict() != "ok" || s.LastError != nil {
					t.Errorf("after the cure: %s", s.Line())
				}
				if err := w.renew(false); err != nil {
					t.Errorf("renew says %v", err)
				}
			})
		})
	}
}

// problems returns the kinds of the problems there are.
func (w *world) problems() string {
	synctest.Wait()
	var kinds []string
	for _, p := range w.agent.opt.Board.Get().Problems() {
		kinds = append(kinds, p.Kind+": "+p.Text)
	}
	return strings.Join(kinds, "\n")
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// bring puts a newer pair in place of the current one, as a person does.
func (w *world) bring(crt string) {
	w.t.Helper()
	fault := w.ca.err
	w.ca.err = nil
	i, err := w.ca.Issue(w.t.Context(), ca.Request{Names: w.agent.opt.Names, KeyType: cert.P256})
	w.ca.err = fault
	w.must(err)
	p, err := cert.New(i.Chain, i.Key, i.Roots)
	w.must(err)
	key, err := p.KeyPEM()
	w.must(err)
	w.must(os.WriteFile(filepath.Join(filepath.Dir(crt), "redis.key"), key, 0o600))
	w.must(os.WriteFile(crt, p.CertPEM(), 0o600))
	_ = w.renew(false)
	w.ca.err = nil
}

// Renew says that the disk cannot be read, and a server that nobody asked is not called
// unreachable.
func TestRenewWithoutADisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, dir, 1)
		defer w.stop()
		current := filepath.Join(dir, "current")
		w.must(os.Remove(current))
		w.must(os.Mkdir(current, 0o755))
		if err := w.renew(false); err == nil || !strings.Contains(err.Error(), current) {
			t.Errorf("renew says %v", err)
		}
		if s := w.agent.opt.Board.Get().Servers[0]; s.State != status.Proven {
			t.Errorf("a server that nobody asked is %s", s.State)
		}
	})
}

// A server is not blamed for what the agent cannot read.
func TestInspectionWithoutADisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := settledWorld(t, dir, 1)
		defer w.stop()
		w.agent.opt.Servers[0].Redis = recognising{w.redis[0]}
		current := filepath.Join(dir, "current")
		w.must(os.Remove(current))
		w.must(os.Mkdir(current, 0o755))
		pass(26 * time.Hour)
		if p := w.problems(); strings.Contains(p, "recognised") {
			t.Error(p)
		}
	})
}

// A recognising redis answers whom it knows.
type recognising struct{ *testRedis }

func (r recognising) Settings(ctx context.Context, t reload.Trust) (reload.Settings, error) {
	if !t.Known(r.serves.Leaf()) {
		return reload.Settings{}, reload.ErrUnrecognised
	}
	return r.testRedis.Settings(ctx, t)
}

func (r recognising) Reload(ctx context.Context, t reload.Trust, l reload.Load) (reload.Reloaded, error) {
	if !t.Known(r.serves.Leaf()) {
		return reload.Reloaded{}, reload.ErrUnrecognised
	}
	return r.testRedis.Reload(ctx, t, l)
}

// After a plain renewal the failure has the time at which it happened.
func TestFailureKeepsItsTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.ca.err = errors.New("503")
		w.run()
		defer w.stop()
		synctest.Wait()
		pass(time.Minute)
		_ = w.renew(false)
		if e := w.agent.opt.Board.Get().IssueError; e == nil || time.Since(e.At) > time.Minute {
			t.Errorf("the failure is %+v", e)
		}
	})
}

// What is counted goes on over a change of the configuration.
func TestTallyOutlivesAConfiguration(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		tally := new(Tally)
		w.store.Close()
		share := func(o *Options) { o.Tally = tally }
		w.open(dir, share)
		w.run()
		synctest.Wait()
		w.redis[0].start(t)
		w.must(w.renew(true))
		w.stop()
		w.open(dir, share)
		w.run()
		defer w.stop()
		synctest.Wait()
		if s := w.agent.opt.Board.Get(); s.Rotations == 0 || s.CAs[0].Succeeded != 2 || s.CAs[0].LastSuccess.IsZero() {
			t.Errorf("%d rotations, %+v", s.Rotations, s.CAs)
		}
	})
}

// A look that is broken off by the end of the agent does not call its servers
// unreachable.
func TestStopInTheMiddleOfALook(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.run()
		synctest.Wait()
		w.redis[0].start(t)
		pass(time.Minute)
		w.replace(0, patient{w.redis[0]})
		ctx, cancel := context.WithCancel(t.Context())
		go w.agent.Renew(ctx, false)
		pass(time.Second)
		cancel()
		w.stop()
		if s := w.agent.opt.Board.Get().Servers[0]; s.State != status.Proven {
			t.Errorf("the server is %s", s.State)
		}
	})
}

// A patient redis answers no handshake before the context ends.
type patient struct{ *testRedis }

func (patient) Served(ctx context.Context, _ reload.Trust) (reload.Served, error) {
	<-ctx.Done()
	return reload.Served{}, ctx.Err()
}

// A name that no certificate carries yet is the authority's trouble, and none of the
// servers that show the newest pair: they are not told to load it again and again.
func TestNameThatNoCertificateCarries(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 2)
		w.run()
		synctest.Wait()
		w.redis[0].start(t)
		w.redis[1].start(t)
		pass(time.Minute)
		w.stop()
		w.ca.err = errors.New("the CA is down")
		w.open(dir, func(o *Options) { o.Names = append(o.Names, "other.internal") })
		w.run()
		defer w.stop()
		pass(time.Hour)
		if p := w.problems(); !strings.HasPrefix(p, status.RenewalFailing) || strings.Contains(p, "\n") {
			t.Errorf("the problems are %s", p)
		}
		if n := w.redis[0].reloads + w.redis[1].reloads; n != 0 {
			t.Errorf("servers loaded %d times what they had", n)
		}
		w.ca.err = nil
		pass(time.Hour)
		if p := w.problems(); p != "" || w.ca.issued != 2 {
			t.Errorf("%s, %d certificates", p, w.ca.issued)
		}
	})
}

// That old pairs, with their keys, cannot be removed is said, and once.
func TestPruneFailureIsSaid(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := loggedWorld(t, dir, 1, &log)
		defer w.store.Close()
		w.must(os.RemoveAll(filepath.Join(dir, "generations")))
		w.must(os.WriteFile(filepath.Join(dir, "generations"), nil, 0o600))
		for range 3 {
			w.agent.process.prune = true
			w.agent.tidy()
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("said %d times:\n%s", n, log.String())
		}
	})
}

// A first certificate without clientAuth, which was issued when no server could be
// asked, gives way to one with it when a server turns out to present it as a client.
func TestUseIsLearnedFromTheFirstServer(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.ca.spoil = func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }
		w.run()
		defer w.stop()
		synctest.Wait()
		w.ca.spoil, w.redis[0].client = nil, true
		w.redis[0].start(t)
		pass(10 * time.Minute)
		if !cert.CanAuthenticateClients(w.redis[0].serves.Leaf()) || w.ca.issued != 2 {
			t.Errorf("after %d certificates it is served one that is no client's", w.ca.issued)
		}
	})
}

// An authority that answers at the instant at which the agent is stopped has issued all
// the same: the pair is put on disk, and the next start loads it.
func TestStopWhileAnAuthorityAnswers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, 1)
		w.run()
		synctest.Wait()
		w.redis[0].start(t)
		w.agent.opt.Authorities[0].Issuer = stopping{w.ca, w.cancel}
		_ = w.renew(true)
		w.stop()
		w.open(dir)
		w.run()
		defer w.stop()
		synctest.Wait()
		if w.ca.issued != 2 || w.redis[0].serves.Leaf().SerialNumber.Int64() != 102 {
			t.Errorf("after %d certificates redis serves %v", w.ca.issued, w.redis[0].serves.Leaf().SerialNumber)
		}
	})
}

// A stopping authority stops the agent and then answers.
type stopping struct {
	*testCA
	stop context.CancelFunc
}

func (s stopping) Issue(ctx context.Context, r ca.Request) (ca.Issued, error) {
	s.stop()
	return s.testCA.Issue(ctx, r)
}
