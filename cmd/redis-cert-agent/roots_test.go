package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.step.sm/crypto/pemutil"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/agent/daemon"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/cmd/redis-cert-ca/authority"
	"redis-cert-agent/reload/redistest"
)

// movingConfig is that of two servers whose CA moves to other roots.
const movingConfig = `issuer:
  step: {url: 'https://%[2]s', fingerprint: %[3]s, provisioner: redis, password_file: %[1]s/provisioner-password, lifetime: 30s}
names: [moving.internal, localhost, 127.0.0.1]
servers: ['%[4]s', '%[5]s']
directory: %[1]s/pair
control: %[1]s/control.sock
files: {group: ""}
clock_wait: 0s
roots: {grace: 2s}
`

// A moving is a real step-ca that moves from root to root, an agent, a redis-server that
// demands client certificates and its replica, and clients that must never fail.
type moving struct {
	t       *testing.T
	dir     string
	info    *authority.Info
	ca      *authority.Running
	address string
	servers [2]*redistest.Server
	client  *control.Client
	log     *strings.Builder
	mu      sync.Mutex // of log
}

func (m *moving) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Write(p)
}

func (m *moving) must(err error) {
	m.t.Helper()
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.t.Fatalf("%v\n%s", err, m.log)
	}
}

// restart takes a step's effect.
func (m *moving) restart() {
	m.t.Helper()
	if m.ca != nil {
		m.must(m.ca.Close())
	}
	var err error
	m.ca, err = authority.Start(m.info.Dir, authority.RunOptions{Address: m.address, Log: slog.New(slog.DiscardHandler)})
	m.must(err)
	m.address = m.ca.Address
}

// until waits until the status is as is says.
func (m *moving) until(what string, is func(status.Status) bool) {
	m.t.Helper()
	var last status.Status
	deadline := time.Now().Add(waitLimit)
	for {
		s, err := m.client.Status(m.t.Context())
		if last = s; err == nil && is(s) {
			return
		}
		if time.Now().After(deadline) {
			m.must(fmt.Errorf("not within %s: %s; the roots are %+v, the problems %v, error %v", waitLimit, what, last.Roots, last.Problems(), err))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// signer returns who issues below a root, as the CA does.
func (m *moving) signer(r authority.Root) *redistest.CA {
	m.t.Helper()
	suffix := ""
	if r.File != filepath.Join(m.info.Dir, "certs/root_ca.crt") {
		suffix = "_" + r.Fingerprint[:16]
	}
	password, err := os.ReadFile(m.info.KeyPasswordFile)
	m.must(err)
	key, err := pemutil.Read(filepath.Join(m.info.Dir, "secrets/intermediate_ca_key"+suffix), pemutil.WithPassword(password))
	m.must(err)
	issuer, err := pemutil.ReadCertificate(filepath.Join(m.info.Dir, "certs/intermediate_ca"+suffix+".crt"))
	m.must(err)
	return &redistest.CA{Cert: issuer, Key: key.(crypto.Signer)}
}

// clientOf returns a client's pair below a root, which lasts as long as the test.
func (m *moving) clientOf(r authority.Root) *tls.Certificate {
	ca := m.signer(r)
	c := ca.Issue(m.t, redistest.Leaf{Names: []string{"client.internal"}}).TLS()
	c.Certificate = append(c.Certificate[:1:1], ca.Cert.Raw)
	return c
}

// A user is a client that connects anew for each command. What it trusts it reads each
// time.
type user struct {
	stop     context.CancelFunc
	ended    sync.WaitGroup
	commands atomic.Int64
}

func (u *user) leave(t *testing.T, name string) {
	t.Helper()
	u.stop()
	u.ended.Wait()
	if u.commands.Load() == 0 {
		t.Errorf("%s has done nothing", name)
	}
	t.Logf("%s: %d commands", name, u.commands.Load())
}

// use lets a client work at both servers until it leaves.
func (m *moving) use(name string, presents *tls.Certificate, trusts func() *x509.CertPool) *user {
	ctx, stop := context.WithCancel(m.t.Context())
	u := &user{stop: stop}
	for _, s := range m.servers {
		u.ended.Go(func() {
			for ctx.Err() == nil {
				c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, DisableIdentity: true, Protocol: 2,
					TLSConfig: &tls.Config{RootCAs: trusts(), ServerName: "moving.internal", Certificates: []tls.Certificate{*presents}}})
				err := c.Ping(context.Background()).Err()
				c.Close()
				if err != nil {
					m.t.Errorf("%s at %s: %v", name, s.Addr, err)
				}
				u.commands.Add(1)
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	return u
}

func only(c *x509.Certificate) func() *x509.CertPool {
	return func() *x509.CertPool { return cert.Pool([]*x509.Certificate{c}) }
}

// shared is what a client trusts that takes ca.crt at its stable path.
func (m *moving) shared() *x509.CertPool {
	pool := x509.NewCertPool()
	if text, err := os.ReadFile(filepath.Join(m.dir, "pair/ca.crt")); err == nil {
		pool.AppendCertsFromPEM(text)
	}
	return pool
}

// relink ends the link of the replica, and waits until it is up again.
func (m *moving) relink() {
	m.t.Helper()
	do := func(s *redistest.Server, words ...any) string {
		c := redis.NewClient(&redis.Options{Addr: s.PlainAddr, DisableIdentity: true, Protocol: 2})
		defer c.Close()
		text, err := c.Do(m.t.Context(), words...).Text()
		if err != nil && err != redis.Nil {
			text = err.Error()
		}
		return text
	}
	do(m.servers[0], "CLIENT", "KILL", "TYPE", "replica")
	deadline := time.Now().Add(waitLimit)
	for !strings.Contains(do(m.servers[1], "INFO", "replication"), "master_link_status:up") {
		if time.Now().After(deadline) {
			m.t.Fatalf("the replica's link does not come back:\n%s", m.servers[1].Log())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// shows says whether both servers prove a certificate below root.
func shows(root authority.Root, s status.Status) bool {
	if len(s.Servers) != 2 || s.Pair == nil || s.Pending != nil {
		return false
	}
	for _, server := range s.Servers {
		if server.State != status.Proven || server.ServedSerial != s.Pair.Serial {
			return false
		}
	}
	return slices.ContainsFunc(s.Certificates, func(c status.Certificate) bool {
		return c.Role == status.RoleCA && c.Serial == cert.Serial(root.Cert)
	})
}

// Two roots change, one that is heard of by a look at the authority and one by a renewal,
// while old and new clients work at two redis-servers that demand client certificates.
// None fails, and the servers accept each other throughout.
func TestRootsChange(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "moving")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &moving{t: t, dir: dir, log: new(strings.Builder), address: "127.0.0.1:0"}
	m.info, err = authority.Init(authority.InitOptions{Dir: filepath.Join(dir, "ca"), DNS: []string{"127.0.0.1"}, Address: "127.0.0.1:0", MinLifetime: time.Second, Backdate: -1})
	m.must(err)
	m.restart()
	t.Cleanup(func() { m.must(m.ca.Close()) })
	r, err := authority.ReadRotation(m.info.Dir)
	m.must(err)
	first := r.InUse

	password, err := os.ReadFile(m.info.PasswordFile)
	m.must(err)
	m.must(os.WriteFile(filepath.Join(dir, "provisioner-password"), password, 0o600))
	addrs := []string{redistest.FreeAddr(t), redistest.FreeAddr(t)}
	path := filepath.Join(dir, "agent.yaml")
	m.must(os.WriteFile(path, fmt.Appendf(nil, movingConfig, dir, m.address, first.Fingerprint, addrs[0], addrs[1]), 0o600))
	c, err := config.Load(path)
	m.must(err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- daemon.New(c, "test", slog.New(slog.NewTextHandler(m, nil))).Run(ctx) }()
	defer func() {
		stop()
		m.must(<-ended)
	}()
	m.client = control.Dial(filepath.Join(dir, "control.sock"))
	m.until("a pair", func(s status.Status) bool { return s.Pair != nil })
	current := filepath.Join(dir, "pair/current")
	files := redistest.Files{Cert: filepath.Join(current, "redis.crt"), Key: filepath.Join(current, "redis.key"), CA: filepath.Join(current, "ca.crt")}
	for i := range m.servers {
		o := redistest.Options{Addr: addrs[i], Files: files, AuthClients: "yes", Plain: true, Conf: []string{"tls-replication yes", "repl-diskless-sync-delay 0"}}
		if i > 0 {
			host, port, _ := strings.Cut(addrs[0], ":")
			o.Conf = append(o.Conf, "replicaof "+host+" "+port)
		}
		m.servers[i] = redistest.Start(t, o)
	}
	m.until("both servers serve", func(s status.Status) bool { return shows(first, s) })
	m.relink()

	roots := []authority.Root{first}
	for round, asked := range []bool{true, false} {
		before := roots[round]
		presents := m.clientOf(before)
		stable := m.use("a client that takes ca.crt where it is, before", presents, m.shared)
		old := m.use("a client that trusts the old root alone", presents, only(before.Cert))
		r, err := authority.AddRoot(m.info.Dir)
		m.must(err)
		next := *r.Added
		roots = append(roots, next)
		m.restart()
		if asked {
			_, err := m.client.Renew(t.Context(), false) // which looks at the CA at once
			m.must(err)
		}
		m.until("every server has loaded both roots", func(s status.Status) bool {
			return len(s.Roots) == 2 && s.Roots[0].Loaded && s.Roots[1].Loaded
		})
		m.relink()
		old.leave(t, "a client that trusts the old root alone") // it has been given the other, or has ca.crt
		_, err = authority.UseRoot(m.info.Dir, true)
		m.must(err)
		m.restart()
		m.until("both servers show the new root's certificate", func(s status.Status) bool { return shows(next, s) })
		m.relink()
		fresh := m.use("a client that trusts the new root alone", m.clientOf(next), only(next.Cert))
		_, err = m.client.Renew(t.Context(), true)
		m.must(err)
		m.relink()

		stable.leave(t, "a client that takes ca.crt where it is, before") // its certificate is renewed
		stable = m.use("a client that takes ca.crt where it is, after", m.clientOf(next), m.shared)
		_, err = authority.RetireRoot(m.info.Dir, true)
		m.must(err)
		m.restart()
		_, err = m.client.Renew(t.Context(), false)
		m.must(err)
		m.until("the old root has left", func(s status.Status) bool { return len(s.Roots) == 1 && s.Roots[0].Loaded })
		if all, err := cert.ReadCertificates(filepath.Join(dir, "pair/ca.crt")); err != nil || len(all) != 1 || !all[0].Equal(next.Cert) {
			t.Errorf("the clients of the host have %d roots (%v)", len(all), err)
		}
		m.relink()
		fresh.leave(t, "a client that trusts the new root alone")
		stable.leave(t, "a client that takes ca.crt where it is, after")
		// What would have failed without the other root: the servers do check.
		if c := redis.NewClient(&redis.Options{Addr: addrs[0], MaxRetries: -1, DisableIdentity: true, Protocol: 2,
			TLSConfig: &tls.Config{RootCAs: m.shared(), ServerName: "moving.internal", Certificates: []tls.Certificate{*presents}}}); c.Ping(ctx).Err() == nil {
			t.Error("a certificate of the root that has left is still accepted")
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for message, n := range map[string]int{"joins ca.crt": 2, "leaves ca.crt": 2} {
		if got := strings.Count(m.log.String(), message); got != n {
			t.Errorf("the journal says %q %d times, want %d:\n%s", message, got, n, m.log)
		}
	}
	away := regexp.MustCompile(`connection refused|connection reset|EOF`) // a renewal may be due while the authority is started again
	for line := range strings.Lines(m.log.String()) {
		if strings.Contains(line, "level=ERROR") && !(strings.Contains(line, m.address) && away.MatchString(line)) {
			t.Errorf("the journal says %s", line)
		}
	}
}
