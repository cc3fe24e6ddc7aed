package check

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"redis-cert-agent/reload"
)

// BenchmarkCheck looks at 500 endpoints on loopback, each with a certificate of
// its own by the same intermediate, and states what that costs by the bare
// handshakes: crypto/tls alone, which verifies chain and name, as many at once,
// with the same servers, in turns.
func BenchmarkCheck(b *testing.B) {
	const endpoints = 500
	e := listen(b, endpoints)
	var whole, bare time.Duration
	for b.Loop() {
		from := time.Now()
		e.bare(b)
		between := time.Now()
		r, err := Run(b.Context(), e.targets, now, nil)
		if err != nil || r.Counts.OK != endpoints {
			b.Fatalf("%v, %s: %+v", err, r.Summary, r.Targets[0])
		}
		bare, whole = bare+between.Sub(from), whole+time.Since(between)
	}
	ratio := float64(whole) / float64(bare)
	if ratio > 2 {
		b.Errorf("a check takes %.2f times the bare handshakes", ratio)
	}
	b.ReportMetric(ratio, "check/bare")
}

type endpoints struct {
	targets []Target
	conf    tls.Config // of the bare client
}

func listen(t testing.TB, n int) *endpoints {
	root := newCA(t, nil, "root", -year, 10*year)
	middle := newCA(t, root, "middle", -year, 5*year)
	w := usual(root)
	e := &endpoints{conf: tls.Config{RootCAs: w.Trust.Pool, ServerName: "redis.internal", Time: func() time.Time { return now }}}
	var servers sync.WaitGroup
	t.Cleanup(servers.Wait)
	for range n {
		leaf := issue(t, middle, nil, nil)
		conf := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.cert.Raw, middle.cert.Raw}, PrivateKey: leaf.key}}}
		l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		servers.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return // closed
				}
				servers.Go(func() {
					defer c.Close()
					_, _ = io.Copy(io.Discard, c) // until the client goes
				})
			}
		})
		e.targets = append(e.targets, Target{Kind: Server, Want: w, Peer: reload.Server{Address: l.Addr().String(), Name: "redis.internal", Timeout: time.Minute}})
	}
	return e
}

// bare shakes hands with every endpoint.
func (e *endpoints) bare(t testing.TB) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range Parallel {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(e.targets) {
					return
				}
				d := tls.Dialer{NetDialer: new(net.Dialer), Config: e.conf.Clone()}
				c, err := d.DialContext(context.Background(), "tcp", e.targets[i].Peer.Address)
				if err != nil {
					t.Error(err)
					return
				}
				c.Close()
			}
		})
	}
	workers.Wait()
}
