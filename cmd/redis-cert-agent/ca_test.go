package main

import (
	"context"
	"crypto"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/authority/provisioner"
	"go.step.sm/crypto/jose"
	"go.step.sm/crypto/pemutil"

	"redis-cert-agent/agent/ca/acme/acmetest"
	"redis-cert-agent/cmd/redis-cert-ca/authority"
	"redis-cert-agent/reload/redistest"
)

// realCA is a step-ca in this process. It certifies names one level below
// "internal", localhost and loopback addresses, and nothing else.
type realCA struct {
	*authority.Running
	dir          string
	intermediate *redistest.CA // the key that signs

	// Where it looks for http-01 and tls-alpn-01 challenges, and the DNS that
	// it asks for the names. Those that it does not have lead to nobody.
	httpPort, tlsPort int
	names             *acmetest.Nameserver
	shared            acmetest.Shared

	mu     sync.Mutex
	issued map[string]int // certificates by their first name
	asked  int            // requests
}

// sharedCA returns the authority of all tests, which the first of them starts.
var sharedCA = sync.OnceValues(startCA)

var sharedDir string

func closeSharedCA() {
	if sharedDir == "" {
		return
	}
	if ca, err := sharedCA(); err == nil {
		_ = ca.Close() // the tests are over
		ca.shared.End()
	}
	_ = os.RemoveAll(sharedDir)
}

func startCA() (*realCA, error) {
	dir, err := os.MkdirTemp("", "redis-cert-agent-test-")
	if err != nil {
		return nil, err
	}
	sharedDir = dir
	ca := &realCA{dir: filepath.Join(dir, "ca"), issued: map[string]int{}}
	nobody := acmetest.FreshHost(&ca.shared)
	ca.names = acmetest.NewNameserver(&ca.shared, "internal", nobody)
	ca.httpPort, ca.tlsPort = acmetest.FreePort(&ca.shared, nobody), acmetest.FreePort(&ca.shared, nobody)
	info, err := authority.Init(authority.InitOptions{
		Dir: ca.dir, DNS: []string{"127.0.0.1", "localhost"}, Address: "127.0.0.1:0",
		MinLifetime: time.Second, Backdate: -1, ACME: true,
		AllowDNS: []string{"localhost", "*.internal"}, AllowIP: []string{"127.0.0.0/8"},
	})
	if err != nil {
		return nil, err
	}
	if ca.intermediate, err = quicken(info); err != nil {
		return nil, err
	}
	ca.Running, err = authority.Start(ca.dir, authority.RunOptions{
		Log: slog.New(ca), ACMEHTTPPort: ca.httpPort, ACMETLSPort: ca.tlsPort, ACMEResolver: ca.names.Addr,
	})
	return ca, err
}

// quicken makes the secrets of a new authority quick to decrypt. The usual
// 600,000 rounds of PBKDF2 take seconds under the race detector, in every
// agent that is started. It returns the intermediate, by which tests make what
// another program would get from the same authority.
func quicken(info *authority.Info) (*redistest.CA, error) {
	password, err := os.ReadFile(info.KeyPasswordFile)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(info.Dir, "secrets/intermediate_ca_key")
	key, err := pemutil.Read(file, pemutil.WithPassword(password))
	if err != nil {
		return nil, err
	}
	block, err := pemutil.Serialize(key)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	issuer, err := pemutil.ReadCertificate(filepath.Join(info.Dir, "certs/intermediate_ca.crt"))
	if err != nil {
		return nil, err
	}
	c, err := config.LoadConfiguration(info.ConfigFile)
	if err != nil {
		return nil, err
	}
	if password, err = os.ReadFile(info.PasswordFile); err != nil {
		return nil, err
	}
	p := c.AuthorityConfig.Provisioners[0].(*provisioner.JWK)
	if p.EncryptedKey, err = reseal(p.EncryptedKey, password); err != nil {
		return nil, err
	}
	return &redistest.CA{Cert: issuer, Key: key.(crypto.Signer)}, c.Save(info.ConfigFile)
}

// reseal encrypts a provisioner's key as step-ca does, in fewer rounds.
func reseal(sealed string, password []byte) (string, error) {
	box, err := jose.ParseEncrypted(sealed)
	if err != nil {
		return "", err
	}
	data, err := box.Decrypt(password)
	if err != nil {
		return "", err
	}
	if !json.Valid(data) {
		return "", errors.New("the provisioner's key is no JSON")
	}
	e, err := jose.NewEncrypter(jose.DefaultEncAlgorithm, jose.Recipient{
		Algorithm: jose.PBES2_HS256_A128KW, Key: password, PBES2Count: 1000, PBES2Salt: []byte("0123456789abcdef")}, nil)
	if err != nil {
		return "", err
	}
	again, err := e.Encrypt(data)
	if err != nil {
		return "", err
	}
	return again.CompactSerialize()
}

// count is how many certificates the authority gave for a name.
func (ca *realCA) count(name string) int {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.issued[name]
}

// requests returns how many requests the authority has had.
func (ca *realCA) requests() int {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.asked
}

// The authority logs each request and each certificate that it gives: realCA is the handler.

func (ca *realCA) Enabled(context.Context, slog.Level) bool { return true }
func (ca *realCA) WithAttrs([]slog.Attr) slog.Handler       { return ca }
func (ca *realCA) WithGroup(string) slog.Handler            { return ca }

func (ca *realCA) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "request" {
		ca.mu.Lock()
		defer ca.mu.Unlock()
		ca.asked++
	}
	if !strings.HasPrefix(r.Message, "certificate ") {
		return nil
	}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "names" {
			return true
		}
		first, _, _ := strings.Cut(a.Value.String(), ",")
		ca.mu.Lock()
		ca.issued[first]++
		ca.mu.Unlock()
		return false
	})
	return nil
}

// A relay passes connections on to the authority, bytes as they are, and can be
// cut: then nothing listens at its address.
type relay struct {
	Addr string
	to   string

	mu       sync.Mutex
	listener net.Listener // nil: cut
	conns    map[net.Conn]bool
	running  sync.WaitGroup
}

func newRelay(t testing.TB, to string) *relay {
	r := &relay{Addr: reserve(t), to: to, conns: map[net.Conn]bool{}}
	if err := r.join(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.cut)
	return r
}

// join listens, again where it did before.
func (r *relay) join() error {
	l, err := net.Listen("tcp", r.Addr)
	if err != nil {
		return err
	}
	r.serve(l)
	return nil
}

func (r *relay) serve(l net.Listener) {
	r.mu.Lock()
	r.listener = l
	r.mu.Unlock()
	r.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // cut
			}
			r.running.Go(func() { r.pass(conn) })
		}
	})
}

func (r *relay) pass(client net.Conn) {
	server, err := net.Dial("tcp", r.to)
	if err != nil {
		client.Close()
		return
	}
	if !r.hold(client, server) {
		return
	}
	var both sync.WaitGroup
	copyTo := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // however it ends, it has ended
		to.Close()
		from.Close()
	}
	both.Go(func() { copyTo(server, client) })
	both.Go(func() { copyTo(client, server) })
	both.Wait()
	r.mu.Lock()
	delete(r.conns, client)
	delete(r.conns, server)
	r.mu.Unlock()
}

// hold notes the connections, so that cut can end them; false when it was first.
func (r *relay) hold(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		if r.listener == nil {
			c.Close()
			continue
		}
		r.conns[c] = true
	}
	return r.listener != nil
}

func (r *relay) cut() {
	r.mu.Lock()
	if r.listener != nil {
		r.listener.Close()
		r.listener = nil
	}
	for c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}
