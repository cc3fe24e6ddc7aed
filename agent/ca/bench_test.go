package ca_test

import (
	"context"
	"crypto/x509"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/wfe"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/acme"
	"redis-cert-agent/agent/ca/acme/acmetest"
	"redis-cert-agent/agent/ca/step"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"
	"redis-cert-agent/cmd/redis-cert-ca/authority"
)

const name = "redis1.internal"

type issuer interface {
	Issue(context.Context, ca.Request) (ca.Issued, error)
}

// BenchmarkIssue shows what one certificate costs, of an authority on this host:
// the time, the requests to the authority, and
// the connections. The account with an ACME CA is there already.
func BenchmarkIssue(b *testing.B) {
	host := acmetest.FreshHost(b)
	names := acmetest.NewNameserver(b, "internal", host)
	names.Add(b, name+". 1 IN A "+host)
	httpPort, tlsPort := acmetest.FreePort(b, host), acmetest.FreePort(b, host)
	running, password := startStepCA(b, authority.RunOptions{ACMEHTTPPort: httpPort, ACMETLSPort: tlsPort, ACMEResolver: names.Addr})
	jwk := step.New(step.Options{URL: running.URL, Fingerprint: running.Fingerprint, Provisioner: running.ProvisionerName,
		Password: secret.Func(func() ([]byte, error) { return password, nil })})
	b.Run("step-ca/JWK/sign", func(b *testing.B) { measure(b, jwk, running.URL, true) })
	b.Run("step-ca/JWK/rekey", func(b *testing.B) { measure(b, jwk, running.URL, false) })

	// dns-01 waits for the name servers of the zone, which are at port 53.
	if err := names.ListenToo(b, host+":53"); err != nil {
		b.Skip(err)
	}
	client := func(directory string, roots []*x509.Certificate, how acme.Challenge) issuer {
		return acme.New(acme.Options{URL: directory, Roots: roots, TermsAccepted: true, Challenge: how,
			AccountKeyFile: filepath.Join(b.TempDir(), "account.key")})
	}
	at := func(port int) string { return host + ":" + strconv.Itoa(port) }
	update := acme.DNS01Update{Server: names.Addr, Zone: "internal", KeyName: acmetest.TSIGName,
		Secret: secret.Func(func() ([]byte, error) { return []byte(acmetest.TSIGSecret), nil })}
	for _, way := range []struct {
		name string
		how  acme.Challenge
	}{
		{"http-01", acme.HTTP01{Listen: at(httpPort)}}, {"tls-alpn-01", acme.TLSALPN01{Listen: at(tlsPort)}}, {"dns-01", update},
	} {
		c := client(running.ACMEDirectory, []*x509.Certificate{running.RootCertificate}, way.how)
		b.Run("step-ca/ACME/"+way.name, func(b *testing.B) { measure(b, c, running.URL, true) })
	}

	p := acmetest.StartPebble(b, acmetest.Shape{Resolver: names.Addr, Host: host})
	for _, way := range []struct {
		name string
		how  acme.Challenge
	}{
		{"http-01", acme.HTTP01{Listen: at(p.HTTPPort)}}, {"tls-alpn-01", acme.TLSALPN01{Listen: at(p.TLSPort)}}, {"dns-01", update},
	} {
		c := client(p.URL+wfe.DirectoryPath, p.Roots, way.how)
		b.Run("Pebble/"+way.name, func(b *testing.B) { measure(b, c, p.URL, true) })
	}
}

// measure lets c issue again and again. The first time, which may make an
// account, does not count. With fresh, no certificate is renewed by the one
// before it.
func measure(b *testing.B, c issuer, at string, fresh bool) {
	b.Helper()
	u, err := url.Parse(at)
	if err != nil {
		b.Fatal(err)
	}
	var requests, connections atomic.Int64
	ctx := httptrace.WithClientTrace(b.Context(), &httptrace.ClientTrace{
		GetConn: func(hostPort string) {
			if hostPort == u.Host {
				requests.Add(1)
			}
		},
		ConnectStart: func(_, addr string) {
			if addr == u.Host {
				connections.Add(1)
			}
		},
	})
	var current *cert.Pair
	once := func() {
		got, err := c.Issue(ctx, ca.Request{Names: []string{name}, KeyType: cert.P256, Now: time.Now(), Current: current, Fresh: fresh})
		if err != nil {
			b.Fatal(err)
		}
		if current, err = cert.New(got.Chain, got.Key, got.Roots); err != nil {
			b.Fatal(err)
		}
	}
	once()
	requests.Store(0)
	connections.Store(0)
	for b.Loop() {
		once()
	}
	b.ReportMetric(float64(requests.Load())/float64(b.N), "requests/op")
	b.ReportMetric(float64(connections.Load())/float64(b.N), "connections/op")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/op")
	b.ReportMetric(0, "ns/op") // ms says it
}

// startStepCA starts redis-cert-ca's authority and returns the password of its
// JWK provisioner as well.
func startStepCA(b *testing.B, o authority.RunOptions) (*authority.Running, []byte) {
	b.Helper()
	info, err := authority.Init(authority.InitOptions{Dir: filepath.Join(b.TempDir(), "ca"), DNS: []string{"127.0.0.1"}, Address: "127.0.0.1:0", ACME: true})
	if err != nil {
		b.Fatal(err)
	}
	password, err := os.ReadFile(info.PasswordFile)
	if err != nil {
		b.Fatal(err)
	}
	running, err := authority.Start(info.Dir, o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := running.Close(); err != nil {
			b.Error(err)
		}
	})
	return running, password
}
