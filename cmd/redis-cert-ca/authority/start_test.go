package authority_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"redis-cert-agent/cmd/redis-cert-ca/authority"

	"github.com/smallstep/certificates/api"
	"go.step.sm/crypto/jose"
	"go.step.sm/crypto/randutil"
)

// journal collects a log.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	chmod := func(path string, mode os.FileMode) {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	info := initialize(t, authority.InitOptions{})
	open := initialize(t, authority.InitOptions{})
	chmod(open.Dir, 0o750)
	secret := initialize(t, authority.InitOptions{})
	chmod(secret.PasswordFile, 0o640)
	keySecret := initialize(t, authority.InitOptions{})
	chmod(keySecret.KeyPasswordFile, 0o604)
	empty := t.TempDir()
	chmod(empty, 0o700)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	for _, tt := range []struct{ dir, address, want string }{
		{open.Dir, "127.0.0.1:0", "mode 0750 lets others into the directory of the CA's keys: chmod 0700 " + open.Dir},
		{secret.Dir, "127.0.0.1:0", "mode 0640 lets others read the secret: chmod 0600 " + secret.PasswordFile},
		{keySecret.Dir, "127.0.0.1:0", "mode 0604 lets others read the secret: chmod 0600 " + keySecret.KeyPasswordFile},
		{empty, "127.0.0.1:0", "no certificate authority here (config/ca.json is missing): make one with `redis-cert-ca init`"},
		{filepath.Join(empty, "none"), "127.0.0.1:0", "no certificate authority here: make one with"},
		{info.Dir, taken.Addr().String(), "address already in use: stop what uses the port, or choose another address"},
	} {
		r, err := authority.Start(tt.dir, authority.RunOptions{Address: tt.address})
		if err == nil {
			t.Errorf("started; want error %q", tt.want)
			r.Close()
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %q, want %q", err, tt.want)
		}
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	info := initialize(t, authority.InitOptions{})
	start(t, info.Dir, authority.RunOptions{})
	if _, err := authority.Start(info.Dir, authority.RunOptions{Address: "127.0.0.1:0"}); !errors.Is(err, authority.ErrRunning) {
		t.Errorf("error %v, want ErrRunning", err)
	}
}

// TestRestart closes an authority with a client still connected, and starts it
// at the same address: what it knew of revocations it still knows.
func TestRestart(t *testing.T) {
	t.Parallel()
	info := initialize(t, authority.InitOptions{})
	r := start(t, info.Dir, authority.RunOptions{})
	revoked, good := sign(t, r, "a.internal"), sign(t, r, "b.internal")
	_, err := client(t, r).Revoke(&api.RevokeRequest{Serial: revoked.Leaf.SerialNumber.String(), Passive: true}, transport(t, r, revoked))
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 900*time.Millisecond {
		t.Errorf("close took %s with nothing but idle connections", took)
	}
	if err := r.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	<-r.Done()

	var log journal
	again := start(t, info.Dir, authority.RunOptions{Address: r.Address, Log: log.logger()})
	if again.URL != r.URL || again.Fingerprint != r.Fingerprint {
		t.Errorf("came back as %s %s, was %s %s", again.URL, again.Fingerprint, r.URL, r.Fingerprint)
	}
	if _, err := client(t, again).Renew(transport(t, again, revoked)); err == nil {
		t.Error("a revoked certificate was renewed after the restart")
	}
	if !strings.Contains(log.String(), "certificate has been revoked") {
		t.Errorf("log does not tell why the renewal was refused:\n%s", &log)
	}
	if _, err := client(t, again).Renew(transport(t, again, good)); err != nil {
		t.Errorf("renew after the restart: %v", err)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	var log journal
	info := initialize(t, authority.InitOptions{})
	r := start(t, info.Dir, authority.RunOptions{Log: log.logger()})
	req, key := request(t, r, "redis1.internal", "10.0.0.5")
	c := client(t, r)
	resp, err := c.Sign(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Renew(transport(t, r, pair(resp, key))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sign(req); err == nil {
		t.Fatal("a token was good twice")
	}
	if err := r.Close(); err != nil { // a line follows the answer
		t.Fatal(err)
	}
	got := log.String()
	for _, want := range []string{
		`msg="certificate issued" names=redis1.internal,10.0.0.5 serial=` + resp.ServerPEM.SerialNumber.String() + " not_after=" + resp.ServerPEM.NotAfter.UTC().Format(time.RFC3339),
		`msg="certificate renewed" names=`,
		`provisioner="redis (`,
		"client=127.0.0.1",
		`msg="request refused" path=/sign status=401`,
		"token already used",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("log lacks %q:\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\n"); n != 3 {
		t.Errorf("%d lines for three requests:\n%s", n, got)
	}
	for name, secret := range map[string]string{"the token": req.OTT, "the password": string(r.Password), "the certificate": base64.StdEncoding.EncodeToString(resp.ServerPEM.Raw)} {
		if strings.Contains(got, secret) {
			t.Errorf("%s is in the log", name)
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	info := initialize(t, authority.InitOptions{AllowDNS: []string{"*.redis.internal"}, AllowIP: []string{"10.0.0.0/8"}})
	r := start(t, info.Dir, authority.RunOptions{})
	sign(t, r, "a.redis.internal", "10.0.0.5")
	for _, name := range []string{"bad.example.com", "192.168.0.1"} {
		req, _ := request(t, r, name)
		if _, err := client(t, r).Sign(req); err == nil || !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("%s: error %v, want a refusal", name, err)
		}
	}
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	info := initialize(t, authority.InitOptions{Lifetime: 10 * time.Second, Backdate: -1})
	r := start(t, info.Dir, authority.RunOptions{})
	cert := sign(t, r, "a.internal")
	if got := cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore); got != 10*time.Second {
		t.Errorf("certificate spans %s, want 10s to the second", got)
	}
	req, _ := request(t, r, "a.internal")
	req.NotAfter = api.NewTimeDuration(time.Now().Add(25 * time.Hour))
	if _, err := client(t, r).Sign(req); err == nil || !strings.Contains(err.Error(), "more than the authorized maximum") {
		t.Errorf("25h: error %v, want a refusal", err)
	}
}

// TestRenewAfterExpiry lets a certificate of two seconds expire. A new
// authority must accept its token although its own certificates are young.
func TestRenewAfterExpiry(t *testing.T) {
	t.Parallel()
	for _, allowed := range []bool{true, false} {
		info := initialize(t, authority.InitOptions{Lifetime: 2 * time.Second, RenewAfterExpiry: allowed})
		r := start(t, info.Dir, authority.RunOptions{})
		cert := sign(t, r, "a.internal")
		<-time.After(time.Until(cert.Leaf.NotAfter.Add(time.Second)))
		token := renewToken(t, r, cert)
		if _, err := client(t, r).RenewWithToken(token); (err == nil) != allowed {
			t.Errorf("allowed %t: error %v", allowed, err)
		}
	}
}

// renewToken makes what a certificate's owner shows instead of an expired
// certificate: a JWT that its key signed.
func renewToken(t *testing.T, r *authority.Running, cert tls.Certificate) string {
	t.Helper()
	var chain []string
	for _, der := range cert.Certificate {
		chain = append(chain, base64.StdEncoding.EncodeToString(der))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: cert.PrivateKey},
		new(jose.SignerOptions).WithType("JWT").WithHeader("x5cInsecure", chain))
	if err != nil {
		t.Fatal(err)
	}
	id, err := randutil.Hex(32)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token, err := jose.Signed(signer).Claims(jose.Claims{
		ID: id, Issuer: "step-ca-client/1.0", Subject: cert.Leaf.Subject.CommonName, Audience: jose.Audience{r.URL + "/renew"},
		IssuedAt: jose.NewNumericDate(now), NotBefore: jose.NewNumericDate(now), Expiry: jose.NewNumericDate(now.Add(5 * time.Minute)),
	}).CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestNothingIsLeft is not parallel: it counts goroutines.
func TestNothingIsLeft(t *testing.T) {
	info := initialize(t, authority.InitOptions{ACME: true})
	cycle := func() {
		r, err := authority.Start(info.Dir, authority.RunOptions{Address: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}).RoundTrip(
			must(http.NewRequest(http.MethodGet, r.URL+"/roots", nil)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cycle() // what starts once a process, starts here
	before := runtime.NumGoroutine()
	for range 3 {
		cycle()
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
