package authority_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"redis-cert-agent/cmd/redis-cert-ca/authority"

	"github.com/smallstep/certificates/api"
	"github.com/smallstep/certificates/ca"
)

// initialize makes an authority at 127.0.0.1 in a temporary directory.
func initialize(t testing.TB, o authority.InitOptions) *authority.Info {
	t.Helper()
	o.Dir = filepath.Join(t.TempDir(), "ca")
	if o.DNS == nil {
		o.DNS = []string{"127.0.0.1", "localhost"}
	}
	info, err := authority.Init(o)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// start serves the authority in dir on a free port until the test ends.
func start(t testing.TB, dir string, o authority.RunOptions) *authority.Running {
	t.Helper()
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	r, err := authority.Start(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

// client is step-ca's own, which trusts nothing but the root's fingerprint.
func client(t testing.TB, r *authority.Running) *ca.Client {
	t.Helper()
	c, err := ca.NewClient(r.URL, ca.WithRootSHA256(r.Fingerprint))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// request makes a key, and a request for names that r's password authorizes.
func request(t testing.TB, r *authority.Running, names ...string) (*api.SignRequest, any) {
	t.Helper()
	p, err := ca.NewProvisioner(r.ProvisionerName, "", r.URL, r.Password, ca.WithRootSHA256(r.Fingerprint))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.CloseIdleConnections)
	token, err := p.Token(names[0], names...)
	if err != nil {
		t.Fatal(err)
	}
	req, key, err := ca.CreateSignRequest(token)
	if err != nil {
		t.Fatal(err)
	}
	return req, key
}

// sign gets a certificate for names.
func sign(t testing.TB, r *authority.Running, names ...string) tls.Certificate {
	t.Helper()
	req, key := request(t, r, names...)
	resp, err := client(t, r).Sign(req)
	if err != nil {
		t.Fatal(err)
	}
	return pair(resp, key)
}

func pair(resp *api.SignResponse, key any) tls.Certificate {
	cert := tls.Certificate{PrivateKey: key, Leaf: resp.ServerPEM.Certificate}
	for _, c := range resp.CertChainPEM {
		cert.Certificate = append(cert.Certificate, c.Certificate.Raw)
	}
	return cert
}

// transport presents cert to r.
func transport(t testing.TB, r *authority.Running, cert tls.Certificate) *http.Transport {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(r.RootCertificate)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}}}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func TestSignRenewRekey(t *testing.T) {
	t.Parallel()
	info := initialize(t, authority.InitOptions{Lifetime: time.Hour})
	r := start(t, info.Dir, authority.RunOptions{})
	if r.Fingerprint != info.Fingerprint {
		t.Errorf("fingerprint %s after start, %s after init", r.Fingerprint, info.Fingerprint)
	}
	cert := sign(t, r, "redis1.internal", "10.0.0.5")
	if got := cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore); got != time.Hour+time.Minute {
		t.Errorf("certificate spans %s, want one hour and the minute of backdating", got)
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(r.RootCertificate)
	for _, der := range cert.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		intermediates.AddCert(c)
		if !c.IsCA || !c.MaxPathLenZero || r.RootCertificate.MaxPathLen != 1 {
			t.Errorf("path lengths: root %d, intermediate %d; want 1 and 0", r.RootCertificate.MaxPathLen, c.MaxPathLen)
		}
	}
	for _, name := range []string{"redis1.internal", "10.0.0.5"} {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			_, err := cert.Leaf.Verify(x509.VerifyOptions{
				DNSName: name, Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{usage},
			})
			if err != nil {
				t.Errorf("verify for %s: %v", name, err)
			}
		}
	}
	tr := transport(t, r, cert)
	if _, err := client(t, r).Renew(tr); err != nil {
		t.Errorf("renew: %v", err)
	}
	req, _ := request(t, r, "redis1.internal")
	if _, err := client(t, r).Rekey(&api.RekeyRequest{CsrPEM: req.CsrPEM}, tr); err != nil {
		t.Errorf("rekey: %v", err)
	}
}
