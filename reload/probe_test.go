package reload_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/secret"
	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

// Whether a server wants a client certificate and takes this one, also under
// TLS 1.3, where the handshake does not tell.
func TestProbeClientCertificates(t *testing.T) {
	ca := redistest.NewRoot(t)
	pair, own := ca.Issue(t, redistest.Leaf{}), ca.Issue(t, redistest.Leaf{Names: []string{"app"}}).TLS()
	stranger := redistest.NewRoot(t).Issue(t, redistest.Leaf{}).TLS()
	for protocol, version := range map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13} {
		for _, auth := range []string{"no", "optional", "yes"} {
			h := start(t, redistest.Options{AuthClients: auth, Password: "secret", Conf: []string{"tls-protocols " + protocol}}, pair, ca)
			h.server.Password = secret.Secret{} // nobody tells
			for name, client := range map[string]*tls.Certificate{"none": nil, "own": own, "stranger": stranger} {
				h.server.Client = func() (*tls.Certificate, error) { return client, nil }
				v, err := reload.New(h.server).Probe(t.Context(), h.trust)
				if err != nil {
					t.Fatalf("%s, tls-auth-clients %s, certificate %s: %v", protocol, auth, name, err)
				}
				accepted := auth == "optional" && name == "none" || auth != "no" && name == "own"
				if v.AsksClient != (auth != "no") || v.Accepted != accepted || (v.Refusal == "") != (accepted || auth == "no") {
					t.Errorf("%s, tls-auth-clients %s, certificate %s: %+v", protocol, auth, name, v)
				}
				if (v.Presented != nil) != (v.AsksClient && client != nil) || !v.Chain[0].Equal(pair.Leaf()) {
					t.Errorf("%s, tls-auth-clients %s, certificate %s: %+v", protocol, auth, name, v)
				}
				if v.Version != version && (protocol == "TLSv1.3" || v.Refusal == "") {
					t.Errorf("%s: version %s", protocol, tls.VersionName(v.Version))
				}
				if name == "none" && v.Refusal != "" && v.Refusal != "certificate required" && v.Refusal != "handshake failure" {
					t.Errorf("%s: refusal %q is not the alert", protocol, v.Refusal)
				}
			}
			if text := h.redis.Log(); strings.Contains(text, "secret") {
				t.Error("a password was told")
			}
		}
	}
}

// A stranger gets a PING at the most.
func TestProbeSaysNothing(t *testing.T) {
	i := listen(t, redistest.SelfSigned(t, redistest.Leaf{}))
	v, err := reload.New(reload.Server{Address: i.addr, Password: says("secret")}).Probe(t.Context(), reload.Trust{})
	if err != nil || len(v.Chain) != 1 || v.AsksClient || v.Accepted {
		t.Errorf("%+v, %v", v, err)
	}
	heard := i.words()
	if heard != "" {
		t.Errorf("the peer heard %q", heard)
	}
}

func TestProbeOfWhatIsNoTLSServer(t *testing.T) {
	h := start(t, redistest.Options{Plain: true}, nil, nil)
	probe := func(addr string, timeout time.Duration) error {
		_, err := reload.New(reload.Server{Address: addr, Timeout: timeout}).Probe(t.Context(), reload.Trust{})
		return err
	}
	// Long before the handshake would time out.
	fails(t, probe(h.redis.PlainAddr, time.Hour), reload.ErrUnreachable, h.redis.PlainAddr+" does not speak TLS: it is a plaintext port; give the tls-port")
	fails(t, probe(redistest.FreeAddr(t), time.Second), reload.ErrUnreachable, "connection refused: nothing listens there")

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	fails(t, probe(silent.Addr().String(), 50*time.Millisecond), reload.ErrUnreachable, "does not answer the TLS handshake within 50ms")

	old := start(t, redistest.Options{Conf: []string{"tls-protocols TLSv1.1", "tls-ciphers ALL:@SECLEVEL=0"}}, nil, nil)
	fails(t, probe(old.redis.Addr, time.Minute), reload.ErrRefused, "speaks no TLS 1.2 and no TLS 1.3", "tls-protocols")
}

func TestProbeEndsWithItsContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = reload.New(reload.Server{Address: silent.Addr().String(), Timeout: time.Hour}).Probe(ctx, reload.Trust{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
}
