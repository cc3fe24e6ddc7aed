package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/check"
	"redis-cert-agent/reload"
)

const (
	maxCheck       = 2.0 // by the bare handshakes
	checkEndpoints = 500
	checkRounds    = 15
	checkName      = "redis.internal"
)

// checked is what a look at many endpoints costs.
type checked struct {
	whole, bare time.Duration // medians
}

func (c checked) ratio() float64 { return float64(c.whole) / float64(c.bare) }

// measureCheck looks at many endpoints of this process, in turns as
// redis-cert-agent check does and by handshakes alone.
func (b *bench) measureCheck(ctx context.Context) (checked, error) {
	say("check: %d rounds of %d endpoints", checkRounds, checkEndpoints)
	e, err := newEndpoints()
	defer e.close()
	if err != nil {
		return checked{}, err
	}
	var whole, bare []time.Duration
	for range checkRounds {
		from := time.Now()
		if err := e.shake(ctx); err != nil {
			return checked{}, err
		}
		between := time.Now()
		r, err := check.Run(ctx, e.targets, between, nil)
		if err != nil {
			return checked{}, err
		}
		if r.Counts.OK != checkEndpoints {
			return checked{}, errors.New(r.Summary)
		}
		bare, whole = append(bare, between.Sub(from)), append(whole, time.Since(between))
	}
	return checked{median(whole), median(bare)}, nil
}

// endpoints are TLS servers, each with a certificate of its own by the same
// intermediate.
type endpoints struct {
	targets   []check.Target
	roots     *x509.CertPool
	listeners []net.Listener
	serving   sync.WaitGroup
}

func newEndpoints() (*endpoints, error) {
	e := &endpoints{}
	root, err := newSigner(nil, "root", true)
	if err != nil {
		return e, err
	}
	middle, err := newSigner(root, "intermediate", true)
	if err != nil {
		return e, err
	}
	want := check.Want{
		Warn: cert.Margin{Share: 0.25}, Crit: cert.Margin{Share: 0.1}, Role: check.ServerRole,
		Trust: check.NewTrust([]*x509.Certificate{root.cert}), Names: []string{checkName},
	}
	e.roots = want.Trust.Pool
	for range checkEndpoints {
		leaf, err := newSigner(middle, checkName, false)
		if err != nil {
			return e, err
		}
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{
			Certificate: [][]byte{leaf.cert.Raw, middle.cert.Raw}, PrivateKey: leaf.key,
		}}})
		if err != nil {
			return e, err
		}
		e.listeners = append(e.listeners, l)
		e.serving.Go(func() { e.serve(l) })
		e.targets = append(e.targets, check.Target{Kind: check.Server, Want: want, Peer: reload.Server{
			Address: l.Addr().String(), Name: checkName, Timeout: time.Minute,
		}})
	}
	return e, nil
}

func (e *endpoints) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		e.serving.Go(func() {
			defer c.Close()
			_, _ = io.Copy(io.Discard, c) // until the client goes
		})
	}
}

func (e *endpoints) close() {
	for _, l := range e.listeners {
		l.Close()
	}
	e.serving.Wait()
}

// shake is what cannot be left out: a verified handshake with each, as many at
// once as a check has.
func (e *endpoints) shake(ctx context.Context) error {
	var next atomic.Int64
	var workers sync.WaitGroup
	failed := make(chan error, check.Parallel)
	for range check.Parallel {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(e.targets) {
					return
				}
				d := tls.Dialer{Config: &tls.Config{RootCAs: e.roots, ServerName: checkName}}
				c, err := d.DialContext(ctx, "tcp", e.targets[i].Peer.Address)
				if err != nil {
					failed <- err
					return
				}
				c.Close()
			}
		})
	}
	workers.Wait()
	close(failed)
	return <-failed // nil when there is none
}

// A signer is a certificate and its key.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newSigner makes a certificate that issuer signs, or itself.
func newSigner(issuer *signer, name string, isCA bool) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if isCA {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	} else {
		template.DNSNames, template.ExtKeyUsage = []string{name}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	parent, by := template, key
	if issuer != nil {
		parent, by = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	return &signer{c, key}, err
}

func (c checked) section() string {
	return fmt.Sprintf(`
## A check of %d endpoints

What `+"`redis-cert-agent check`"+` does for %[1]d servers, by as many bare handshakes:
Go's TLS client alone, which verifies chain and name, %d at once as the check has
it. Medians of %d turns, with servers in the same process.

| | by the bare handshakes |
|---|---|
| connect, shake hands, judge every certificate, sort and sum up | %s |
`, checkEndpoints, check.Parallel, checkRounds, ratio(c.ratio()))
}
