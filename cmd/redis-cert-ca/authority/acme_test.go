package authority_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"redis-cert-agent/cmd/redis-cert-ca/authority"

	"golang.org/x/crypto/acme"
	"golang.org/x/net/dns/dnsmessage"
)

// resolver answers every question for an A record with 127.0.0.1, until the
// test ends, and returns where it listens.
func resolver(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if err := m.Unpack(buf[:n]); err != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
				}}
			}
			if answer, err := m.Pack(); err == nil {
				conn.WriteTo(answer, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// TestACME gets a certificate for a name that only the test's resolver knows,
// with challenges on ports that only this authority looks at.
func TestACME(t *testing.T) {
	t.Parallel()
	httpListener, tlsListener := listen(t), listen(t)
	info := initialize(t, authority.InitOptions{ACME: true})
	r := start(t, info.Dir, authority.RunOptions{
		ACMEHTTPPort: port(httpListener), ACMETLSPort: port(tlsListener), ACMEResolver: resolver(t),
	})
	roots := x509.NewCertPool()
	roots.AddCert(r.RootCertificate)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	client := &acme.Client{Key: newKey(t), DirectoryURL: r.ACMEDirectory, HTTPClient: &http.Client{Transport: transport}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := client.Register(ctx, &acme.Account{}, acme.AcceptTOS); err != nil {
		t.Fatal(err)
	}
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		order, err := client.AuthorizeOrder(ctx, acme.DomainIDs("redis1.internal"))
		if err != nil {
			t.Fatal(err)
		}
		authz, err := client.GetAuthorization(ctx, order.AuthzURLs[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range authz.Challenges {
			if c.Type != challenge {
				continue
			}
			if c.Type == "http-01" {
				serveHTTP01(t, httpListener, client, c.Token)
			} else {
				serveALPN01(t, tlsListener, client, c.Token)
			}
			if _, err := client.Accept(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := client.WaitAuthorization(ctx, authz.URI); err != nil {
			t.Fatalf("%s: %v", challenge, err)
		}
		csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"redis1.internal"}}, newKey(t))
		if err != nil {
			t.Fatal(err)
		}
		chain, _, err := client.CreateOrderCert(ctx, order.FinalizeURL, csr, true)
		if err != nil {
			t.Fatalf("%s: %v", challenge, err)
		}
		leaf, err := x509.ParseCertificate(chain[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := leaf.VerifyHostname("redis1.internal"); err != nil {
			t.Errorf("%s: %v", challenge, err)
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func port(ln net.Listener) int { return ln.Addr().(*net.TCPAddr).Port }

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serveHTTP01(t *testing.T, ln net.Listener, client *acme.Client, token string) {
	t.Helper()
	body, err := client.HTTP01ChallengeResponse(token)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "redis1.internal" && r.URL.Path == client.HTTP01ChallengePath(token) {
			w.Write([]byte(body))
		}
	})}
	t.Cleanup(func() { server.Close() })
	go server.Serve(ln)
}

func serveALPN01(t *testing.T, ln net.Listener, client *acme.Client, token string) {
	t.Helper()
	cert, err := client.TLSALPN01ChallengeCert(token, "redis1.internal")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{acme.ALPNProto}}
	go func() {
		for {
			conn, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			tls.Server(conn, config).Handshake()
			conn.Close()
		}
	}()
}
